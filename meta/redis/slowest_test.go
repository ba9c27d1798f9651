package redis_test

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// No call keeps the server for long, whatever a file looks like: the limits in package meta
// and WORK in extents.lua are chosen for 20 ms. The server's processor time judges, as the
// machine may be busy; and generously: what is not bounded takes seconds here.
func TestNoCallTakesLong(t *testing.T) {
	const most = 60 * time.Millisecond
	address := redistest.Start(t)
	redistest.Format(t, address, redis.Options{})
	e := redistest.Open(t, address, redis.Options{})
	if err := e.StartSession(t.Context(), meta.SessionInfo{Kind: "cli"}); err != nil {
		t.Fatal(err)
	}
	server := admin(t, address)
	f := &fragments{t: t, e: e, server: server}
	for _, part := range []struct {
		name string
		run  func()
	}{
		{"commits to one chunk until its list is full", f.fillOneChunk},
		{"compaction of the list", f.compactOneChunk},
		{"commits of as many extents and chunks as may be", f.commitMuch},
		{"clones", f.cloneMuch},
		{"reads of extent lists", f.readMuch},
		{"sums of rows, and the rows", f.compareMuch},
		{"truncation", func() { f.cut(4, 1000) }},
		{"purge", f.purge},
		{"keeping what is overwritten", f.overwrite},
		{"reclaiming", f.reclaim},
	} {
		f.calls, f.slowest = 0, 0
		part.run()
		t.Logf("%s: %d calls, the slowest %v", part.name, f.calls, f.slowest.Round(100*time.Microsecond))
		if f.slowest > most {
			t.Errorf("%s: a call took %v of the server's processor: want 20 ms", part.name, f.slowest)
		}
	}
}

// fragments makes files that are as hard as may be. Inode 2 has one chunk with a list that is
// full, 3 has many chunks with long ones, 4 is a clone of it.
type fragments struct {
	t      *testing.T
	e      *redis.Engine
	server *goredis.Client
	slice  uint64

	calls   int
	slowest time.Duration
}

func (f *fragments) do(c meta.Change) (meta.Result, error) {
	f.t.Helper()
	var res meta.Result
	var err error
	f.costs(func() { res, err = f.e.Change(f.t.Context(), c) })
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
		f.costs(func() {
			if _, _, err := f.e.Extents(f.t.Context(), ino, 0, meta.MaxExtentChunks); err != nil {
				f.t.Fatal(err)
			}
		})
	}
}

