package meta_test

import (
	"math/rand/v2"
	"testing"

	"mirrorfs/meta"
)

// TestWithLock compares lists of ranges with an array of bytes that are locked or not.
func TestWithLock(t *testing.T) {
	const bytes = 12
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var list []meta.LockedRange
		var want [bytes]meta.LockType
		for step := range 50 {
			first := rng.Uint64N(bytes)
			r := meta.LockedRange{Type: meta.LockType(rng.IntN(3)), First: first, Last: first + rng.Uint64N(bytes-first)}
			for i := r.First; i <= r.Last; i++ {
				want[i] = r.Type
			}
			list = meta.WithLock(list, r)
			var got [bytes]meta.LockType
			for i, o := range list {
				for at := o.First; at <= o.Last; at++ {
					got[at] = o.Type
				}
				if o.Type == meta.LockNone || o.First > o.Last {
					t.Fatalf("seed %d, step %d: %+v", seed, step, list)
				}
				if i > 0 && (o.First <= list[i-1].Last || o.First == list[i-1].Last+1 && o.Type == list[i-1].Type) {
					t.Fatalf("seed %d, step %d: not apart: %+v", seed, step, list)
				}
			}
			if got != want {
				t.Fatalf("seed %d, step %d: after %+v: %v, want %v", seed, step, r, got, want)
			}
		}
	}
}

func TestWithLockAtTheEnds(t *testing.T) {
	list := meta.WithLock(nil, meta.WholeFile(meta.LockExclusive))
	list = meta.WithLock(list, meta.LockedRange{First: 0, Last: 0})
	list = meta.WithLock(list, meta.LockedRange{First: meta.MaxLockByte, Last: meta.MaxLockByte})
	if len(list) != 1 || list[0] != (meta.LockedRange{Type: meta.LockExclusive, First: 1, Last: meta.MaxLockByte - 1}) {
		t.Errorf("without its first and last byte the file is locked as %+v", list)
	}
	list = meta.WithLock(list, meta.WholeFile(meta.LockNone))
	if len(list) != 0 {
		t.Errorf("released, and still locked: %+v", list)
	}
}
