package chunk_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mirrorfs/chunk"
)

func TestResolve(t *testing.T) {
	a := chunk.Extent{Pos: 10, Len: 20, Slice: 1, Home: 1, Size: 100, Off: 5}
	b := chunk.Extent{Pos: 15, Len: 5, Slice: 2, Home: 2, Size: 5}
	hole := chunk.Extent{Pos: 12, Len: 10}
	next := chunk.Extent{Pos: 30, Len: 10, Slice: 1, Home: 1, Size: 100, Off: 25}
	of := func(slice uint64, home uint8, size, off, n uint32) chunk.Segment {
		return chunk.Segment{Slice: slice, Home: home, Size: size, Off: off, Len: n}
	}
	gap := func(n uint32) chunk.Segment { return chunk.Segment{Len: n} }
	for _, c := range []struct {
		name    string
		extents []chunk.Extent
		pos, n  uint32
		want    []chunk.Segment
	}{
		{"no bytes of nothing", nil, 7, 0, nil},
		{"no bytes of something", []chunk.Extent{a}, 12, 0, nil},
		{"nothing is a hole", nil, 7, 100, []chunk.Segment{gap(100)}},
		{"exactly one", []chunk.Extent{a}, 10, 20, []chunk.Segment{of(1, 1, 100, 5, 20)}},
		{"inside one", []chunk.Extent{a}, 12, 3, []chunk.Segment{of(1, 1, 100, 7, 3)}},
		{"around one", []chunk.Extent{a}, 0, 40, []chunk.Segment{gap(10), of(1, 1, 100, 5, 20), gap(10)}},
		{"later hides the middle", []chunk.Extent{a, b}, 10, 20, []chunk.Segment{
			of(1, 1, 100, 5, 5), of(2, 2, 5, 0, 5), of(1, 1, 100, 15, 10),
		}},
		{"earlier is hidden", []chunk.Extent{b, a}, 10, 20, []chunk.Segment{of(1, 1, 100, 5, 20)}},
		{"a written hole hides too", []chunk.Extent{a, hole}, 10, 20, []chunk.Segment{
			of(1, 1, 100, 5, 2), gap(10), of(1, 1, 100, 17, 8),
		}},
		{"neighbours in one slice join", []chunk.Extent{a, next}, 10, 30, []chunk.Segment{of(1, 1, 100, 5, 30)}},
		{"written holes join real ones", []chunk.Extent{hole}, 0, 40, []chunk.Segment{gap(40)}},
		{"the end of the chunk", []chunk.Extent{{Pos: chunk.Bytes - 1, Len: 1, Slice: 3, Size: 1}}, chunk.Bytes - 2, 2, []chunk.Segment{
			gap(1), of(3, 0, 1, 0, 1),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, chunk.Resolve(c.extents, c.pos, c.n)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// origin is where a byte comes from: the oracle keeps one for each.
type origin struct {
	slice uint64
	off   uint32
}

func checkResolve(t *testing.T, extents []chunk.Extent, pos, n uint32, limit int) {
	t.Helper()
	bytes := make([]origin, limit)
	for _, e := range extents {
		for i := range e.Len {
			bytes[e.Pos+i] = origin{}
			if e.Slice != 0 {
				bytes[e.Pos+i] = origin{e.Slice, e.Off + i}
			}
		}
	}
	var got []origin
	segs := chunk.Resolve(extents, pos, n)
	for i, s := range segs {
		if s.Len == 0 {
			t.Errorf("segment %d is empty", i)
		}
		if i > 0 && s.Slice == segs[i-1].Slice && (s.Slice == 0 || segs[i-1].Off+segs[i-1].Len == s.Off) {
			t.Errorf("segments %d and %d should be one", i-1, i)
		}
		for j := range s.Len {
			o := origin{}
			if s.Slice != 0 {
				o = origin{s.Slice, s.Off + j}
			}
			got = append(got, o)
		}
	}
	if !slices.Equal(got, bytes[pos:pos+n]) {
		t.Errorf("Resolve(%+v, %d, %d) = %+v", extents, pos, n, segs)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add(uint64(1), uint8(3))
	f.Add(uint64(2), uint8(40))
	f.Fuzz(func(t *testing.T, seed uint64, count uint8) {
		const limit = 512
		rng := rand.New(rand.NewPCG(seed, uint64(count)))
		extents := make([]chunk.Extent, count)
		for i := range extents {
			pos := rng.Uint32N(limit)
			extents[i] = chunk.Extent{Pos: pos, Len: rng.Uint32N(limit-pos) / (1 + rng.Uint32N(16)), Slice: rng.Uint64N(6), Size: 4096, Off: rng.Uint32N(64)}
		}
		pos := rng.Uint32N(limit)
		checkResolve(t, extents, pos, rng.Uint32N(limit-pos), limit)
		checkResolve(t, extents, 0, limit, limit)
	})
}

func TestResolveOfRandomExtents(t *testing.T) {
	for seed := range uint64(300) {
		const limit = 300
		rng := rand.New(rand.NewPCG(seed, 0))
		extents := make([]chunk.Extent, rng.IntN(30))
		for i := range extents {
			pos := rng.Uint32N(limit)
			extents[i] = chunk.Extent{Pos: pos, Len: rng.Uint32N(limit - pos), Slice: rng.Uint64N(4), Size: 4096, Off: rng.Uint32N(64)}
		}
		pos := rng.Uint32N(limit)
		checkResolve(t, extents, pos, rng.Uint32N(limit-pos), limit)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestKeys(t *testing.T) {
	for want, c := range map[string]struct {
		home  uint8
		slice uint64
		block int
	}{
		"data/1/2a/42-0":                   {1, 42, 0},
		"data/255/ff/281474976710655-15":   {255, 1<<48 - 1, 15},
		"data/0/00/0-1023":                 {0, 0, 1023},
		"data/2/ff/18446744073709551615-3": {2, 1<<64 - 1, 3},
	} {
		if got := chunk.Key(c.home, c.slice, c.block); got != want {
			t.Errorf("Key(%d, %d, %d) = %q, want %q", c.home, c.slice, c.block, got, want)
		}
		home, slice, block, ok := chunk.ParseKey(want)
		if !ok || home != c.home || slice != c.slice || block != c.block {
			t.Errorf("ParseKey(%q) = %d, %d, %d, %v", want, home, slice, block, ok)
		}
	}
	for _, bad := range []string{
		"", "data/1/2a/42", "data/1/2b/42-0", "data/01/2a/42-0", "data/1/2a/042-0", "data/1/2a/42-00", "data/1/2A/42-0",
		"data/256/2a/42-0", "data/1/2a/42--1", "data/1/2a/+42-0", "meta/1/2a/42-0", "data/1/2a/42-0/", "/data/1/2a/42-0",
	} {
		if _, _, _, ok := chunk.ParseKey(bad); ok {
			t.Errorf("ParseKey(%q) is ok", bad)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("data/1/2a/42-0")
	f.Fuzz(func(t *testing.T, key string) {
		if home, slice, block, ok := chunk.ParseKey(key); ok && chunk.Key(home, slice, block) != key {
			t.Errorf("%q parses to what makes another key", key)
		}
	})
}
