package vfs_test

import (
	"bytes"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/object"
	"mirrorfs/vfs"
)

// pieces writes n pieces with holes between them, each with a sync, and gives what the
// file holds.
func (r *rig) pieces(f *vfs.File, n int) []byte {
	r.Helper()
	want := make([]byte, n*10_000)
	for i := range n {
		p := fill(byte(i), 5000)
		r.write(f, p, int64(i)*10_000)
		copy(want[i*10_000:], p)
		r.ok(f.Fsync(r.Context()))
	}
	return want[:n*10_000-5000]
}

// listLength is how many extents the first chunk has.
func (r *rig) listLength(f *vfs.File) int {
	r.Helper()
	_, lists, err := r.model.Extents(r.Context(), f.Ino(), 0, 1)
	r.ok(err)
	if len(lists) == 0 {
		return 0
	}
	return len(lists[0].Extents)
}

// TestFragmentedChunkIsCompacted: behind the writer, who cannot tell.
func TestFragmentedChunkIsCompacted(t *testing.T) {
	running(t, vfs.Options{CompactExtents: 8}, func(t *testing.T, r *rig) {
		f := r.create("f")
		r.pieces(f, 5)
		synctest.Wait()
		if n := r.listLength(f); n != 5 {
			t.Fatalf("%d extents: a short list is left alone", n)
		}
		want := r.pieces(f, 20)
		before, err := r.fs.GetAttr(t.Context(), f.Ino())
		r.ok(err)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := r.listLength(f); n > 8 { // some may have been written after the compaction
			t.Fatalf("%d extents, want few", n)
		}
		r.holds(f, want)
		after, err := r.fs.GetAttr(t.Context(), f.Ino())
		r.ok(err)
		if after.Attr.Mtime != before.Attr.Mtime || after.Attr.Ctime != before.Attr.Ctime || after.Attr.Size != before.Attr.Size {
			t.Errorf("the file became %+v, was %+v", after.Attr, before.Attr)
		}
		r.write(f, []byte("more"), 3)
		copy(want[3:], "more")
		r.closes(f)
		other := &rig{TB: t, model: r.model, store: r.store}
		other.mount(vfs.Options{ReadOnly: true})
		g := other.open("f", syscall.O_RDONLY)
		other.holds(g, want)
		other.closes(g)
	})
}

// TestReaderFindsLongLists: a client that only reads has them compacted too, if it may.
func TestReaderFindsLongLists(t *testing.T) {
	running(t, vfs.Options{CompactExtents: 8, CompactOnRead: true}, func(t *testing.T, r *rig) {
		writer := &rig{TB: t, model: r.model, store: r.store}
		writer.mount(vfs.Options{CompactExtents: -1})
		f := writer.create("f")
		want := writer.pieces(f, 20)
		writer.closes(f)
		g := r.open("f", syscall.O_RDONLY)
		r.holds(g, want)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := r.listLength(g); n != 1 {
			t.Errorf("%d extents, want one", n)
		}
		r.holds(g, want)
		r.closes(g)
	})
}

// TestCompactionBesideWriter: a compaction whose reply is late must not take the file back to
// what it was before a commit.
func TestCompactionBesideWriter(t *testing.T) {
	running(t, vfs.Options{CompactExtents: 8}, func(t *testing.T, r *rig) {
		var once sync.Once
		committed := make(chan struct{})
		replaced := make(chan struct{})
		r.meter.hold = func(op string) {
			switch op {
			case "compact":
				once.Do(func() { close(replaced) })
				select {
				case <-committed:
				case <-time.After(time.Second):
				}
			case "commit":
				select {
				case <-replaced:
					select {
					case <-committed:
					default:
						close(committed)
					}
				default:
				}
			}
		}
		f := r.create("f")
		want := r.pieces(f, 9)
		<-replaced
		r.write(f, []byte("at the end"), int64(len(want)))
		want = append(want, "at the end"...)
		r.ok(f.Fsync(t.Context()))
		time.Sleep(time.Minute)
		synctest.Wait()
		if f.Size() != int64(len(want)) {
			t.Errorf("the file is %d long, want %d", f.Size(), len(want))
		}
		r.holds(f, want)
		r.closes(f)
	})
}

// TestCompactedAwayUnderReader: a reader that goes by extents that were replaced, and whose
// blocks are gone by now, finds the new ones. One whose blocks are simply missing is told.
func TestCompactedAwayUnderReader(t *testing.T) {
	running(t, vfs.Options{CompactExtents: 8}, func(t *testing.T, r *rig) {
		reader := &rig{TB: t, model: r.model, store: r.store}
		reader.mount(vfs.Options{ReadOnly: true})
		f := r.create("f")
		r.pieces(f, 8)
		g := reader.open("f", syscall.O_RDONLY)
		want, err := reader.tryRead(g, 0, 1<<20)
		r.ok(err)
		_, lists, err := r.model.Extents(t.Context(), f.Ino(), 0, 1)
		r.ok(err)
		old := lists[0].Extents
		r.write(f, want[:10], 0) // the ninth
		r.ok(f.Fsync(t.Context()))
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.listLength(f) != 1 {
			t.Fatal("not compacted")
		}
		for _, e := range old {
			r.deleteSlice(e.Slice)
		}
		reader.holds(g, want)
		_, lists, err = r.model.Extents(t.Context(), f.Ino(), 0, 1)
		r.ok(err)
		r.deleteSlice(lists[0].Extents[0].Slice)
		reader.mount(vfs.Options{ReadOnly: true})
		h := reader.open("f", syscall.O_RDONLY)
		_, err = reader.tryRead(h, 0, 10)
		r.fails(err, syscall.EIO)
		reader.closes(h)
		reader.closes(g)
		r.closes(f)
	})
}

// deleteSlice deletes the blocks of a slice.
func (r *rig) deleteSlice(id uint64) {
	r.Helper()
	list, err := r.store.List(r.Context(), "data/", "", object.MaxListed)
	r.ok(err)
	for _, o := range list {
		if _, slice, _, ok := chunk.ParseKey(o.Key); ok && slice == id {
			r.ok(r.store.Delete(r.Context(), o.Key))
		}
	}
}

// TestSeekOverBuffered: what is buffered counts as data, what was punched does not.
func TestSeekOverBuffered(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	r.meter.take()
	r.write(f, bytes.Repeat([]byte("x"), 100_000), 0)
	r.ok(f.Punch(t.Context(), 10_000, 20_000))
	for _, test := range []struct{ from, data, hole int64 }{{0, 0, 10_000}, {15_000, 30_000, 15_000}, {99_999, 99_999, 100_000}} {
		data, err := f.SeekData(t.Context(), test.from)
		r.ok(err)
		hole, err := f.SeekHole(t.Context(), test.from)
		r.ok(err)
		if data != test.data || hole != test.hole {
			t.Errorf("from %d: data at %d, hole at %d; want %d and %d", test.from, data, hole, test.data, test.hole)
		}
	}
	r.trips("")
	r.closes(f)
	r.trips("commit:1")
	clone := r.create("clone")
	f = r.open("f", syscall.O_RDONLY)
	r.meter.take()
	n, err := f.CopyRange(t.Context(), 0, clone, 0, 1<<20)
	r.ok(err)
	if n != 100_000 {
		t.Errorf("%d bytes copied", n)
	}
	r.trips("clone:1")
	r.closes(f)
	r.closes(clone)
	_, err = f.CopyRange(t.Context(), 0, f, 0, 1)
	r.fails(err, syscall.EBADF)
}
