package chunk_test

import (
	"errors"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// Warm fetches each block that is missing once, tells what is there, and fails for what cannot
// be had.
func TestWarm(t *testing.T) {
	store := mem.New("a")
	refs := written(t, store)
	cache, err := chunk.OpenDiskCache(t.TempDir(), chunk.DiskOptions{Volume: "v", LimitBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	b, err := chunk.New(store, cache, chunk.Options{BlockBytes: auditBlock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.Close(), cache.Close()); err != nil {
			t.Error(err)
		}
	})
	r := refs[0]
	segs := []chunk.Segment{
		{Slice: r.Slice, Home: r.Home, Size: r.Size, Off: 10, Len: 100},
		{Len: 5000}, // a hole
		{Slice: r.Slice, Home: r.Home, Size: r.Size, Off: auditBlock, Len: r.Size - auditBlock},
		{Slice: r.Slice, Home: r.Home, Size: r.Size, Off: 500, Len: 100},
	}
	data := int64(100 + r.Size - auditBlock + 100)
	if w := b.Cached(segs); w != (chunk.Warmth{Total: data}) {
		t.Errorf("before: %+v", w)
	}
	if w, err := b.Warm(t.Context(), segs); err != nil || w != (chunk.Warmth{Total: data, Cached: data, Fetched: data}) {
		t.Errorf("warmed: %+v, %v", w, err)
	}
	for block := range 3 { // nothing is asked for again
		if err := store.Delete(t.Context(), chunk.Key(r.Home, r.Slice, block)); err != nil {
			t.Fatal(err)
		}
	}
	if w, err := b.Warm(t.Context(), segs); err != nil || w != (chunk.Warmth{Total: data, Cached: data}) {
		t.Errorf("warmed again: %+v, %v", w, err)
	}
	lost := refs[1]
	if err := store.Delete(t.Context(), chunk.Key(lost.Home, lost.Slice, 0)); err != nil {
		t.Fatal(err)
	}
	segs = append(segs, chunk.Segment{Slice: lost.Slice, Home: lost.Home, Size: lost.Size, Len: lost.Size})
	if w, err := b.Warm(t.Context(), segs); !errors.Is(err, object.ErrNotExist) || w.Cached != data {
		t.Errorf("with a block that is missing: %+v, %v", w, err)
	}
}
