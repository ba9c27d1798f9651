package vfstest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
	"mirrorfs/object"
	"mirrorfs/object/mem"
	"mirrorfs/vfs"
	"mirrorfs/vfs/vfstest"
)

// limited is an FS on Redis that compacts nothing by itself.
func limited(t *testing.T) (vfstest.FS, meta.Engine) {
	t.Helper()
	engine := redistest.Format(t, redistest.Start(t), redis.Options{})
	return limitedOn(t, engine, mem.New("t")), engine
}

// limitedOn is another such FS of a volume.
func limitedOn(t *testing.T, engine meta.Engine, store object.Store) vfstest.FS {
	t.Helper()
	blocks, err := chunk.New(store, nil, chunk.Options{BlockBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := vfs.New(vfs.Options{Engine: engine, Blocks: blocks, CompactExtents: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		_ = blocks.Close()
	})
	return vfstest.Direct(fs)
}

func create(t *testing.T, fs vfstest.FS, name string) vfstest.File {
	t.Helper()
	f, err := fs.Open(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// dots writes n pieces of two bytes, apart from each other, and syncs.
func dots(t *testing.T, f vfstest.File, want []byte, from, apart, n int) {
	t.Helper()
	for i := range n {
		off := from + i*apart
		copy(want[off:], "ab")
		if _, err := f.WriteAt([]byte("ab"), int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, f vfstest.File, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := f.ReadAt(got, 0); n < len(want) && err != io.EOF { //nolint:errorlint // File.ReadAt gives io.EOF itself
		t.Fatalf("%d bytes, %v", n, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the bytes differ")
	}
}

// TestFullListMakesRoom: a chunk whose list is full is compacted by the commit that needs
// room in it.
func TestFullListMakesRoom(t *testing.T) {
	fs, engine := limited(t)
	f := create(t, fs, "f")
	want := make([]byte, 1<<20)
	for round := range 8 {
		dots(t, f, want, 2*round, 400, 1500)
		holds(t, f, want[:1+400*1499])
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := engine.Extents(t.Context(), meta.Ino(st.Ino), 0, 1)
	if err != nil || len(lists[0].Extents) > meta.MaxChunkExtents {
		t.Errorf("the list has %d extents, %v", len(lists[0].Extents), err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestPiecesInOneExtent: as many pieces as a commit can have go into a chunk that is one extent, each of
// which cuts one in two: that makes a longer list than there may be, however it is compacted before.
func TestPiecesInOneExtent(t *testing.T) {
	fs, _ := limited(t)
	f := create(t, fs, "f")
	want := bytes.Repeat([]byte("x"), 400*meta.MaxCommitExtents)
	if _, err := f.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		dots(t, f, want, 10*round, 400, meta.MaxCommitExtents-1)
		holds(t, f, want)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	f = create(t, fs, "f")
	holds(t, f, want)
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestFullListTakesAppends: what two clients append to a file whose last chunk's list is full
// comes one behind the other, and overwrites nothing.
func TestFullListTakesAppends(t *testing.T) {
	address, store := redistest.Start(t), mem.New("t")
	one := limitedOn(t, redistest.Format(t, address, redis.Options{}), store)
	f := create(t, one, "f")
	want := make([]byte, 400*1499+12)
	for round := range 2 {
		dots(t, f, want, 10*round, 400, 1500)
	}
	two := limitedOn(t, redistest.Open(t, address, redis.Options{}), store)
	var tails [2]vfstest.File
	for i, fs := range []vfstest.FS{one, two} {
		g, err := fs.Open("f", os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		tails[i] = g
	}
	for round := range 60 {
		for i, g := range tails {
			line := fmt.Appendf(nil, "line %d of %d\n", round, i)
			if _, err := g.WriteAt(line, 0); err != nil {
				t.Fatal(err)
			}
			want = append(want, line...)
		}
		for _, g := range tails {
			if err := g.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, g := range append(tails[:], f) {
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f = create(t, two, "f")
	holds(t, f, want)
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestWideCommit: a commit to many chunks with long lists goes in parts, and so does the
// truncation of the file.
func TestWideCommit(t *testing.T) {
	fs, _ := limited(t)
	f := create(t, fs, "f")
	const chunks = 40
	for round := range 3 {
		for index := range int64(chunks) {
			for i := range int64(90) {
				if _, err := f.WriteAt([]byte("ab"), index*chunk.Bytes+i*100+int64(2*round)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(index int64, want string) {
		t.Helper()
		got := make([]byte, 8)
		if n, err := f.ReadAt(got, index*chunk.Bytes+8900); string(got[:n]) != want {
			t.Fatalf("chunk %d holds %q, want %q: %v", index, got[:n], want, err)
		}
	}
	check(0, "ababab\x00\x00")
	check(chunks-1, "ababab")
	for _, index := range []int64{chunks / 2, 1} {
		if err := f.Truncate(index*chunk.Bytes + 8904); err != nil {
			t.Fatal(err)
		}
		check(index, "abab")
		check(0, "ababab\x00\x00")
		check(index+1, "")
	}
	if err := f.Truncate(chunks * chunk.Bytes); err != nil {
		t.Fatal(err)
	}
	check(chunks/2, "\x00\x00\x00\x00\x00\x00\x00\x00")
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestCopyOfFragments: what has too many extents to be shared at once is copied all the same.
func TestCopyOfFragments(t *testing.T) {
	fs, _ := limited(t)
	f, g := create(t, fs, "f"), create(t, fs, "g")
	want := make([]byte, 1500*400)
	dots(t, f, want, 0, 400, 1500)
	dots(t, f, want, 10, 400, 1500)
	for at := int64(0); at < int64(len(want)-398); {
		n, err := f.CopyTo(at, g, at, int64(len(want))-at)
		if err != nil || n == 0 {
			t.Fatalf("%d bytes copied: %v", n, err)
		}
		at += n
	}
	holds(t, g, want[:1499*400+12])
	for _, f := range []vfstest.File{f, g} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
