package vfs_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// TestRoundTrips counts what each thing that programs do costs.
func TestRoundTrips(t *testing.T) {
	r := newRig(t, vfs.Options{})
	ctx := t.Context()

	r.closes(r.create("empty"))
	r.trips("create:1")

	r.put("f", fill(1, 1<<20))
	r.trips("commit:1 create:1")

	f := r.create("tar") // what tar does
	r.write(f, fill(2, 8192), 0)
	_, err := r.fs.SetAttr(ctx, meta.SetAttr{Ino: f.Ino(), Set: meta.SetAtime | meta.SetMtime, Atime: 5, Mtime: 7})
	r.ok(err)
	r.closes(f)
	r.trips("commit:1 create:1")

	f = r.open("f", syscall.O_RDONLY)
	r.trips("getattr:1 lookup:1")
	r.holds(f, fill(1, 1<<20))
	r.holds(f, fill(1, 1<<20))
	r.closes(f)
	r.trips("")

	f = r.open("f", syscall.O_RDWR) // opened for writing, not written
	r.closes(f)
	r.trips("getattr:1 lookup:1")

	f = r.open("f", syscall.O_WRONLY|syscall.O_TRUNC)
	cut, err := r.fs.GetAttr(ctx, f.Ino()) // as the kernel does then
	r.ok(err)
	if cut.Attr.Size != 0 {
		t.Fatalf("a file that was cut has %d bytes", cut.Attr.Size)
	}
	r.write(f, fill(3, 100), 0)
	r.ok(f.Fsync(ctx))
	r.closes(f)
	r.trips("commit:1 lookup:1 setattr:1")

	_, err = r.fs.GetAttr(ctx, f.Ino())
	r.ok(err)
	r.trips("getattr:1")
	_, err = r.fs.GetXattr(ctx, f.Ino(), "security.capability")
	r.fails(err, syscall.ENODATA)
	r.trips("")
	r.ok(r.fs.SetXattr(ctx, meta.SetXattr{Ino: f.Ino(), Name: "user.a", Value: []byte("1")}))
	v, err := r.fs.GetXattr(ctx, f.Ino(), "user.a")
	r.ok(err)
	if string(v) != "1" {
		t.Fatalf("attribute is %q", v)
	}
	r.trips("getxattr:1 setxattr:1")
}

// TestRoundTripsOfNames: every change of names is one round trip.
func TestRoundTripsOfNames(t *testing.T) {
	r := newRig(t, vfs.Options{})
	ctx := t.Context()
	root := meta.RootIno
	d, err := r.fs.Make(ctx, meta.Make{Parent: root, Name: "d", Mode: meta.TypeDir | 0o755})
	r.ok(err)
	r.trips("mkdir:1")
	f, err := r.fs.Make(ctx, meta.Make{Parent: d.Ino, Name: "f", Mode: meta.TypeFile | 0o644})
	r.ok(err)
	r.trips("create:1")
	_, err = r.fs.Link(ctx, meta.Link{Ino: f.Ino, Parent: root, Name: "g"})
	r.ok(err)
	r.trips("link:1")
	r.ok(r.fs.Rename(ctx, meta.Rename{OldParent: root, OldName: "g", NewParent: d.Ino, NewName: "h"}))
	r.trips("rename:1")
	_, err = r.fs.SetAttr(ctx, meta.SetAttr{Ino: f.Ino, Set: meta.SetMode, Mode: 0o600})
	r.ok(err)
	r.trips("setattr:1")
	r.ok(r.fs.Unlink(ctx, meta.Unlink{Parent: d.Ino, Name: "h"}))
	r.ok(r.fs.Unlink(ctx, meta.Unlink{Parent: d.Ino, Name: "f"}))
	r.trips("unlink:2")
	r.ok(r.fs.Rmdir(ctx, meta.Rmdir{Parent: root, Name: "d"}))
	r.trips("rmdir:1")
}

func TestRoundTripsOfReadDir(t *testing.T) {
	r := newRig(t, vfs.Options{})
	ctx := t.Context()
	for i := range 1000 {
		_, err := r.fs.Make(ctx, meta.Make{Parent: meta.RootIno, Name: fmt.Sprintf("n%d", i), Mode: meta.TypeFile | 0o644})
		r.ok(err)
	}
	r.meter.take()
	d, err := r.fs.OpenDir(ctx, meta.RootIno)
	r.ok(err)
	var offset uint64
	n := 0
	for more := true; more; { // in portions, as the kernel asks
		more = false
		portion := 0
		r.ok(d.Read(ctx, offset, func(e vfs.DirEntry) bool {
			if portion == 30 {
				return false
			}
			if e.Node.Ino == 0 || e.Node.Attr.Mode == 0 {
				t.Fatalf("%q comes without attributes", e.Name)
			}
			portion++
			n++
			offset, more = e.Next, true
			return true
		}))
	}
	if n != 1002 {
		t.Fatalf("%d entries, want 1002", n)
	}
	r.trips("getattr:1 readdir:1")
}

