package s3front_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"mirrorfs/gateway"
	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/gateway/limit"
	"mirrorfs/gateway/s3front"
)

// witness remembers what was served.
type witness struct {
	mu  sync.Mutex
	all []gateway.Served
	c   chan struct{}
}

func (w *witness) served(s *gateway.Served) {
	w.mu.Lock()
	w.all = append(w.all, *s)
	w.mu.Unlock()
	w.c <- struct{}{}
}

// last waits until n requests were served, and gives the last one.
func (w *witness) last(t *testing.T) gateway.Served {
	t.Helper()
	select {
	case <-w.c:
	case <-time.After(time.Minute):
		t.Fatal("the request was never told of")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[len(w.all)-1]
}

func TestServedIsTold(t *testing.T) {
	w := &witness{c: make(chan struct{}, 100)}
	gate := limit.NewGate(10)
	r := serve(t, gatewaytest.Options{Disk: true}, func(o *s3front.Options) { o.Served, o.Gate = w.served, gate })
	body := make([]byte, 3<<20)
	_, err := r.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("a/b c"), Body: bytes.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	got := w.last(t)
	if got.Operation != "PutObject" || got.Name != (gateway.Name{Bucket: bucket, Key: "a/b c"}) || got.AccessKey != accessKey || got.Status != 200 ||
		got.Received < int64(len(body)) || got.Code != "" || got.RequestID == "" || got.Took <= 0 {
		t.Errorf("put: %+v", got)
	}
	get, err := r.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a/b c")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, get.Body); err != nil {
		t.Fatal(err)
	}
	if got = w.last(t); got.Operation != "GetObject" || got.Sent != int64(len(body)) || got.Aborted {
		t.Errorf("get: %+v", got)
	}
	if _, err := r.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("a/b c")}); err != nil {
		t.Fatal(err)
	}
	if got = w.last(t); got.Operation != "HeadObject" || got.Sent != 0 {
		t.Errorf("head: %+v", got)
	}
	if _, err := r.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("none")}); err == nil {
		t.Fatal("there is such an object")
	}
	if got = w.last(t); got.Operation != "GetObject" || got.Status != 404 || got.Code != "NoSuchKey" {
		t.Errorf("get of nothing: %+v", got)
	}
	if _, err := r.client("NOBODY", secretKey).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("a/b c")}); err == nil {
		t.Fatal("an unknown key is known")
	}
	if got = w.last(t); got.Status != 403 || got.AccessKey != "" {
		t.Errorf("unknown key: %+v", got)
	}
	if gate.Inside() != 0 {
		t.Errorf("%d requests are inside the gate at the end", gate.Inside())
	}
}

func TestSlowDown(t *testing.T) {
	gate := limit.NewGate(1)
	r := serve(t, gatewaytest.Options{}, func(o *s3front.Options) { o.Gate = gate })
	leave, _ := gate.Enter()
	head := func() error {
		_, err := r.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
		return err
	}
	var api smithy.APIError
	if err := head(); !errors.As(err, &api) || api.ErrorCode() != "SlowDown" {
		t.Errorf("too many requests: %v", err)
	}
	leave()
	if err := head(); !errors.As(err, &api) || api.ErrorCode() != "NoSuchKey" {
		t.Errorf("afterwards: %v", err)
	}
}

// A request that is answered by a body stays inside the gate until the body was sent.
func TestGateCountsBodies(t *testing.T) {
	gate := limit.NewGate(10)
	w := &witness{c: make(chan struct{}, 100)}
	r := serve(t, gatewaytest.Options{Disk: true}, func(o *s3front.Options) { o.Gate, o.Served, o.Anonymous = gate, w.served, true })
	_, err := r.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), Body: bytes.NewReader(make([]byte, 32<<20))})
	if err != nil {
		t.Fatal(err)
	}
	w.last(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /"+bucket+"/k HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil { // more than the header
		t.Fatal(err)
	}
	if gate.Inside() != 1 {
		t.Errorf("%d inside while a body is sent", gate.Inside())
	}
	_ = conn.Close()
	if got := w.last(t); !got.Aborted || got.Sent >= 32<<20 || gate.Inside() != 0 {
		t.Errorf("the client left: %+v, %d inside", got, gate.Inside())
	}
}

func TestHealthPaths(t *testing.T) {
	var mu sync.Mutex
	var why error
	r := serve(t, gatewaytest.Options{}, func(o *s3front.Options) {
		o.Ready = func(context.Context) error { mu.Lock(); defer mu.Unlock(); return why }
	})
	get := func(path string) (int, string) {
		t.Helper()
		answer, err := http.Get(r.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	if code, _ := get(s3front.HealthPath); code != 200 {
		t.Errorf("healthy: %d", code)
	}
	if code, _ := get(s3front.ReadyPath); code != 200 {
		t.Errorf("ready: %d", code)
	}
	mu.Lock()
	why = errors.New("metadata does not answer")
	mu.Unlock()
	if code, text := get(s3front.ReadyPath); code != 503 || !strings.Contains(text, "does not answer") {
		t.Errorf("not ready: %d %s", code, text)
	}
	if code, _ := get(s3front.HealthPath); code != 200 {
		t.Errorf("healthy when not ready: %d", code)
	}
}

// Bodies that would be held in memory as a whole are short, whoever sends them.
func TestLongBodiesAreRefusedUnread(t *testing.T) {
	r := serve(t, gatewaytest.Options{})
	for _, c := range []struct{ method, path, code string }{
		{"POST", "/" + bucket + "?delete", "EntityTooLarge"},
		{"POST", "/" + bucket + "/k?uploadId=x", "EntityTooLarge"},
		{"PUT", "/" + bucket + "/k?tagging", "EntityTooLarge"},
		{"PUT", "/" + bucket + "/k?acl", "EntityTooLarge"},
		{"PUT", "/" + bucket, "EntityTooLarge"},
		{"GET", "/" + bucket + "/k", "EntityTooLarge"},
		{"PUT", "/" + bucket + "/k", "AccessDenied"}, // may be long: refused for want of a signature
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			t.Parallel() // each waits a second for what the client does not send
			conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.WriteString(conn, c.method+" "+c.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n"+strings.Repeat("x", 10_000))
			if err != nil {
				t.Fatal(err)
			}
			text := make([]byte, 4096)
			n, _ := io.ReadAtLeast(conn, text, 300)
			if !bytes.Contains(text[:n], []byte("<Code>"+c.code+"</Code>")) {
				t.Errorf("%s %s with a TiB: %s", c.method, c.path, text[:n])
			}
			_ = conn.Close()
		})
	}
	for _, path := range []string{"/" + bucket + "?delete", "/" + bucket + "/k?uploadId=x"} {
		answer, err := http.Post(r.url+path, "", io.MultiReader(strings.NewReader("<x/>"))) // chunked
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if !bytes.Contains(text, []byte("<Code>MissingContentLength</Code>")) {
			t.Errorf("%s of unknown length: %s", path, text)
		}
	}
}
