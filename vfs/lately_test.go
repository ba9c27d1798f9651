package vfs_test

import (
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
	if _, err := r.fs.GetAttr(ctx, dir.Ino); err == nil {
		t.Fatal("a removed directory has attributes")
	}
}
