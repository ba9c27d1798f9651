package objecttest

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/object"
	"mirrorfs/object/faulty"
)

// RunWrapped runs the suite behind each wrapper of package object, and behind all
// of them: no wrapper changes what a store promises.
func RunWrapped(t *testing.T, open func(t *testing.T) object.Store) {
	t.Helper()
	wrap := map[string]func(*testing.T, object.Store) object.Store{
		"Retry":   func(_ *testing.T, s object.Store) object.Store { return object.WithRetry(s, object.RetryOptions{}) },
		"Limit":   func(_ *testing.T, s object.Store) object.Store { return object.WithLimit(s, 1) },
		"Prefix":  func(_ *testing.T, s object.Store) object.Store { return object.WithPrefix(s, "p/") },
		"Metrics": withMetrics,
		"Hedge":   withHedge,
		"All": func(t *testing.T, s object.Store) object.Store {
			s = withHedge(t, withMetrics(t, object.WithPrefix(s, "p/q/")))
			return object.WithLimit(object.WithRetry(s, object.RetryOptions{}), 3)
		},
	}
	for name, wrap := range wrap {
		t.Run(name, func(t *testing.T) {
			Run(t, func(t *testing.T) object.Store { return wrap(t, open(t)) })
		})
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

// withHedge makes nearly every read twice.
func withHedge(t *testing.T, s object.Store) object.Store {
	t.Helper()
	h, err := object.WithHedge(s, object.HedgeOptions{Share: 1, Burst: 1 << 20, Minimum: 1, Floor: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// SeedVariable is the environment variable with the one seed that RunFaulty is to
// use.
const SeedVariable = "MIRRORFS_SEED"

// Faulty is how RunFaulty runs.
type Faulty struct {
	// Patience is how long an attempt may take before it counts as hanging, of
	// which there are some. It is only for stores whose calls, once their ctx has
	// ended, have no effect any more. 0 means no hanging, and the usual time.
	Patience time.Duration
	// Seeds, beside a random one.
	Seeds []uint64
}

// RunFaulty runs the suite on stores that fail in every way that the contract
// allows, behind WithRetry, once for each seed.
func RunFaulty(t *testing.T, open func(t *testing.T) object.Store, how Faulty) {
	t.Helper()
	seeds := append(how.Seeds, uint64(time.Now().UnixNano())) //nolint:gosec // any number will do
	if text := os.Getenv(SeedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", SeedVariable, err)
		}
		seeds = []uint64{seed}
	}
	rates := faulty.Rates{Error: 0.1, Throttle: 0.05, After: 0.1, Slow: 0.05, Cut: 0.2}
	retry := object.RetryOptions{FirstPause: time.Microsecond, MaxPause: time.Millisecond}
	if how.Patience > 0 {
		rates.Hang = 0.002
		retry.AttemptBase, retry.MinBytesPerSecond = how.Patience, 100<<20
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Logf("to replay: %s=%d go test -run '%s'", SeedVariable, seed, t.Name())
			Run(t, func(t *testing.T) object.Store {
				opts := faulty.Options{Seed: seed, SlowFor: time.Millisecond, All: rates}
				return object.WithRetry(faulty.New(open(t), opts), retry)
			})
		})
	}
}
