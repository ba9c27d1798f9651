package object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/faulty"
	"mirrorfs/object/mem"
)

// scripted answers each call with the next of its errors, and then as the store
// does; after the change for those that say so.
type scripted struct {
	object.Store
	mu    sync.Mutex
	errs  []error
	after bool // the change is made, then the error given
	calls int
}

func (s *scripted) next() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if len(s.errs) == 0 {
		return nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return err
}

func (s *scripted) Put(ctx context.Context, key string, data []byte) error {
	if err := s.next(); err != nil {
		return err
	}
	return s.Store.Put(ctx, key, data)
}

func (s *scripted) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	err := s.next()
	if err == nil || s.after {
		err = errors.Join(s.Store.PutIfAbsent(ctx, key, data), err)
	}
	return err
}

func (s *scripted) Head(ctx context.Context, key string) (object.Info, error) {
	if err := s.next(); err != nil {
		return object.Info{}, err
	}
	return s.Store.Head(ctx, key)
}

func TestRetryByKind(t *testing.T) {
	for _, test := range []struct {
		err   error
		again bool
	}{
		{errors.New("something"), true},
		{net.ErrClosed, true},
		{io.ErrUnexpectedEOF, true},
		{object.ErrThrottled, true},
		{object.ErrTimeout, true},
		{object.ErrNotExist, false},
		{object.ErrExist, false},
		{object.ErrDenied, false},
		{object.ErrNoBucket, false},
		{object.ErrNoSpace, false},
		{object.ErrInvalid, false},
		{fmt.Errorf("deep: %w", object.Fail("head", "key", object.ErrDenied)), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			inner := &scripted{Store: mem.New("t"), errs: []error{test.err}}
			s := object.WithRetry(inner, object.RetryOptions{})
			err := s.Put(t.Context(), "key", nil)
			if test.again && (err != nil || inner.calls != 2) {
				t.Errorf("%v: %d calls, then %v; want a second that works", test.err, inner.calls, err)
			}
			if !test.again && (!errors.Is(err, test.err) || inner.calls != 1) {
				t.Errorf("%v: %d calls, then %v; want one", test.err, inner.calls, err)
			}
		})
	}
}

// TestRetryPauses: pauses follow Rand and double up to their bound, and no attempt
// begins after Total.
func TestRetryPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		inner := faulty.New(mem.New("t"), faulty.Options{All: faulty.Rates{Error: 1}})
		s := object.WithRetry(observed{inner, func() { at = append(at, time.Since(began)) }}, object.RetryOptions{
			FirstPause: time.Second, MaxPause: 4 * time.Second, Total: 20 * time.Second,
			Rand: func() float64 { return 1 },
		})
		if err := s.Put(t.Context(), "key", nil); !errors.Is(err, faulty.ErrInjected) {
			t.Errorf("the last error is %v", err)
		}
		want := "[0s 1s 3s 7s 11s 15s 19s]"
		if fmt.Sprint(at) != want {
			t.Errorf("attempts at %v, want %v", at, want)
		}
	})
}

// observed tells of each Put.
type observed struct {
	object.Store
	put func()
}

func (o observed) Put(ctx context.Context, key string, data []byte) error {
	o.put()
	return o.Store.Put(ctx, key, data)
}

// TestRetryHanging: an attempt gets time by its size, and the caller never sees
// that time's end as the end of his own ctx.
func TestRetryHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := faulty.New(mem.New("t"), faulty.Options{All: faulty.Rates{Hang: 1}})
		s := object.WithRetry(inner, object.RetryOptions{
			Total: time.Nanosecond, AttemptBase: 2 * time.Second, MinBytesPerSecond: 1000,
		})
		for size, want := range map[int]time.Duration{0: 2 * time.Second, 5000: 7 * time.Second} {
			began := time.Now()
			err := s.Put(t.Context(), "key", make([]byte, size))
			if !errors.Is(err, object.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Put of %d bytes: %v, want ErrTimeout only", size, err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("Put of %d bytes took %v, want %v", size, took, want)
			}
		}
		began := time.Now()
		if _, err := s.Get(t.Context(), "key", 0, -1); !errors.Is(err, object.ErrTimeout) {
			t.Errorf("Get: %v", err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Get took %v", took)
		}
	})
}

