package vfs_test

import (
	"syscall"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// keeps opens a file and reports whether the kernel may keep its pages.
func (r *rig) keeps(name string) bool {
	r.Helper()
	f := r.open(name, syscall.O_RDONLY)
	defer r.closes(f)
	return f.KeepCache()
}

// TestKeepCache: pages are kept from open to open, through this client's own
// writes, and never after another's.
func TestKeepCache(t *testing.T) {
	r := newRig(t, vfs.Options{})
	other := &rig{TB: t, model: r.model, store: r.store}
	other.mount(vfs.Options{})
	check := func(what string, want bool) {
		t.Helper()
		if got := r.keeps("f"); got != want {
			t.Fatalf("%s: keep is %v, want %v", what, got, want)
		}
		if !r.keeps("f") {
			t.Fatalf("%s: not kept at the open after", what)
		}
	}
	r.put("f", fill(1, 5000))
	check("after writing it", true)
	f := r.open("f", syscall.O_RDWR)
	r.write(f, fill(2, 100), 50)
	check("while data is buffered", true)
	r.closes(f)
	check("after patching it", true)

	g := other.open("f", syscall.O_RDWR)
	other.write(g, fill(3, 10), 0)
	other.closes(g)
	check("after another client wrote", false)

	// The other's commit between two of ours shows in no version that we see.
	f, g = r.open("f", syscall.O_RDWR), other.open("f", syscall.O_RDWR)
	r.write(f, fill(4, 10), 0)
	r.ok(f.Fsync(t.Context()))
	other.write(g, fill(5, 10), 1000)
	other.closes(g)
	r.write(f, fill(6, 10), 2000)
	r.closes(f)
	check("after interleaved commits", false)

	// It may even come to light by a lookup first.
	g = other.open("f", syscall.O_RDWR)
	other.write(g, fill(7, 10), 0)
	other.closes(g)
	_, err := r.fs.Lookup(t.Context(), meta.RootIno, "f")
	r.ok(err)
	check("after a lookup that saw another's write", false)
}

// TestKeepCacheOfLongFile: the pages of a file of several chunks are kept too.
func TestKeepCacheOfLongFile(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	for i := range int64(3) {
		r.write(f, fill(byte(i), 1<<20), i*chunk.Bytes)
	}
	r.closes(f)
	r.meter.take()
	if !r.keeps("f") {
		t.Fatal("not kept after writing it")
	}
	r.trips("extents:1 lookup:1") // compared in place of getattr: no further trip
	if !r.keeps("f") {
		t.Fatal("not kept at the second open")
	}
	r.trips("getattr:1 lookup:1")
}

// TestClosedInodesAreForgotten in the end.
func TestClosedInodesAreForgotten(t *testing.T) {
	r := newRig(t, vfs.Options{CachedInodes: 128})
	for i := range 1000 {
		r.put(string(rune('a'+i%26))+string(rune('a'+i/26)), []byte{1})
	}
	if n := r.fs.Known(); n > 128 {
		t.Fatalf("%d inodes are known, want at most 128", n)
	}
	if held := r.fs.Held(); len(held) != 0 {
		t.Fatalf("%d inodes are held", len(held))
	}
}

// TestSubdirectory: an FS of a subdirectory has no way out of it.
func TestSubdirectory(t *testing.T) {
	r := newRig(t, vfs.Options{})
	d, err := r.fs.Make(t.Context(), meta.Make{Parent: meta.RootIno, Name: "d", Mode: meta.TypeDir | 0o755})
	r.ok(err)
	fs, err := vfs.New(vfs.Options{Engine: r.meter, Blocks: r.blocks, Root: d.Ino})
	r.ok(err)
	n, err := fs.Lookup(t.Context(), fs.Root(), "..")
	r.ok(err)
	if n.Ino != d.Ino {
		t.Fatalf("the root's parent is inode %d, want %d", n.Ino, d.Ino)
	}
	dir, err := fs.OpenDir(t.Context(), fs.Root())
	r.ok(err)
	r.ok(dir.Read(t.Context(), 0, func(e vfs.DirEntry) bool {
		if e.Node.Ino != d.Ino {
			t.Fatalf("%q is inode %d", e.Name, e.Node.Ino)
		}
		return true
	}))
}

// TestSetIDIsClearedByCommit: writes of others than root clear the bits, also
// before the commit, unless the mode is set in between.
func TestSetIDIsClearedByCommit(t *testing.T) {
	r := newRig(t, vfs.Options{})
	r.put("f", []byte("x"))
	f := r.open("f", syscall.O_RDWR)
	mode := func(set uint32) {
		t.Helper()
		_, err := r.fs.SetAttr(t.Context(), meta.SetAttr{Ino: f.Ino(), Set: meta.SetMode, Mode: set})
		r.ok(err)
	}
	check := func(want uint32) {
		t.Helper()
		n, err := r.fs.GetAttr(t.Context(), f.Ino())
		r.ok(err)
		if n.Attr.Mode&^meta.TypeMask != want {
			t.Fatalf("mode is %o, want %o", n.Attr.Mode&^meta.TypeMask, want)
		}
	}
	mode(0o6755)
	r.write(f, []byte("y"), 0)
	check(0o6755) // root wrote
	f.ClearSetID()
	check(0o6755) // nobody else has yet
	r.write(f, []byte("y"), 0)
	check(0o755)
	mode(0o6755)
	check(0o6755)
	r.ok(f.Fsync(t.Context()))
	check(0o6755)
	r.write(f, []byte("z"), 0)
	check(0o755)
	r.closes(f)
	check(0o755)
}
