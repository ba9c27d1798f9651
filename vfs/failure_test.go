package vfs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/object"
	"mirrorfs/vfs"
)

var errStore = errors.New("the store is broken")

func unreachable(op string) func(string) error {
	return func(o string) error {
		if o == op {
			return &meta.Error{Op: op, Errno: syscall.EIO, Err: meta.ErrUnreachable}
		}
		return nil
	}
}

// TestFailedUploadIsReported: once to each handle, and the file stays as it was.
func TestFailedUploadIsReported(t *testing.T) {
	for _, c := range []struct {
		cause error
		want  syscall.Errno
	}{
		{errStore, syscall.EIO},
		{object.ErrDenied, syscall.EACCES},
		{object.ErrNoSpace, syscall.ENOSPC},
		{syscall.ENOSPC, syscall.ENOSPC},
		{syscall.EDQUOT, syscall.EDQUOT},
		{syscall.ECONNREFUSED, syscall.EIO},
	} {
		r := newRig(t, vfs.Options{})
		r.put("f", fill(1, 5000))
		a, b, ro := r.open("f", syscall.O_RDWR), r.open("f", syscall.O_RDWR), r.open("f", syscall.O_RDONLY)
		r.store.failWith(func(string) error { return c.cause })
		r.write(a, fill(2, 3000), 1000)
		r.fails(a.Fsync(t.Context()), c.want)
		r.ok(a.Fsync(t.Context())) // told once
		r.store.failWith(nil)
		_, err := b.Write(t.Context(), []byte("x"), 0)
		r.fails(err, c.want) // the other handle too, at its next write
		r.fails(ro.Fsync(t.Context()), c.want)
		r.holds(a, fill(1, 5000))
		late := r.open("f", syscall.O_RDWR) // opened after: knows nothing of it
		r.write(late, fill(3, 10), 0)
		r.closes(late)
		r.closes(a)
		r.closes(b)
		r.closes(ro)
		f := r.open("f", syscall.O_RDONLY)
		r.holds(f, append(fill(3, 10), fill(1, 5000)[10:]...))
		r.closes(f)
		if r.fs.Dirty() != 0 || r.fs.Buffered() != 0 {
			t.Fatalf("%d files and %d bytes are still buffered", r.fs.Dirty(), r.fs.Buffered())
		}
	}
}

// TestFailedUploadLeavesNoHole: what was written after a block that was lost is
// not committed without it.
func TestFailedUploadLeavesNoHole(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	r.store.failWith(func(key string) error {
		if strings.HasSuffix(key, "-1") {
			return errStore
		}
		return nil
	})
	var failed error
	p := fill(1, 1<<20)
	for off := int64(0); off < 6<<20 && failed == nil; off += 1 << 20 {
		_, failed = f.Write(t.Context(), p, off)
	}
	if failed == nil {
		failed = f.Flush(t.Context())
	}
	r.fails(failed, syscall.EIO)
	_ = f.Flush(t.Context())
	f.Release()
	n, err := r.model.Lookup(t.Context(), meta.RootIno, "f")
	r.ok(err)
	if n.Attr.Size != 0 {
		t.Fatalf("%d bytes were committed without the block in their midst", n.Attr.Size)
	}
}

// TestCommitIsTriedAgain: while the server does not answer, fsync fails, the
// data stays, and a later fsync commits it.
func TestCommitIsTriedAgain(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	r.write(f, fill(1, 1000), 0)
	r.meter.failWith(unreachable("commit"))
	err := f.Fsync(t.Context())
	r.fails(err, syscall.EIO)
	if !errors.Is(err, meta.ErrUnreachable) {
		t.Fatalf("the cause is hidden: %v", err)
	}
	r.holds(f, fill(1, 1000))
	r.write(f, fill(2, 500), 800)
	want := append(fill(1, 1000)[:800], fill(2, 500)...)
	r.holds(f, want)
	r.fails(f.Flush(t.Context()), syscall.EIO)
	r.meter.failWith(nil)
	r.ok(f.Fsync(t.Context()))
	r.holds(f, want)
	r.closes(f)
	f = r.open("f", syscall.O_RDONLY)
	r.holds(f, want)
	r.closes(f)
}

// TestAppendWhoseReplyIsLost: appended data of which nobody knows whether it was committed is
// sent again, and is there once; what is appended meanwhile comes after it.
func TestAppendWhoseReplyIsLost(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	var want []byte
	for round := range byte(5) {
		add := func(b []byte) {
			if _, _, err := f.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			want = append(want, b...)
		}
		add(fill(round, 1000))
		r.meter.lose = func(op string) bool { return op == "commit" && round%2 == 0 }
		if err := f.Fsync(t.Context()); (err == nil) != (round%2 == 1) {
			t.Fatalf("round %d: fsync: %v", round, err)
		}
		add(fill(round+100, 300))
		r.holds(f, want)
		r.meter.lose = nil
		r.ok(f.Fsync(t.Context()))
		r.holds(f, want)
	}
	r.closes(f)
	f = r.open("f", syscall.O_RDONLY)
	r.holds(f, want)
	r.closes(f)
}

