package vfs_test

import (
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// TestRelativeAtime: the first read after a change and one a day set the access
// time, behind the reader, without touching ctime; all other reads are free.
func TestRelativeAtime(t *testing.T) {
	running(t, vfs.Options{Atime: vfs.AtimeRelative}, func(t *testing.T, r *rig) {
		r.put("f", fill(1, 100))
		time.Sleep(time.Hour)
		made := stat(r, "f")
		read := func() {
			t.Helper()
			f := r.open("f", syscall.O_RDONLY)
			r.holds(f, fill(1, 100))
			r.closes(f)
		}
		sent := func(want bool) {
			t.Helper()
			r.meter.take()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if got := r.meter.take(); strings.Contains(got, "setattr:1") != want {
				t.Errorf("round trips behind: %q; an access should be among them: %v", got, want)
			}
		}
		sent(false)
		read()
		at := time.Now().UnixNano()
		if a := stat(r, "f"); a.Atime != at || a.Ctime != made.Ctime {
			t.Fatalf("atime %d, want %d; ctime %d, want %d", a.Atime, at, a.Ctime, made.Ctime)
		}
		sent(true)
		if a := stat(r, "f"); a.Atime != at || a.Ctime != made.Ctime || a.Mtime != made.Mtime {
			t.Fatalf("the engine was told %+v", a)
		}
		for range 5 {
			read()
		}
		sent(false)
		if a := stat(r, "f"); a.Atime != at {
			t.Fatal("a second read changed the access time")
		}
		time.Sleep(25 * time.Hour)
		read()
		if a := stat(r, "f"); a.Atime <= at {
			t.Fatal("a read a day later changed nothing")
		}
		// Of directories too.
		before, err := r.fs.GetAttr(r.Context(), meta.RootIno)
		r.ok(err)
		d, err := r.fs.OpenDir(r.Context(), meta.RootIno)
		r.ok(err)
		r.ok(d.Read(r.Context(), 0, func(vfs.DirEntry) bool { return true }))
		time.Sleep(10 * time.Second)
		after, err := r.fs.GetAttr(r.Context(), meta.RootIno)
		if r.ok(err); after.Attr.Atime <= before.Attr.Atime {
			t.Fatal("reading a directory changed nothing")
		}
	})
}

// TestNoAtime: by default, reading changes nothing.
func TestNoAtime(t *testing.T) {
	running(t, vfs.Options{}, func(t *testing.T, r *rig) {
		r.put("f", fill(1, 100))
		made := stat(r, "f")
		time.Sleep(48 * time.Hour)
		f := r.open("f", syscall.O_RDONLY)
		r.holds(f, fill(1, 100))
		r.closes(f)
		time.Sleep(10 * time.Second)
		if a := stat(r, "f"); a.Atime != made.Atime {
			t.Fatal("a read changed the access time")
		}
	})
}

func stat(r *rig, name string) meta.Attr {
	r.Helper()
	n, err := r.fs.Lookup(r.Context(), meta.RootIno, name)
	r.ok(err)
	return n.Attr
}
