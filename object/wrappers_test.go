package object_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/object"
	"mirrorfs/object/faulty"
	"mirrorfs/object/mem"
	"mirrorfs/object/objecttest"
)

// quick are retries for stores that hang often and answer at once.
func quick() object.RetryOptions {
	return object.RetryOptions{
		FirstPause: time.Microsecond, MaxPause: time.Millisecond,
		AttemptBase: 50 * time.Millisecond, MinBytesPerSecond: 100 << 20,
	}
}

func withMetrics(t *testing.T, s object.Store) object.Store {
	t.Helper()
	m, err := object.WithMetrics(s, "test", prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWrappers: no wrapper changes what a store promises.
func TestWrappers(t *testing.T) {
	for name, wrap := range map[string]func(*testing.T, object.Store) object.Store{
		"Retry":   func(_ *testing.T, s object.Store) object.Store { return object.WithRetry(s, object.RetryOptions{}) },
		"Limit":   func(_ *testing.T, s object.Store) object.Store { return object.WithLimit(s, 1) },
		"Prefix":  func(_ *testing.T, s object.Store) object.Store { return object.WithPrefix(s, "p/") },
		"Metrics": withMetrics,
		"Nothing": func(_ *testing.T, s object.Store) object.Store { return faulty.New(s, faulty.Options{}) },
		"All": func(t *testing.T, s object.Store) object.Store {
			return object.WithLimit(object.WithRetry(withMetrics(t, object.WithPrefix(s, "p/q/")), object.RetryOptions{}), 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			objecttest.Run(t, func(t *testing.T) object.Store { return wrap(t, mem.New(t.Name())) })
		})
	}
}

// TestFaultyWithRetry: behind WithRetry, a store that fails in every way that the
// contract allows passes the whole suite. MIRRORFS_SEED=n replays a seed.
func TestFaultyWithRetry(t *testing.T) {
	seeds := []uint64{1, 2, 3, uint64(time.Now().UnixNano())}
	if text := os.Getenv("MIRRORFS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Logf("MIRRORFS_SEED=%d go test -run %s", seed, t.Name())
			objecttest.Run(t, func(t *testing.T) object.Store {
				f := faulty.New(mem.New(t.Name()), faulty.Options{Seed: seed, SlowFor: time.Millisecond, All: faulty.Rates{
					Error: 0.1, Throttle: 0.05, Hang: 0.005, After: 0.1, Slow: 0.05, Cut: 0.2,
				}})
				return object.WithRetry(f, quick())
			})
		})
	}
}