// compareMuch sums up all rows as a verification does, with the ends that it chooses and with those
// given, and reads all rows, as a repair does of what differs. A directory of many pages is among them, and
// inodes with as many attributes and extents as may be.
func (f *fragments) compareMuch() {
	d, _ := f.do(meta.Make{Parent: 1, Name: "dir", Mode: meta.TypeDir | 0o755})
	for i := range 3000 {
		f.must(newFile(d.Node.Ino, "a name that is not short "+strconv.Itoa(i)))
	}
	for i := range 200 {
		f.must(meta.SetXattr{Ino: d.Node.Ino, Name: "user.of-some-length-" + strconv.Itoa(i), Value: []byte(strings.Repeat("v", 1000))})
	}
	for at := meta.PlaceStart; at != meta.PlaceEnd; {
		var sums meta.Digest
		var err error
		f.costs(func() { sums, err = f.e.Digest(f.t.Context(), at, nil, meta.MaxDigestRows) })
		if err != nil || len(sums.Parts) == 0 {
			f.t.Fatalf("%d sums, %v", len(sums.Parts), err)
		}
		var ends []meta.Place
		for i := range sums.Parts {
			ends = append(ends, sums.Parts[i].End)
		}
		f.costs(func() { _, err = f.e.Digest(f.t.Context(), at, ends, meta.MaxDigestRows) })
		if err != nil {
			f.t.Fatal(err)
		}
		at = ends[len(ends)-1]
	}
	rows := 0
	for cursor := meta.Cursor(nil); ; {
		var b meta.Batch
		var err error
		f.costs(func() { b, err = f.e.Rows(f.t.Context(), meta.PlaceStart, meta.PlaceEnd, cursor, 1000) })
		if err != nil {
			f.t.Fatal(err)
		}
		rows += len(b.Effects)
		if cursor = b.Next; cursor == nil {
			break
		}
	}
	if rows < 1<<19 {
		f.t.Errorf("all rows are only %d bytes: the test shows nothing", rows)
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

// overwrite cuts to nothing what is as large as may be kept.
func (f *fragments) overwrite() {
	v, err := f.e.Volume(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	v.Trash = time.Hour
	f.must(meta.Settings{Volume: v})
	res, _ := f.do(newFile(1, "large"))
	for i := range uint32(meta.MaxKeptLists / 128) {
		c := meta.Commit{Ino: res.Node.Ino}
		for j := range uint32(128) {
			list := meta.ChunkExtents{Index: i*128 + j}
			for k := range uint32(meta.MaxKeptBytes / meta.MaxKeptLists / 23) {
				list.Extents = append(list.Extents, f.extent(k*8192, 4096))
			}
			c.Chunks = append(c.Chunks, list)
		}
		f.inParts(c)
	}
	cut, _ := f.do(meta.SetAttr{Ino: res.Node.Ino, Set: meta.SetSize})
	orphans, err := f.e.Orphans(f.t.Context(), meta.Orphan{}, time.Now().Add(time.Hour), 2)
	if err != nil || len(orphans) != 1 || orphans[0].Parent != res.Node.Ino || cut.Node.Attr.Size != 0 {
		f.t.Fatalf("the file was not kept: %+v, %v", orphans, err)
	}
	f.must(meta.Restore{Orphan: orphans[0], Parent: 1, Name: "kept"})
	f.must(meta.Unlink{Parent: 1, Name: "kept"})
}

// reclaim lets go of all that was freed, as package reclaim does.
func (f *fragments) reclaim() {
	batch, slices, rows := meta.Reclaim{}, 0, 0
	send := func() {
		if len(batch.Rows) > 0 {
			f.must(batch)
		}
		batch.Rows, slices = nil, 0
	}
	var after meta.Freed
	for {
		var page []meta.Freed
		var err error
		f.costs(func() {
			page, err = f.e.Freed(f.t.Context(), after, time.Now().Add(time.Hour), meta.MaxReclaimRows)
		})
		if err != nil {
			f.t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, row := range page {
			if slices+len(row.Slices) > meta.MaxReclaimSlices {
				send()
			}
			batch.Rows = append(batch.Rows, row)
			slices, rows = slices+len(row.Slices), rows+1
		}
		send()
		after = page[len(page)-1]
	}
	ids := make([]uint64, meta.MaxKnown)
	for i := range ids {
		ids[i] = uint64(i) * 100
	}
	f.costs(func() {
		if _, err := f.e.Known(f.t.Context(), ids); err != nil || rows < 20 {
			f.t.Errorf("%d rows were reclaimed, %v", rows, err)
		}
	})
}

// costs makes one call and measures the server's processor time.
func (f *fragments) costs(do func()) {
	f.t.Helper()
	before := f.used()
	do()
	f.calls++
	f.slowest = max(f.slowest, f.used()-before)
}

// used is the processor time of the server's main thread so far.
func (f *fragments) used() time.Duration {
	f.t.Helper()
	info, err := f.server.Info(f.t.Context(), "cpu").Result()
	if err != nil {
		f.t.Fatal(err)
	}
	sum, fields := 0.0, 0
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "used_cpu_user_main_thread" && name != "used_cpu_sys_main_thread" {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			f.t.Fatal(err)
		}
		sum, fields = sum+n, fields+1
	}
	if fields != 2 {
		f.t.Fatalf("the server does not tell its processor time: %s", info)
	}
	return time.Duration(sum * float64(time.Second))
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