// TestSmallWritesShareOneObject: a thousand random writes of 4 KiB are one
// object, if they fit into a block, and one commit.
func TestSmallWritesShareOneObject(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	rng := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 64<<20)
	used := 0
	for i := range 250 { // a block of this rig holds 256 of them
		off := rng.Int64N(int64(len(want)-4096)) &^ 4095
		p := fill(byte(i), 4096)
		r.write(f, p, off)
		copy(want[off:], p)
		used = max(used, int(off)+4096)
	}
	r.holds(f, want[:used])
	r.closes(f)
	r.trips("commit:1 create:1")
	if puts := r.store.takePuts(); puts != 1 {
		t.Fatalf("%d objects, want 1", puts)
	}
	f = r.open("f", syscall.O_RDONLY)
	r.holds(f, want[:used])
	r.closes(f)
	r.trips("extents:1 lookup:1")
}

// TestSequentialSlicesMatchChunks: a long file written in order has one slice
// per chunk, wherever the writing began.
func TestSequentialSlicesMatchChunks(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	p := fill(1, 1<<20)
	const start = 10 << 20
	for off := int64(start); off < 3*chunk.Bytes; off += int64(len(p)) {
		r.write(f, p, off)
	}
	r.closes(f)
	r.trips("commit:1 create:1")
	_, lists, err := r.model.Extents(t.Context(), f.Ino(), 0, 10)
	r.ok(err)
	if len(lists) != 3 {
		t.Fatalf("%d chunks, want 3", len(lists))
	}
	for i, l := range lists {
		if len(l.Extents) != 1 || i > 0 && (l.Extents[0].Off != 0 || l.Extents[0].Size != chunk.Bytes) {
			t.Fatalf("chunk %d has extents %+v", i, l.Extents)
		}
	}
}

// TestInterleavedStreams: two sequences of large writes to one file do not cut
// each other's slices to pieces.
func TestInterleavedStreams(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	const far = 32 << 20
	for off := int64(0); off < 4<<20; off += 256 << 10 {
		r.write(f, fill(1, 256<<10), off)
		r.write(f, fill(2, 256<<10), far+off)
	}
	r.closes(f)
	_, lists, err := r.model.Extents(t.Context(), f.Ino(), 0, 10)
	r.ok(err)
	if len(lists) != 1 || len(lists[0].Extents) != 2 {
		t.Fatalf("extents %+v, want two", lists)
	}
}

// TestManyExtentsAreSplit: what is too much for one commit takes several.
func TestManyExtentsAreSplit(t *testing.T) {
	r := newRig(t, vfs.Options{})
	r.fs.LimitExtents(100)
	f := r.create("f")
	const pieces = 450
	for i := range int64(pieces) {
		r.write(f, []byte{byte(i)}, 2*(pieces-i))
	}
	r.closes(f)
	r.trips("commit:5 create:1")
	f = r.open("f", syscall.O_RDONLY)
	got, err := r.tryRead(f, 2, 2*pieces)
	r.ok(err)
	for i := range got {
		want := byte(0)
		if i%2 == 0 {
			want = byte(pieces - 1 - i/2)
		}
		if got[i] != want {
			t.Fatalf("byte %d is %d, want %d", i, got[i], want)
		}
	}
	r.closes(f)
}

// TestFlushesAreShared: those who flush at once make one commit together.
func TestFlushesAreShared(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	r.write(f, fill(1, 1000), 0)
	begun, all := make(chan struct{}), sync.WaitGroup{}
	r.store.failWith(func(string) error { <-begun; return nil })
	for range 8 {
		all.Go(func() {
			if err := f.Fsync(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	close(begun)
	all.Wait()
	r.trips("commit:1 create:1")
	f.Release()
}

// TestTemporaryFileCostsNothing: what is unlinked before it is closed is never
// uploaded.
func TestTemporaryFileCostsNothing(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("tmp")
	r.write(f, fill(1, 1000), 0)
	r.ok(r.fs.Unlink(t.Context(), meta.Unlink{Parent: meta.RootIno, Name: "tmp"}))
	r.holds(f, fill(1, 1000))
	r.closes(f)
	r.trips("create:1 unlink:1")
	if puts := r.store.takePuts(); puts != 0 {
		t.Fatalf("%d objects, want none", puts)
	}
	if r.fs.Dirty() != 0 || r.fs.Buffered() != 0 {
		t.Fatalf("%d files and %d bytes are still buffered", r.fs.Dirty(), r.fs.Buffered())
	}
}

// TestReserveIsAskedAhead: writers get distinct numbers, and in the long run
// one round trip serves a whole batch.
func TestReserveIsAskedAhead(t *testing.T) {
	r := newRig(t, vfs.Options{ReserveSlices: 64})
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 100 {
				_, f, err := r.fs.Create(t.Context(), meta.Make{Parent: meta.RootIno, Name: fmt.Sprintf("%d-%d", w, i), Mode: 0o644}, syscall.O_RDWR)
				if err == nil {
					_, err = f.Write(t.Context(), []byte{1}, 0)
				}
				if err == nil {
					err = f.Flush(t.Context())
				}
				if err != nil {
					t.Error(err)
					return
				}
				f.Release()
			}
		})
	}
	all.Wait()
	if puts := r.store.takePuts(); puts != 400 {
		t.Fatalf("%d objects, want 400", puts)
	}
	infos, err := r.store.List(t.Context(), "data/", "", 1000)
	r.ok(err)
	if len(infos) != 401 { // and the one that warmed up
		t.Fatalf("%d different objects, want 401: a number was given twice", len(infos))
	}
	reserves := 0
	_, _ = fmt.Sscanf(r.meter.take(), "commit:400 create:400 reserve:%d", &reserves)
	if reserves < 4 || reserves > 8 {
		t.Fatalf("%d reservations for 400 numbers in batches of 64", reserves)
	}
}
