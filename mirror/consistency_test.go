package mirror_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror"
)

// TestPromise06NeverBackInTime mixes changes and reads of several threads of one
// mount with those of a client of the source, while the mirror lags by chance
// and the way to the source takes its time, and compares all that was seen with
// the source's log.
func TestPromise06NeverBackInTime(t *testing.T) {
	for _, c := range []struct {
		name string
		lag  time.Duration // most that apply waits
		way  time.Duration // most that the way to the source takes
		opts mirror.EngineOptions

		redis bool
	}{
		{name: "quick mirror", lag: time.Millisecond, way: 2 * time.Millisecond},
		{name: "slow mirror", lag: 20 * time.Millisecond, way: time.Millisecond},
		{name: "full table", lag: 5 * time.Millisecond, way: time.Millisecond, opts: mirror.EngineOptions{MaxFloors: 4}},
		{name: "max lag", lag: 5 * time.Millisecond, way: time.Millisecond, opts: mirror.EngineOptions{MaxLag: 2 * time.Millisecond}},
		{name: "redis", lag: 5 * time.Millisecond, way: 5 * time.Millisecond, redis: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := seeded(t)
			w := modelWorld(t)
			if c.redis {
				w = redisWorld(t).world
			}
			w.add(t)
			cfg := w.config(t)
			cfg.Replica = &lazyReplica{Replica: w.near, rng: rand.New(rand.NewPCG(rng.Uint64(), 5)), max: c.lag}
			start(t, cfg)
			way := &wan{delay: delays(rng, c.way)}
			c.opts.Near = w.nearClient()
			c.opts.Dial = func(ctx context.Context) (meta.Engine, error) {
				far, err := w.client(ctx)
				return &farEngine{Engine: far, w: way}, err
			}
			e, err := mirror.NewEngine(c.opts)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Close() })
			session(t, e)
			w.visit(t, e, rng, 3, 400)
			w.mustBeEqual(t)
		})
	}
}

// delays gives durations by chance, none as often as some.
func delays(rng *rand.Rand, most time.Duration) func() time.Duration {
	var mu sync.Mutex
	own := rand.New(rand.NewPCG(rng.Uint64(), 6))
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		if own.IntN(2) == 0 {
			return 0
		}
		return time.Duration(own.Int64N(int64(most)))
	}
}
