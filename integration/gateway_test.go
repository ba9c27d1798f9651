package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"mirrorfs/gateway/s3front"
	"mirrorfs/integration/harness"
)

const (
	gatewayKey    = "AKIDGATEWAY"
	gatewaySecret = "secret-of-the-gateway" //nolint:gosec // of the test
)

// startGateway serves the volume at a metadata address and gives a client of it.
func startGateway(t *testing.T, w *harness.World, name, meta string, flags ...string) *s3.Client {
	t.Helper()
	args := append([]string{"gateway", meta, "--address", "127.0.0.1:0", "--cache-dir", w.Dir("cache-" + name)}, flags...)
	p := w.With("MIRRORFS_ACCESS_KEY="+gatewayKey, "MIRRORFS_SECRET_KEY="+gatewaySecret).Start(args...)
	var url []byte
	harness.Eventually(t, "the gateway serves", time.Minute, func() bool {
		if !p.Running() {
			t.Fatalf("the gateway ended: %s", p.Log())
		}
		url = regexp.MustCompile(`http://[0-9.]+:[0-9]+`).Find([]byte(p.Log()))
		return url != nil
	})
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(string(url)), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(gatewayKey, gatewaySecret, ""),
	})
}

// putObject makes an object of the bucket vol and gives the position after it.
func putObject(t *testing.T, c *s3.Client, key string, body []byte) string {
	t.Helper()
	out, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("vol"), Key: &key, Body: bytes.NewReader(body)})
	must(t, err)
	raw, _ := middleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response)
	at := raw.Header.Get(s3front.PositionHeader)
	if at == "" {
		t.Fatalf("put %s: no position", key)
	}
	return at
}

// getObject reads an object, as of a position if that is not empty.
func getObject(ctx context.Context, c *s3.Client, key, at string) ([]byte, error) {
	var options []func(*s3.Options)
	if at != "" {
		options = append(options, s3.WithAPIOptions(smithyhttp.SetHeaderValue(s3front.WaitHeader, at)))
	}
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("vol"), Key: &key}, options...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(out.Body)
}

// TestPromise06PositionsThroughGateways has gateways at a source and at a mirror. Each sees at once what the
// other was told, with its position; and mounts and gateways see each other's.
func TestPromise06PositionsThroughGateways(t *testing.T) {
	s := newTwoSites(t, 10*time.Millisecond, fileBucket)
	s.runMirror()
	a := startGateway(t, s.World, "a", s.metaA)
	s.wait() // a mirror that is complete
	b := startGateway(t, s.World, "b", s.metaB)
	for i := range 10 {
		key, body := fmt.Sprintf("models/%d", i%3), []byte(fmt.Sprintf("written at a, %d", i))
		at := putObject(t, a, key, body)
		if got, err := getObject(t.Context(), b, key, at); err != nil || !bytes.Equal(got, body) {
			t.Errorf("at the mirror as of %s: %q, %v, want %q", at, got, err, body)
		}
		body = []byte(fmt.Sprintf("written at b, %d", i))
		putObject(t, b, key, body)
		for name, c := range map[string]*s3.Client{"the source": a, "the mirror": b} {
			if got, err := getObject(t.Context(), c, key, ""); err != nil || !bytes.Equal(got, body) {
				t.Errorf("written at the mirror, at %s: %q, %v, want %q", name, got, err, body)
			}
		}
	}
	m := s.Mount("m", s.metaA)
	got, err := os.ReadFile(filepath.Join(m.Dir, "models", "0"))
	if err != nil || string(got) != "written at b, 9" {
		t.Errorf("through a mount: %q, %v", got, err)
	}
	must(t, os.WriteFile(filepath.Join(m.Dir, "models", "mounted"), []byte("by a program"), 0o644))
	if got, err := getObject(t.Context(), a, "models/mounted", ""); err != nil || string(got) != "by a program" {
		t.Errorf("written through a mount: %q, %v", got, err)
	}
}
