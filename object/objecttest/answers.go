package objecttest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"mirrorfs/object"
)

// ErrPassing is wanted of an answer that is none of the errors of package object, so that
// the request is repeated.
var ErrPassing = errors.New("passes")

// Answer is what a server may say, and the error that callers decide by. A code
// travels in the XML that S3 and its kin use.
type Answer struct {
	Status int
	Code   string
	Want   error
}

// Common are answers that mean the same at every cloud.
func Common() []Answer {
	return []Answer{
		{404, "NoSuchKey", object.ErrNotExist},
		{404, "NoSuchBucket", object.ErrNoBucket},
		{404, "", object.ErrNotExist},
		{404, "SomethingElse", object.ErrDenied},
		{412, "PreconditionFailed", object.ErrExist},
		{403, "AccessDenied", object.ErrDenied},
		{403, "SignatureDoesNotMatch", object.ErrDenied},
		{403, "InvalidAccessKeyId", object.ErrDenied},
		{403, "", object.ErrDenied},
		{401, "", object.ErrDenied},
		{503, "SlowDown", object.ErrThrottled},
		{429, "", object.ErrThrottled},
		{503, "ServiceUnavailable", ErrPassing},
		{500, "InternalError", ErrPassing},
		{502, "", ErrPassing},
		{400, "RequestTimeout", ErrPassing},
		{400, "BadDigest", ErrPassing},
		{507, "", object.ErrNoSpace},
		{400, "SomethingNew", object.ErrInvalid},
		{400, "InvalidArgument", object.ErrInvalid},
		{301, "PermanentRedirect", object.ErrInvalid},
	}
}

// RunAnswers tests what a store makes of answers that a real server cannot be
// made to give.
func RunAnswers(t *testing.T, answers []Answer, open Opener) {
	t.Helper()
	t.Run("Errors", func(t *testing.T) { testErrors(t, answers, open) })
	t.Run("IgnoredRange", func(t *testing.T) { testIgnoredRange(t, open) })
	t.Run("SilentServer", func(t *testing.T) { testSilentServer(t, open) })
}

func answer(t *testing.T, how http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewServer(how)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func testErrors(t *testing.T, answers []Answer, open Opener) {
	for _, test := range answers {
		s := open(t, answer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.Status)
			if test.Code != "" {
				_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", test.Code)
			}
		}))
		_, getErr := s.Get(t.Context(), "key", 0, -1)
		for what, err := range map[string]error{"Get": getErr, "Put": s.Put(t.Context(), "key", nil)} {
			for _, kind := range []error{
				object.ErrNotExist, object.ErrNoBucket, object.ErrExist, object.ErrDenied, object.ErrThrottled, object.ErrNoSpace,
				object.ErrInvalid,
			} {
				if errors.Is(err, kind) != errors.Is(test.Want, kind) {
					t.Errorf("%s with %d %s: %v, want %v", what, test.Status, test.Code, err, test.Want)
				}
			}
			if err == nil {
				t.Errorf("%s with %d %s: no error", what, test.Status, test.Code)
			}
		}
	}
}

// testIgnoredRange: a server that sends the whole object for a part is refused.
func testIgnoredRange(t *testing.T, open Opener) {
	s := open(t, answer(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("whole object"))
	}))
	if _, err := s.Get(t.Context(), "key", 6, 3); err == nil {
		t.Error("took the whole for a part")
	}
}

// testSilentServer: a server that takes connections and says nothing is left when
// the ctx ends.
func testSilentServer(t *testing.T, open Opener) {
	stop := make(chan struct{})
	s := open(t, answer(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer close(stop)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Head(ctx, "key")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, object.ErrNotExist) {
		t.Errorf("Head: %v", err)
	}
}

// RunMissingBucket tests a store whose bucket does not exist.
func RunMissingBucket(t *testing.T, s object.Store) {
	t.Helper()
	_, getErr := s.Get(t.Context(), "key", 0, -1)
	_, headErr := s.Head(t.Context(), "key")
	_, listErr := s.List(t.Context(), "", "", 10)
	for what, err := range map[string]error{
		"Put": s.Put(t.Context(), "key", nil), "PutIfAbsent": s.PutIfAbsent(t.Context(), "key", nil),
		"Get": getErr, "Head": headErr, "List": listErr, "Delete": s.Delete(t.Context(), "key"),
	} {
		if !errors.Is(err, object.ErrNoBucket) || errors.Is(err, object.ErrNotExist) {
			t.Errorf("%s in a missing bucket: %v", what, err)
		}
	}
}

// RunDenied tests a store that may do nothing, for the reason why.
func RunDenied(t *testing.T, why string, s object.Store) {
	t.Helper()
	_, headErr := s.Head(t.Context(), "key")
	_, listErr := s.List(t.Context(), "", "", 10)
	for op, err := range map[string]error{"Put": s.Put(t.Context(), "key", nil), "Head": headErr, "List": listErr} {
		if !errors.Is(err, object.ErrDenied) {
			t.Errorf("%s with %s: %v", op, why, err)
		}
	}
}