// TestAppendsStayTogether: what one client appended between two flushes stays together, also
// when it learns in between that another has made the file longer.
func TestAppendsStayTogether(t *testing.T) {
	r := newRig(t, vfs.Options{})
	r.put("f", fill(1, 100))
	f := r.open("f", syscall.O_WRONLY|syscall.O_APPEND)
	add := func(f *vfs.File, b []byte) {
		t.Helper()
		_, _, err := f.Append(t.Context(), b)
		r.ok(err)
	}
	add(f, fill(2, 200))
	other := &rig{TB: t, model: r.model, store: r.store}
	other.mount(vfs.Options{})
	g := other.open("f", syscall.O_WRONLY|syscall.O_APPEND)
	add(g, fill(3, 300))
	other.closes(g)
	again := r.open("f", syscall.O_RDONLY) // asks how long the file is
	add(f, fill(4, 400))
	all := slices.Concat(fill(1, 100), fill(3, 300), fill(2, 200), fill(4, 400))
	r.holds(again, all)
	r.closes(again)
	r.closes(f)
	for _, who := range []*rig{r, other} {
		f := who.open("f", syscall.O_RDONLY)
		who.holds(f, all)
		who.closes(f)
	}
}

// TestRefusedCommitIsReported: what can never be committed is reported like a
// failed upload.
func TestRefusedCommitIsReported(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.ENOENT, syscall.EROFS} {
		r := newRig(t, vfs.Options{})
		f := r.create("f")
		other := r.open("f", syscall.O_RDWR)
		r.write(f, fill(1, 1000), 0)
		r.meter.failWith(func(op string) error {
			if op == "commit" {
				return &meta.Error{Op: op, Errno: errno}
			}
			return nil
		})
		r.fails(f.Flush(t.Context()), errno)
		r.fails(other.Flush(t.Context()), errno)
		r.meter.failWith(nil)
		r.ok(f.Flush(t.Context()))
		r.holds(f, nil)
		f.Release()
		other.Release()
	}
}

// TestSessionIsRenewed: a client whose session was ended goes on with what it
// has buffered.
func TestSessionIsRenewed(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	r.write(f, fill(1, 1000), 0)
	sessions, err := r.model.Sessions(t.Context())
	r.ok(err)
	admin := r.model.Client()
	r.ok(admin.StartSession(t.Context(), meta.SessionInfo{Kind: "cli"}))
	_, err = admin.Change(t.Context(), meta.EndOtherSession{ID: sessions[0].ID, Force: true})
	r.ok(err)
	r.closes(f)
	r.put("g", fill(2, 10))
	f = r.open("f", syscall.O_RDONLY)
	r.holds(f, fill(1, 1000))
	r.closes(f)
	if !strings.Contains(r.log.String(), "session was lost") {
		t.Fatalf("nothing was logged: %s", r.log)
	}
}

// TestForfeitDuringAnUpload: what was written under a lock is not committed by a session that
// took the place of the lock's own while it was uploaded.
func TestForfeitDuringAnUpload(t *testing.T) {
	ctx := t.Context()
	r := newRig(t, vfs.Options{})
	r.put("f", fill(1, 10))
	f := r.open("f", syscall.O_RDWR)
	r.ok(f.SetLock(ctx, vfs.LockCall{Kind: meta.LockFile, LockedRange: meta.WholeFile(meta.LockExclusive)}, nil))
	r.write(f, fill(2, 10), 0)
	sessions, err := r.model.Sessions(ctx)
	r.ok(err)
	admin := r.model.Client()
	r.ok(admin.StartSession(ctx, meta.SessionInfo{Kind: "cli"}))
	r.store.failWith(func(string) error { // while it is uploaded
		r.store.failWith(nil)
		_, err := admin.Change(ctx, meta.EndOtherSession{ID: sessions[0].ID, Force: true})
		r.ok(err)
		_, err = r.fs.Make(ctx, meta.Make{Parent: meta.RootIno, Name: "d", Mode: meta.TypeDir | 0o755})
		return err
	})
	r.fails(f.Fsync(ctx), syscall.EIO)
	f.Release()
	f = r.open("f", syscall.O_RDONLY)
	r.holds(f, fill(1, 10))
	r.closes(f)
	if !strings.Contains(r.log.String(), "lock was lost") {
		t.Errorf("nothing was logged: %s", r.log)
	}
}

