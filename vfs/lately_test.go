package vfs_test

import (
	"syscall"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// The kernel asks for a directory's attributes after every change below it. The
// reply to the change told them: they cost no round trip and are right. What
// another client does to the directory is seen once the attributes are too old,
// or when an answer of the engine shows something newer.
func TestDirectoryAfterAnOwnChange(t *testing.T) {
	r := newRig(t, vfs.Options{})
	ctx := t.Context()
	dir, err := r.fs.Make(ctx, meta.Make{Parent: meta.RootIno, Name: "d", Mode: meta.TypeDir | 0o755})
	r.ok(err)
	_, err = r.fs.Make(ctx, meta.Make{Parent: dir.Ino, Name: "sub", Mode: meta.TypeDir | 0o755})
	r.ok(err)
	r.meter.take()
	got, err := r.fs.GetAttr(ctx, dir.Ino)
	r.ok(err)
	r.trips("")
	if got.Attr.Nlink != 3 || got.Attr.Size != 1 {
		t.Fatalf("directory has %d links and %d entries, want 3 and 1", got.Attr.Nlink, got.Attr.Size)
	}

	other := r.model.Client()
	r.ok(other.StartSession(ctx, meta.SessionInfo{Kind: "test"}))
	_, err = other.Change(ctx, meta.Make{Parent: dir.Ino, Name: "sub2", Mode: meta.TypeDir | 0o755})
	r.ok(err)
	_, err = r.fs.Lookup(ctx, meta.RootIno, "d")
	r.ok(err)
	r.meter.take()
	got, err = r.fs.GetAttr(ctx, dir.Ino)
	r.ok(err)
	r.trips("getattr:1")
	if got.Attr.Nlink != 4 {
		t.Fatalf("directory has %d links after another client made one below, want 4", got.Attr.Nlink)
	}

	r.ok(r.fs.Rmdir(ctx, meta.Rmdir{Parent: dir.Ino, Name: "sub"}))
	r.ok(r.fs.Rmdir(ctx, meta.Rmdir{Parent: dir.Ino, Name: "sub2"}))
	r.ok(r.fs.Rmdir(ctx, meta.Rmdir{Parent: meta.RootIno, Name: "d"}))
	if got, err = r.fs.GetAttr(ctx, dir.Ino); err != nil || got.Attr.Nlink != 0 {
		t.Fatalf("a removed directory has %d links, %v", got.Attr.Nlink, err)
	}
}

// After an open that truncates, the kernel asks for the attributes that the reply
// told. What another client sets is seen by an answer of the engine, and when the
// file is closed.
func TestFileAfterAnOwnChange(t *testing.T) {
	r := newRig(t, vfs.Options{})
	ctx := t.Context()
	r.put("f", fill(1, 100))
	f := r.open("f", syscall.O_WRONLY|syscall.O_TRUNC)
	r.meter.take()
	_, err := r.fs.GetAttr(ctx, f.Ino())
	r.ok(err)
	r.trips("")

	other := r.model.Client()
	r.ok(other.StartSession(ctx, meta.SessionInfo{Kind: "test"}))
	_, err = other.Change(ctx, meta.SetAttr{Ino: f.Ino(), Set: meta.SetMode, Mode: 0o600})
	r.ok(err)
	_, err = r.fs.Lookup(ctx, meta.RootIno, "f")
	r.ok(err)
	r.meter.take()
	got, err := r.fs.GetAttr(ctx, f.Ino())
	r.ok(err)
	r.trips("getattr:1")
	if got.Attr.Mode&0o777 != 0o600 {
		t.Fatalf("mode %o, want 600 as another client set it", got.Attr.Mode)
	}
	_, err = r.fs.SetAttr(ctx, meta.SetAttr{Ino: f.Ino(), Set: meta.SetMode, Mode: 0o640})
	r.ok(err)
	r.closes(f)
	r.meter.take()
	_, err = r.fs.GetAttr(ctx, f.Ino())
	r.ok(err)
	r.trips("getattr:1")
}

// A file that this client removed a moment ago may be opened by whoever found it before;
// one that another client removed may not: the name led to something that is gone.
func TestStaleNames(t *testing.T) {
	r := newRig(t, vfs.Options{})
	ctx := t.Context()
	other := r.model.Client()
	r.ok(other.StartSession(ctx, meta.SessionInfo{Kind: "test"}))
	for _, c := range []struct {
		name   string
		remove func(c meta.Unlink) error
		stale  bool
	}{
		{"here", func(c meta.Unlink) error { return r.fs.Unlink(ctx, c) }, false},
		{"elsewhere", func(c meta.Unlink) error {
			_, err := other.Change(ctx, c)
			return err
		}, true},
	} {
		r.put(c.name, fill(1, 100))
		n, err := r.fs.Lookup(ctx, meta.RootIno, c.name)
		r.ok(err)
		r.ok(c.remove(meta.Unlink{Parent: meta.RootIno, Name: c.name}))
		f, err := r.fs.Open(ctx, n.Ino, syscall.O_RDONLY)
		r.ok(err)
		if f.Stale() != c.stale {
			t.Errorf("removed %s: stale is %v", c.name, f.Stale())
		}
		r.closes(f)
	}
}
