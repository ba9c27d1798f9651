package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/s3"
	"mirrorfs/object/s3/s3test"
)

// TestErrorKinds: every answer of a server becomes the error that callers
// decide by. A real server cannot be made to give them all.
func TestErrorKinds(t *testing.T) {
	passing := errors.New("passes")
	for _, test := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", object.ErrNotExist},
		{404, "NoSuchBucket", object.ErrNoBucket},
		{404, "", object.ErrNotExist},
		{404, "XAdminUserNotFound", object.ErrDenied},
		{412, "PreconditionFailed", object.ErrExist},
		{409, "ConditionalRequestConflict", object.ErrThrottled},
		{403, "AccessDenied", object.ErrDenied},
		{403, "SignatureDoesNotMatch", object.ErrDenied},
		{403, "InvalidAccessKeyId", object.ErrDenied},
		{400, "ExpiredToken", object.ErrDenied},
		{403, "", object.ErrDenied},
		{401, "", object.ErrDenied},
		{503, "SlowDown", object.ErrThrottled},
		{429, "", object.ErrThrottled},
		{503, "ServiceUnavailable", passing},
		{500, "InternalError", passing},
		{502, "", passing},
		{400, "RequestTimeout", passing},
		{400, "BadDigest", passing},
		{403, "RequestTimeTooSkewed", passing},
		{507, "", object.ErrNoSpace},
		{403, "QuotaExceeded", object.ErrNoSpace},
		{400, "KeyTooLongError", object.ErrInvalid},
		{400, "SomethingNew", object.ErrInvalid},
		{409, "ObjectParentIsFile", object.ErrInvalid},
		{301, "PermanentRedirect", object.ErrInvalid},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			if test.code != "" {
				_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", test.code)
			}
		}))
		credentials(t, "key", "secret")
		s := open(t, s3test.Server{Endpoint: server.URL}, "bucket")
		_, getErr := s.Get(t.Context(), "key", 0, -1)
		for what, err := range map[string]error{"Get": getErr, "Put": s.Put(t.Context(), "key", nil)} {
			for _, kind := range []error{
				object.ErrNotExist, object.ErrNoBucket, object.ErrExist, object.ErrDenied, object.ErrThrottled, object.ErrNoSpace,
				object.ErrInvalid,
			} {
				if errors.Is(err, kind) != errors.Is(test.want, kind) {
					t.Errorf("%s with %d %s: %v, want %v", what, test.status, test.code, err, test.want)
				}
			}
			if err == nil {
				t.Errorf("%s with %d %s: no error", what, test.status, test.code)
			}
		}
		server.Close()
	}
}

// TestIgnoredRange: a server that sends the whole object for a part is refused.
func TestIgnoredRange(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("whole object"))
	}))
	defer server.Close()
	credentials(t, "key", "secret")
	s := open(t, s3test.Server{Endpoint: server.URL}, "bucket")
	if _, err := s.Get(t.Context(), "key", 6, 3); err == nil {
		t.Error("took the whole for a part")
	}
}

// TestSilentServer: a server that takes connections and says nothing is left when
// the ctx ends.
func TestSilentServer(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(stop)
	credentials(t, "key", "secret")
	s := open(t, s3test.Server{Endpoint: server.URL}, "bucket")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Head(ctx, "key")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, object.ErrNotExist) {
		t.Errorf("Head: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []s3.Options{
		{},
		{Bucket: "b", Endpoint: "host:9000"},
		{Bucket: "b", Endpoint: "ftp://host"},
		{Bucket: "b", Endpoint: "http://"},
		{Bucket: "b", Endpoint: "http://user:pass@host"},
	} {
		if _, err := s3.New(t.Context(), o); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", o, err)
		}
	}
}