// TestCancelledContext: a signal to the program does not cancel what it
// wrote, but ends its reads.
func TestCancelledContext(t *testing.T) {
	r := newRig(t, vfs.Options{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, f, err := r.fs.Create(gone, meta.Make{Parent: meta.RootIno, Name: "f", Mode: 0o644}, syscall.O_RDWR)
	r.ok(err)
	_, err = f.Write(gone, fill(1, 2<<20), 0)
	r.ok(err)
	_, err = r.fs.SetAttr(gone, meta.SetAttr{Ino: f.Ino(), Set: meta.SetSize, Size: 1 << 20})
	r.ok(err)
	r.ok(f.Flush(gone))
	r.holds(f, fill(1, 2<<20)[:1<<20])
	f.Release()
	_, err = r.fs.Lookup(gone, meta.RootIno, "f")
	r.fails(err, syscall.EINTR)
}

// TestMissingBlock: EIO and a line that names the block, never zeros.
func TestMissingBlock(t *testing.T) {
	r := newRig(t, vfs.Options{})
	r.put("f", fill(1, 3<<20))
	infos, err := r.store.List(t.Context(), "data/", "", 10)
	r.ok(err)
	key := infos[len(infos)-1].Key
	r.ok(r.store.Delete(t.Context(), key))
	r.mount(vfs.Options{}) // with nothing cached
	f := r.open("f", syscall.O_RDONLY)
	_, err = r.tryRead(f, 0, 3<<20)
	r.fails(err, syscall.EIO)
	if !strings.Contains(r.log.String(), key) {
		t.Fatalf("the log does not name %s: %s", key, r.log)
	}
	f.Release()
}

// TestReadOnly refuses every change and needs no session.
func TestReadOnly(t *testing.T) {
	r := newRig(t, vfs.Options{})
	r.put("f", fill(1, 1000))
	r.mount(vfs.Options{ReadOnly: true})
	ctx := t.Context()
	f := r.open("f", syscall.O_RDONLY)
	r.holds(f, fill(1, 1000))
	_, err := r.fs.Open(ctx, f.Ino(), syscall.O_RDWR)
	r.fails(err, syscall.EROFS)
	_, _, err = r.fs.Create(ctx, meta.Make{Parent: meta.RootIno, Name: "g"}, 0)
	r.fails(err, syscall.EROFS)
	r.fails(r.fs.Unlink(ctx, meta.Unlink{Parent: meta.RootIno, Name: "f"}), syscall.EROFS)
	_, err = r.fs.SetAttr(ctx, meta.SetAttr{Ino: f.Ino(), Set: meta.SetSize})
	r.fails(err, syscall.EROFS)
	r.closes(f)
	r.ok(r.fs.Shutdown(ctx))
}

// TestBuffersMakeRoom: many files with little data each are flushed, the oldest
// first, instead of holding ever more memory.
func TestBuffersMakeRoom(t *testing.T) {
	const limit = 1 << 20
	r := newRig(t, vfs.Options{BufferedBytes: limit})
	var files []*vfs.File
	for i := range 200 {
		f := r.create(fmt.Sprintf("f%d", i))
		r.write(f, fill(byte(i), 20_000), 0)
		files = append(files, f)
		if got := r.fs.Buffered(); got > limit+20_000 {
			t.Fatalf("%d bytes are buffered, the limit is %d", got, limit)
		}
	}
	if puts := r.store.takePuts(); puts == 0 {
		t.Fatal("nothing was flushed")
	}
	for i, f := range files {
		r.holds(f, fill(byte(i), 20_000))
		r.closes(f)
	}
	if r.fs.Buffered() != 0 {
		t.Fatalf("%d bytes are still counted", r.fs.Buffered())
	}
}

// TestShutdownWritesEverything that is buffered, of open files and closed ones.
func TestShutdownWritesEverything(t *testing.T) {
	r := newRig(t, vfs.Options{})
	for i := range 20 {
		f := r.create(fmt.Sprintf("f%d", i))
		r.write(f, fill(byte(i), 1000), 0)
		if i%2 == 0 {
			f.Release() // without a flush, as after mmap
		}
	}
	r.ok(r.fs.Shutdown(t.Context()))
	sessions, err := r.model.Sessions(t.Context())
	r.ok(err)
	if len(sessions) != 0 {
		t.Fatalf("%d sessions are left", len(sessions))
	}
	r.mount(vfs.Options{})
	for i := range 20 {
		f := r.open(fmt.Sprintf("f%d", i), syscall.O_RDONLY)
		r.holds(f, fill(byte(i), 1000))
		r.closes(f)
	}
}

// TestShutdownGivesUp when the server does not answer until its time is over.
func TestShutdownGivesUp(t *testing.T) {
	r := newRig(t, vfs.Options{})
	f := r.create("f")
	r.write(f, fill(1, 1000), 0)
	f.Release()
	r.meter.failWith(unreachable("commit"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.fs.Shutdown(ctx); !errors.Is(err, meta.ErrUnreachable) {
		t.Fatalf("shutdown says %v", err)
	}
}
