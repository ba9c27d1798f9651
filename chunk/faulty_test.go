package chunk_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/object"
	"mirrorfs/object/faulty"
	"mirrorfs/object/mem"
)

// TestFaultsNeverBecomeWrongBytes writes and reads over a store that fails, cuts off,
// damages and delays at random: whatever returns without an error is right.
func TestFaultsNeverBecomeWrongBytes(t *testing.T) {
	for name, cache := range map[string]func(*testing.T) chunk.Cache{
		"none": func(*testing.T) chunk.Cache { return nil },
		"disk": func(t *testing.T) chunk.Cache {
			return openCache(t, t.TempDir(), chunk.DiskOptions{LimitBytes: mib})
		},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			bad := faulty.New(mem.New("faults"), faulty.Options{Seed: seed, Rates: map[faulty.Op]faulty.Rates{
				faulty.PutIfAbsent: {Error: 0.05, Throttle: 0.03, After: 0.03, Slow: 0.02},
				faulty.Get:         {Error: 0.05, Slow: 0.02, Cut: 0.05, Short: 0.05, Corrupt: 0.1},
			}})
			b := newBlocks(t, bad, cache(t), chunk.Options{BlockBytes: 256 << 10, BufferBytes: mib})
			var all sync.WaitGroup
			for g := range 6 {
				all.Go(func() { stormOne(t, b, seed, uint64(g)) })
			}
			all.Wait()
			if bad.Faults() == 0 {
				t.Error("there were no faults")
			}
		})
	}
}

func stormOne(t *testing.T, b *chunk.Blocks, seed, g uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, g))
	closed, right := 0, 0
	for i := range uint64(20) {
		slice := g*1000 + i + 1
		data := random(seed+slice, 1+rng.IntN(mib))
		w := b.NewWriter(slice, home, nil)
		_, err := w.Write(t.Context(), data)
		if err = errors.Join(err, w.Close(t.Context())); err != nil {
			if !known(err) {
				t.Errorf("write: %v", err)
			}
			continue
		}
		closed++
		for range 8 {
			off := rng.IntN(len(data))
			n := 1 + rng.IntN(len(data)-off)
			spans, err := b.Read(t.Context(), []chunk.Segment{part(slice, len(data), off, n)})
			if err != nil {
				if !known(err) {
					t.Errorf("read: %v", err)
				}
				continue
			}
			right++
			if !bytes.Equal(gather(t, spans), data[off:off+n]) {
				t.Errorf("%d bytes at %d of slice %d are wrong", n, off, slice)
			}
		}
	}
	if closed == 0 || right < closed {
		t.Errorf("only %d slices were closed and %d reads succeeded", closed, right)
	}
}

// known tells whether an error is one that the faults explain.
func known(err error) bool {
	return errors.Is(err, faulty.ErrInjected) || errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, object.ErrThrottled)
}
