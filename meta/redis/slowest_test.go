package redis_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// No call keeps the server for long, whatever a file looks like: the limits in package meta
// and WORK in extents.lua are chosen for 20 ms. The server's own clock judges, and generously,
// for the machine may be busy: what is not bounded takes seconds here.
func TestNoCallTakesLong(t *testing.T) {
	const most = 400 * time.Millisecond
	address := redistest.Start(t)
	redistest.Format(t, address, redis.Options{})
	e := redistest.Open(t, address, redis.Options{})
	if err := e.StartSession(t.Context(), meta.SessionInfo{Kind: "cli"}); err != nil {
		t.Fatal(err)
	}
	server := admin(t, address)
	for key, value := range map[string]string{"slowlog-log-slower-than": "2000", "slowlog-max-len": "100000"} {
		if err := server.ConfigSet(t.Context(), key, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	f := &fragments{t: t, e: e}
	for _, part := range []struct {
		name string
		run  func()
	}{
		{"commits to one chunk until its list is full", f.fillOneChunk},
		{"compaction of the list", f.compactOneChunk},
		{"commits of as many extents and chunks as may be", f.commitMuch},
		{"clones", f.cloneMuch},
		{"reads of extent lists", f.readMuch},
		{"truncation", func() { f.cut(4, 1000) }},
		{"purge", f.purge},
	} {
		if err := server.SlowLogReset(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		part.run()
		log, err := server.SlowLogGet(t.Context(), -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		slowest := time.Duration(0)
		for _, call := range log {
			slowest = max(slowest, call.Duration)
		}
		t.Logf("%s: %d calls above 2 ms, the slowest %v", part.name, len(log), slowest)
		if slowest > most {
			t.Errorf("%s: a call took %v of the server's time: want 20 ms", part.name, slowest)
		}
	}
}

// fragments makes files that are as hard as may be. Inode 2 has one chunk with a list that is
// full, 3 has many chunks with long ones, 4 is a clone of it.
type fragments struct {
	t     *testing.T
	e     *redis.Engine
	slice uint64
}

func (f *fragments) do(c meta.Change) (meta.Result, error) {
	f.t.Helper()
	res, err := f.e.Change(f.t.Context(), c)
	if err != nil && !errors.Is(err, meta.ErrTooMuch) {
		f.t.Fatalf("%T: %v", c, err)
	}
	return res, err
}

func (f *fragments) must(c meta.Change) {
	f.t.Helper()
	if _, err := f.do(c); err != nil {
		f.t.Fatalf("%T: %v", c, err)
	}
}

func (f *fragments) extent(pos, n uint32) meta.Extent {
	f.slice++
	return meta.Extent{Pos: pos, Len: n, Slice: f.slice, Home: 1, Size: n}
}

func (f *fragments) fillOneChunk() {
	f.must(newFile(1, "full"))
	rng := rand.New(rand.NewPCG(1, 1))
	for {
		c := meta.Commit{Ino: 2, Chunks: []meta.ChunkExtents{{}}}
		for range 400 {
			c.Chunks[0].Extents = append(c.Chunks[0].Extents, f.extent(rng.Uint32N(meta.ChunkBytes/4096)*4096, 4096))
		}
		if _, err := f.do(c); err != nil {
			return
		}
	}
}

func (f *fragments) list(ino meta.Ino, index uint32) []meta.Extent {
	f.t.Helper()
	_, lists, err := f.e.Extents(f.t.Context(), ino, index, 1)
	if err != nil || len(lists) != 1 {
		f.t.Fatalf("%d lists, %v", len(lists), err)
	}
	return lists[0].Extents
}

func (f *fragments) compactOneChunk() {
	old := f.list(2, 0)
	if len(old) < meta.MaxChunkExtents*3/4 {
		f.t.Errorf("the list has only %d extents", len(old))
	}
	f.must(meta.Commit{Ino: 2, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{f.extent(0, 1)}}}})
	f.must(meta.Compact{Ino: 2, Old: old, New: []meta.Extent{f.extent(0, meta.ChunkBytes)}})
}

func (f *fragments) commitMuch() {
	f.must(newFile(1, "many"))
	for range 8 { // the same chunks again and again: their lists grow
		c := meta.Commit{Ino: 3}
		for i := range uint32(64) {
			list := meta.ChunkExtents{Index: i}
			for j := range uint32(meta.MaxCommitExtents / 64) {
				list.Extents = append(list.Extents, f.extent(j*8192+uint32(f.slice%7)*4096, 4096))
			}
			c.Chunks = append(c.Chunks, list)
		}
		f.inParts(c)
	}
	wide := meta.Commit{Ino: 3}
	for i := range uint32(meta.MaxCommitExtents) {
		wide.Chunks = append(wide.Chunks, meta.ChunkExtents{Index: 1000 + i*100, Extents: []meta.Extent{f.extent(0, 4096)}})
	}
	f.inParts(wide)
}

// inParts commits what is too much in halves.
func (f *fragments) inParts(c meta.Commit) {
	if _, err := f.do(c); err == nil {
		return
	}
	first, second := c, c
	half := len(c.Chunks) / 2
	first.Chunks, second.Chunks = c.Chunks[:half], c.Chunks[half:]
	f.inParts(first)
	f.inParts(second)
}

func (f *fragments) cloneMuch() {
	f.must(newFile(1, "clone"))
	n, err := f.e.GetAttr(f.t.Context(), 3)
	if err != nil {
		f.t.Fatal(err)
	}
	step := uint64(meta.MaxCloneBytes)
	for off := uint64(0); off < n.Attr.Size; {
		c := meta.Clone{Src: 3, Dst: 4, SrcOff: off, DstOff: off + 12345, Len: min(step, n.Attr.Size-off)}
		if _, err := f.do(c); err != nil {
			step /= 2
			continue
		}
		off, step = off+c.Len, meta.MaxCloneBytes
	}
}

func (f *fragments) readMuch() {
	for _, ino := range []meta.Ino{2, 3, 4} {
		if _, _, err := f.e.Extents(f.t.Context(), ino, 0, meta.MaxExtentChunks); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fragments) cut(ino meta.Ino, size uint64) {
	for {
		res, _ := f.do(meta.SetAttr{Ino: ino, Set: meta.SetSize, Size: size})
		if res.Node.Attr.Size == size {
			return
		}
	}
}

func (f *fragments) purge() {
	f.must(meta.Unlink{Parent: 1, Name: "many"})
	for {
		orphans, err := f.e.Orphans(f.t.Context(), meta.Orphan{}, time.Now().Add(time.Hour), 1)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(orphans) == 0 {
			return
		}
		f.must(meta.Purge{Orphan: orphans[0]})
	}
}
