package object_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mirrorfs/object"
	"mirrorfs/object/faulty"
	"mirrorfs/object/mem"
)

// TestLimit: a body holds its slot until it is closed, also when closed twice; a
// failed Get holds none.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := object.WithLimit(mem.New("t"), 2)
		if err := s.Put(t.Context(), "key", []byte("data")); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := s.Get(t.Context(), "none", 0, -1); !errors.Is(err, object.ErrNotExist) {
				t.Fatal(err)
			}
		}
		first, err := s.Get(t.Context(), "key", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Get(t.Context(), "key", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Delete(ctx, "key") }()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("a third request ran: %v", err)
		default:
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting ended with %v", err)
		}
		go func() { _, err := s.Head(t.Context(), "key"); ended <- err }()
		synctest.Wait()
		for range 2 {
			if err := first.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		third, err := s.Get(t.Context(), "key", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- s.Put(t.Context(), "key", nil) }()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("closing twice gave two slots: %v", err)
		default:
		}
		for _, r := range []interface{ Close() error }{second, third} {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := faulty.New(mem.New("t"), faulty.Options{})
	s, err := object.WithMetrics(f, "bucket", reg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := object.WithMetrics(f, "bucket", reg); err != nil {
		t.Errorf("a second store of that name: %v", err)
	}
	if err := s.Put(t.Context(), "key", []byte("12345")); err != nil {
		t.Fatal(err)
	}
	readAll(t, s, "key", 1, 3)
	if _, err := s.Head(t.Context(), "none"); !errors.Is(err, object.ErrNotExist) {
		t.Error(err)
	}
	f.SetAll(faulty.Rates{Throttle: 1})
	if err := s.Delete(t.Context(), "key"); !errors.Is(err, object.ErrThrottled) {
		t.Error(err)
	}
	want := `
# HELP mirrorfs_object_bytes_total Bytes of object bodies sent or received, by operation.
# TYPE mirrorfs_object_bytes_total counter
mirrorfs_object_bytes_total{op="get",store="bucket"} 3
mirrorfs_object_bytes_total{op="put",store="bucket"} 5
# HELP mirrorfs_object_requests_total Requests to object stores, by operation and outcome.
# TYPE mirrorfs_object_requests_total counter
mirrorfs_object_requests_total{op="delete",outcome="throttled",store="bucket"} 1
mirrorfs_object_requests_total{op="get",outcome="ok",store="bucket"} 1
mirrorfs_object_requests_total{op="head",outcome="not_exist",store="bucket"} 1
mirrorfs_object_requests_total{op="put",outcome="ok",store="bucket"} 1
`
	err = testutil.GatherAndCompare(reg, strings.NewReader(want), "mirrorfs_object_bytes_total", "mirrorfs_object_requests_total")
	if err != nil {
		t.Error(err)
	}
}

func TestPrefix(t *testing.T) {
	inner := mem.New("bucket")
	s := object.WithPrefix(inner, "volume/")
	for _, key := range []string{"volume/a", "volume", "volume/", "volumes/b", "a"} {
		if err := inner.Put(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.List(t.Context(), "", "", 10)
	if err != nil || len(found) != 1 || found[0].Key != "a" {
		t.Errorf("List gave %v, %v", found, err)
	}
	if s.String() != "mem://bucket/volume" {
		t.Errorf("address %s", s)
	}
	_, err = s.Head(t.Context(), "none")
	if err == nil || strings.Contains(err.Error(), "volume") {
		t.Errorf("error %v names another key", err)
	}
	if c, ok := object.As[object.Creator](s); !ok || c == nil {
		t.Error("a power of the store within is not found")
	}
}
