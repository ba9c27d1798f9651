package s3front_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/gateway/s3front"
)

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" //nolint:gosec // of the S3 documentation
	bucket    = gatewaytest.Bucket
)

type keys map[string]string

func (k keys) Secret(access string) (string, bool) {
	s, ok := k[access]
	return s, ok
}

// rig is a server on a gateway, and a client of it.
type rig struct {
	*gatewaytest.Rig
	t   testing.TB
	url string
	s3  *s3.Client
}

// serve starts a server for the length of the test.
func serve(t testing.TB, opts gatewaytest.Options, change ...func(*s3front.Options)) *rig {
	t.Helper()
	r := &rig{Rig: gatewaytest.New(t, opts), t: t}
	o := s3front.Options{API: r.Gateway, Keys: keys{accessKey: secretKey}}
	for _, f := range change {
		f(&o)
	}
	server, err := s3front.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r.url = "http://" + ln.Addr().String()
	r.s3 = r.client(accessKey, secretKey)
	return r
}

// client is a client with a key, which repeats nothing.
func (r *rig) client(access, secret string, change ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(r.url), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	}, change...)
}
