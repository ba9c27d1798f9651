package object_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// busy is a store that does so many requests at once, each in 100 ms, and throttles more.
type busy struct {
	object.Store
	capacity int32
	running  atomic.Int32
	most     atomic.Int32 // at once since it was last set to 0
	refused  atomic.Int32
}

func (b *busy) Head(ctx context.Context, key string) (object.Info, error) {
	n := b.running.Add(1)
	defer b.running.Add(-1)
	for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
	}
	time.Sleep(100 * time.Millisecond)
	if n > b.capacity {
		b.refused.Add(1)
		return object.Info{}, object.ErrThrottled
	}
	return b.Store.Head(ctx, key)
}

// A store that throttles gets fewer requests at once, and more again when it does not.
func TestGateLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{Store: mem.New("t"), capacity: 8}
		if err := b.Put(t.Context(), "key", nil); err != nil {
			t.Fatal(err)
		}
		gate := object.NewGate(64)
		s := object.WithGate(object.WithRetry(b, object.RetryOptions{Total: time.Hour, Throttled: gate.Throttled}), gate)
		load := func(requests int) {
			var wg sync.WaitGroup
			for range requests {
				wg.Go(func() {
					if _, err := s.Head(t.Context(), "key"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		load(2000)
		if bound := gate.Bound(); bound > 16 {
			t.Errorf("%d requests at once to a store that does 8", bound)
		}
		refused := b.refused.Swap(0)
		load(1000)
		if again := b.refused.Load(); again > 500 {
			t.Errorf("%d of 1,000 requests were refused, of 2,000 before %d", again, refused)
		}
		b.capacity = 1000
		b.most.Store(0)
		load(4000)
		if gate.Bound() != 64 || b.most.Load() != 64 {
			t.Errorf("a bound of %d, %d at once, when the store does 1,000", gate.Bound(), b.most.Load())
		}
	})
}

// The bound never falls below one, and not twice for one wave of refusals.
func TestGateBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := object.NewGate(16)
		for range 10 {
			gate.Throttled()
		}
		if gate.Bound() != 8 {
			t.Errorf("%d after one wave", gate.Bound())
		}
		for range 10 {
			time.Sleep(time.Second)
			gate.Throttled()
		}
		if gate.Bound() != 1 {
			t.Errorf("%d in the end", gate.Bound())
		}
		s := object.WithGate(mem.New("t"), gate)
		if err := s.Put(t.Context(), "key", nil); err != nil {
			t.Error(err)
		}
	})
}

// Whoever gives up waiting loses no turn, neither his nor another's.
func TestGateGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := object.WithGate(mem.New("t"), object.NewGate(1))
		if err := s.Put(t.Context(), "key", nil); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			held, err := s.Get(t.Context(), "key", 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			callers := [2]context.Context{t.Context(), ctx}
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					if _, err := s.Head(callers[i%2], "key"); err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			wg.Go(cancel)
			wg.Go(func() {
				if err := held.Close(); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
		}
	})
}
