package redis_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/meta/redis/redistest"
)

// A chunk with thousands of small writes over each other holds the same bytes as in the
// model, through all the forms that its list goes through, and its slices are freed in the end.
func TestLongExtentLists(t *testing.T) {
	const seed, commits = 1, 1500
	rng := rand.New(rand.NewPCG(seed, 0))
	e := redistest.New(t)
	m := model.New(meta.Volume{Name: "test"}, time.Now)
	if err := m.StartSession(t.Context(), meta.SessionInfo{}); err != nil {
		t.Fatal(err)
	}
	both := func(c meta.Change) {
		t.Helper()
		if _, err := e.Change(t.Context(), c); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if _, err := m.Change(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	both(newFile(1, "f"))
	slice := uint64(0)
	longest := 0
	for i := range commits {
		slice++
		pos, n := rng.Uint32N(4<<20), 1+rng.Uint32N(16<<10)
		both(meta.Commit{Ino: 2, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{{Pos: pos, Len: n, Slice: slice, Home: 1, Size: n}}}}})
		if rng.IntN(200) == 0 {
			both(meta.SetAttr{Ino: 2, Set: meta.SetSize, Size: 1<<20 + rng.Uint64N(3<<20)})
		}
		if i%50 == 0 || i == commits-1 {
			longest = max(longest, sameBytes(t, e, m, 2))
		}
	}
	if longest < 300 {
		t.Errorf("the longest list had %d extents: this tests nothing", longest)
	}
	both(meta.Unlink{Parent: 1, Name: "f"})
	for _, p := range []interface {
		meta.Engine
		meta.Purger
	}{e, m} {
		orphans, err := p.Orphans(t.Context(), meta.Orphan{}, time.Now().Add(time.Hour), 10)
		if err != nil || len(orphans) != 1 {
			t.Fatalf("orphans are %v, %v", orphans, err)
		}
		if _, err := p.Change(t.Context(), meta.Purge{Orphan: orphans[0]}); err != nil {
			t.Fatal(err)
		}
	}
	if n := freed(t, e); n != commits {
		t.Errorf("of %d slices %d were freed", commits, n)
	}
	checkReplay(t, addressOf(t, e))
}

// sameBytes compares what a file holds in two engines, byte by byte of its first chunk at
// the borders of extents, and returns the length of the first one's list.
func sameBytes(t *testing.T, a, b meta.Reader, ino meta.Ino) int {
	t.Helper()
	_, one, err := a.Extents(t.Context(), ino, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, two, err := b.Extents(t.Context(), ino, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	borders := map[uint32]bool{0: true}
	for _, list := range [][]meta.ChunkExtents{one, two} {
		for _, x := range list[0].Extents {
			for _, pos := range []uint32{x.Pos, x.Pos + x.Len} {
				borders[pos], borders[pos-min(pos, 1)] = true, true
			}
		}
	}
	for pos := range borders {
		if got, want := byteAt(one[0].Extents, pos), byteAt(two[0].Extents, pos); got != want {
			t.Fatalf("byte %d is %s, and %s in the model", pos, got, want)
		}
	}
	return len(one[0].Extents)
}

func byteAt(list []meta.Extent, pos uint32) string {
	for i := len(list) - 1; i >= 0; i-- {
		if e := &list[i]; pos >= e.Pos && pos < e.Pos+e.Len {
			if e.Slice == 0 {
				break
			}
			return fmt.Sprintf("byte %d of slice %d", e.Off+pos-e.Pos, e.Slice)
		}
	}
	return "a hole"
}

// freed counts the slices that the log says are freed, each once.
func freed(t *testing.T, e meta.Source) int {
	t.Helper()
	seen := map[uint64]bool{}
	for _, entry := range wholeLog(t, e) {
		r, err := meta.DecodeRecord(entry.Raw)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Effects {
			for _, s := range r.Effects[i].Slices {
				if seen[s.ID] {
					t.Errorf("slice %d was freed twice", s.ID)
				}
				seen[s.ID] = true
			}
		}
	}
	return len(seen)
}

// A very large file is purged in parts, so that no call keeps the server for long.
func TestLargeFileIsPurgedInParts(t *testing.T) {
	const chunks = 20000
	e := redistest.New(t)
	if _, err := e.Change(t.Context(), newFile(1, "f")); err != nil {
		t.Fatal(err)
	}
	writeChunks(t, e, chunks, 1)
	if _, err := e.Change(t.Context(), meta.Unlink{Parent: 1, Name: "f"}); err != nil {
		t.Fatal(err)
	}
	purges := 0
	for {
		orphans, err := e.Orphans(t.Context(), meta.Orphan{}, time.Now().Add(time.Hour), 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(orphans) == 0 {
			break
		}
		if _, err := e.Change(t.Context(), meta.Purge{Orphan: orphans[0]}); err != nil {
			t.Fatal(err)
		}
		purges++
	}
	if purges < 2 {
		t.Errorf("the file was purged in %d parts", purges)
	}
	if n := freed(t, e); n != chunks {
		t.Errorf("of %d slices %d were freed", chunks, n)
	}
	if _, err := e.GetAttr(t.Context(), 2); err == nil {
		t.Error("the inode is still there")
	}
	checkReplay(t, addressOf(t, e))
}

// writeChunks gives inode 2 an extent of 100 bytes, of a slice of its own, in each of n chunks
// that are so many apart.
func writeChunks(t *testing.T, e meta.Engine, n, apart uint32) {
	t.Helper()
	c := meta.Commit{Ino: 2}
	for i := range n {
		c.Chunks = append(c.Chunks, meta.ChunkExtents{Index: i * apart, Extents: []meta.Extent{{Len: 100, Slice: uint64(i) + 1, Home: 1, Size: 100}}})
		if len(c.Chunks) < meta.MaxCommitExtents && i < n-1 {
			continue
		}
		if _, err := e.Change(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		c.Chunks = nil
	}
}

// truncate cuts inode 2 and returns in how many calls.
func truncate(t *testing.T, e meta.Engine, size uint64) int {
	t.Helper()
	for calls := 1; ; calls++ {
		res, err := e.Change(t.Context(), meta.SetAttr{Ino: 2, Set: meta.SetSize, Size: size})
		if err != nil {
			t.Fatal(err)
		}
		if res.Node.Attr.Size == size {
			return calls
		}
	}
}

// A truncation frees all chunks, in several calls when there are many, and the file is as
// new. So it does when chunks are few and far between.
func TestTruncateLargeFile(t *testing.T) {
	for _, tt := range []struct {
		chunks, apart uint32
		calls         int // at most
	}{{3000, 1, 3}, {3000, 300, 3}, {10_000, 100, 70}} {
		e := redistest.New(t)
		if _, err := e.Change(t.Context(), newFile(1, "f")); err != nil {
			t.Fatal(err)
		}
		writeChunks(t, e, tt.chunks, tt.apart)
		calls := truncate(t, e, 0)
		if calls < 2 || calls > tt.calls {
			t.Errorf("%d chunks, %d apart, took %d calls", tt.chunks, tt.apart, calls)
		}
		n, lists, err := e.Extents(t.Context(), 2, 0, meta.MaxExtentChunks)
		if err != nil || len(lists) != 0 || n.Attr.HasChunks || n.Attr.Size != 0 {
			t.Errorf("after the truncation: %+v, %v, %v", n, lists, err)
		}
		if n := freed(t, e); n != int(tt.chunks) {
			t.Errorf("of %d slices %d were freed", tt.chunks, n)
		}
		checkReplay(t, addressOf(t, e))
	}
}
