package s3front_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mirrorfs/gateway"
	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/gateway/s3front"
)

// slowList is an API whose List waits.
type slowList struct {
	gateway.API
	began, goOn chan struct{}
}

func (s slowList) List(ctx context.Context, r gateway.ListRequest) (gateway.ListPage, error) {
	close(s.began)
	<-s.goOn
	if err := ctx.Err(); err != nil {
		return gateway.ListPage{}, err
	}
	return s.API.List(ctx, r)
}

// What has begun before a Shutdown ends as if there were none: a listing is answered, a put whose body is
// still coming in is acknowledged, and then the server ends.
func TestShutdownWaitsForWhatHasBegun(t *testing.T) {
	files := gatewaytest.New(t, gatewaytest.Options{})
	api := slowList{files.Gateway, make(chan struct{}), make(chan struct{})}
	server, err := s3front.New(s3front.Options{API: api, Keys: keys{accessKey: secretKey}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()

	r := &rig{Rig: files, t: t, url: "http://" + ln.Addr().String()}
	signed, err := s3.NewPresignClient(r.client(accessKey, secretKey)).PresignPutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("slow"),
	})
	if err != nil {
		t.Fatal(err)
	}
	body, source := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, signed.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	const size = 2 << 20
	req.ContentLength = size
	answered := make(chan error, 1)
	var status int
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			status = resp.StatusCode
			err = resp.Body.Close()
		}
		answered <- err
	}()
	half := make([]byte, size/2)
	if _, err := source.Write(half); err != nil { // the connection has taken more than the head
		t.Fatal(err)
	}
	listed := make(chan error, 1)
	go func() {
		_, err := r.client(accessKey, secretKey).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
		listed <- err
	}()
	<-api.began
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		ended <- server.Shutdown(ctx)
	}()
	if err := <-served; err != nil { // the listener is closed
		t.Error(err)
	}
	close(api.goOn)
	if err := <-listed; err != nil {
		t.Error(err)
	}
	if _, err := source.Write(half); err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil || status != http.StatusOK {
		t.Errorf("the put: status %d, %v", status, err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
