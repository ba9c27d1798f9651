package chunk_test

import (
	"math/rand/v2"
	"testing"

	"mirrorfs/chunk"
)

type ahead struct{ off, n, from, to int64 }

func checkAhead(t *testing.T, r *chunk.Readahead, steps []ahead) {
	t.Helper()
	for i, s := range steps {
		if from, to := r.Next(s.off, s.n); from != s.from || to != s.to {
			t.Errorf("step %d: a read of %d bytes at %d prefetches %d to %d, want %d to %d", i, s.n, s.off, from, to, s.from, s.to)
		}
	}
}

func TestReadaheadGrowsWithReading(t *testing.T) {
	r := chunk.Readahead{BlockBytes: 4 * mib, MaxBytes: 16 * mib}
	checkAhead(t, &r, []ahead{
		{0, mib, mib, 8 * mib}, // a large read at the start: two blocks, from where it ends
		{mib, mib, 0, 0},
		{2 * mib, mib, 0, 0},
		{3 * mib, mib, 0, 0},
		{4 * mib, 3 * mib, 8 * mib, 16 * mib}, // little is left
		{7 * mib, mib, 0, 0},
		{12 * mib, mib, 16 * mib, 32 * mib}, // as far as the limit
		{13 * mib, 6 * mib, 0, 0},
		{19 * mib, 6 * mib, 32 * mib, 44 * mib},
	})
}

func TestReadaheadForgetsAtAJump(t *testing.T) {
	r := chunk.Readahead{BlockBytes: 4 * mib}
	checkAhead(t, &r, []ahead{
		{0, mib, mib, 8 * mib},
		{100 * mib, 4096, 0, 0},
		{50 * mib, mib, 0, 0},
		{51 * mib, mib, 52 * mib, 60 * mib}, // reads on from there
	})
}

func TestReadaheadLeavesRandomReadsAlone(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	var r chunk.Readahead
	for range 1000 {
		off := rng.Int64N(1<<40) + 1
		if from, to := r.Next(off, 4096); from != to {
			t.Fatalf("seed %d: a random read at %d prefetches %d to %d", seed, off, from, to)
		}
	}
}

// TestReadaheadCopesWithDisorder: the kernel sends parts of one read at once.
func TestReadaheadCopesWithDisorder(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	r := chunk.Readahead{}
	const part, total = 128 << 10, 256 * mib
	var end, told int64
	for batch := int64(0); batch < total; batch += 4 * part {
		for _, i := range rng.Perm(4) {
			off := batch + int64(i)*part
			from, to := r.Next(off, part)
			if from == to {
				continue
			}
			if from < told {
				t.Fatalf("seed %d: %d to %d was told before", seed, from, told)
			}
			told, end = to, to
		}
	}
	if end < total {
		t.Errorf("seed %d: prefetched up to %d of %d", seed, end, total)
	}
}