func TestRetryEndsWithContext(t *testing.T) {
	for _, rates := range []faulty.Rates{{Error: 1}, {Hang: 1}} {
		synctest.Test(t, func(t *testing.T) {
			s := object.WithRetry(faulty.New(mem.New("t"), faulty.Options{All: rates}), object.RetryOptions{
				FirstPause: time.Hour, MaxPause: time.Hour, AttemptBase: time.Hour, Total: time.Hour,
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, getErr := s.Get(ctx, "key", 0, -1)
			for what, err := range map[string]error{"Put": s.Put(ctx, "key", nil), "Get": getErr} {
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, object.ErrTimeout) {
					t.Errorf("%s with %+v: %v, want the ctx's error", what, rates, err)
				}
			}
		})
	}
}

// TestRetryPutIfAbsent: after a failure that may have had its effect, the bytes
// decide whose object it is.
func TestRetryPutIfAbsent(t *testing.T) {
	fault := errors.New("connection lost")
	for _, test := range []struct {
		name, there string
		after       bool
		errs        []error
		want        error
	}{
		{name: "first try", want: nil},
		{name: "taken", there: "other", want: object.ErrExist},
		{name: "taken by equal bytes", there: "mine", want: object.ErrExist},
		{name: "lost answer", errs: []error{fault}, after: true, want: nil},
		{name: "lost request", errs: []error{fault}, want: nil},
		{name: "lost request, taken", there: "other", errs: []error{fault}, want: object.ErrExist},
		{name: "lost request, longer one there", there: "mine and more", errs: []error{fault}, want: object.ErrExist},
		{name: "lost request, prefix there", there: "min", errs: []error{fault}, want: object.ErrExist},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := mem.New("t")
			if test.there != "" {
				if err := store.Put(t.Context(), "key", []byte(test.there)); err != nil {
					t.Fatal(err)
				}
			}
			inner := &scripted{Store: store, errs: test.errs, after: test.after}
			err := object.WithRetry(inner, object.RetryOptions{}).PutIfAbsent(t.Context(), "key", []byte("mine"))
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
		})
	}
}

// TestRetryBody: a body that breaks many times is read to its end, each byte
// once, without reading again what was there.
func TestRetryBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
		store := mem.New("t")
		if err := store.Put(t.Context(), "key", data); err != nil {
			t.Fatal(err)
		}
		f := faulty.New(store, faulty.Options{Rates: map[faulty.Op]faulty.Rates{faulty.Get: {Cut: 0.9}}})
		s := object.WithRetry(f, object.RetryOptions{})
		for _, n := range []int64{-1, 1, 100_000, int64(len(data)), int64(len(data)) + 1} {
			got := readAll(t, s, "key", 5, n)
			want := data[5:]
			if n >= 0 {
				want = want[:min(n, int64(len(want)))]
			}
			if !bytes.Equal(got, want) {
				t.Errorf("n=%d: %d bytes, want %d", n, len(got), len(want))
			}
		}
		if f.Faults() < 5 {
			t.Errorf("only %d faults", f.Faults())
		}
	})
}

func readAll(t *testing.T, s object.Store, key string, off, n int64) []byte {
	t.Helper()
	r, err := s.Get(t.Context(), key, off, n)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRetryBodyOfOneVersion: the rest of another object is no rest.
func TestRetryBodyOfOneVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.New("t")
		put := func(text string) {
			if err := store.Put(t.Context(), "key", []byte(strings.Repeat(text, 1000))); err != nil {
				t.Fatal(err)
			}
		}
		put("a")
		f := faulty.New(store, faulty.Options{Rates: map[faulty.Op]faulty.Rates{faulty.Get: {Cut: 1}}})
		r, err := object.WithRetry(f, object.RetryOptions{}).Get(t.Context(), "key", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		put("b")
		f.Set(faulty.Get, faulty.Rates{})
		rest, err := io.ReadAll(r)
		if err == nil || bytes.Contains(rest, []byte("b")) {
			t.Errorf("read %q..., %v; want an error and no b", rest[:min(len(rest), 10)], err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// stuck gives bodies that hang after their first byte.
type stuck struct{ object.Store }

func (s stuck) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, key, off, n)
	return &stuckBody{ReadCloser: r, ctx: ctx, version: object.VersionOf(r)}, err
}

type stuckBody struct {
	io.ReadCloser
	ctx     context.Context //nolint:containedctx // a body lives as long as its Get
	version string
	reads   int
}

func (b *stuckBody) Version() string { return b.version }

func (b *stuckBody) Read(p []byte) (int, error) {
	if b.reads++; b.reads > 1 {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	return b.ReadCloser.Read(p[:1])
}

// TestRetryStuckBody: a body that stops coming is continued; the reader's own
// pauses, however long, are not taken for that.
func TestRetryStuckBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.New("t")
		if err := store.Put(t.Context(), "key", []byte("abc")); err != nil {
			t.Fatal(err)
		}
		s := object.WithRetry(stuck{store}, object.RetryOptions{AttemptBase: time.Second})
		r, err := s.Get(t.Context(), "key", 0, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range "abc" {
			time.Sleep(time.Hour)
			got := make([]byte, 1)
			began := time.Now()
			if _, err := io.ReadFull(r, got); err != nil || got[0] != byte(want) {
				t.Fatalf("%q, %v; want %c", got, err, want)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("at the end %d, %v", n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}
