package vfs_test

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// limited gives a rig whose directory has a quota of some pages of 4 KiB, and a
// function that makes files in it.
func limited(t *testing.T, pages uint64) (*rig, meta.Ino, func(name string) *vfs.File) {
	t.Helper()
	r := newRig(t, vfs.Options{})
	dir, err := r.fs.Make(r.Context(), meta.Make{Parent: meta.RootIno, Name: "dir", Mode: meta.TypeDir | 0o755})
	r.ok(err)
	_, err = r.fs.Engine().Change(r.Context(), meta.SetQuota{Dir: dir.Ino, Limit: meta.Usage{Bytes: pages * 4096}})
	r.ok(err)
	r.meter.take()
	return r, dir.Ino, func(name string) *vfs.File {
		t.Helper()
		_, f, err := r.fs.Create(r.Context(), meta.Make{Parent: dir.Ino, Name: name, Mode: 0o644}, syscall.O_RDWR)
		r.ok(err)
		return f
	}
}

// TestAFullQuotaIsToldAtTheWrite: not at the close only, and what fits is written.
func TestAFullQuotaIsToldAtTheWrite(t *testing.T) {
	r, dir, create := limited(t, 3)
	f := create("f")
	r.write(f, fill(1, 2*4096), 0)
	n, err := f.Write(r.Context(), fill(2, 2*4096), 2*4096)
	if r.ok(err); n != 4096 {
		t.Fatalf("wrote %d bytes where there is room for 4096", n)
	}
	_, err = f.Write(r.Context(), fill(3, 1), 3*4096)
	r.fails(err, syscall.EDQUOT)
	_, err = f.Write(r.Context(), fill(3, 1), 1<<30)
	r.fails(err, syscall.EDQUOT)
	r.write(f, fill(4, 100), 1000) // what is there may be changed
	r.closes(f)
	st, err := r.fs.StatFS(r.Context(), dir)
	if r.ok(err); st.Total.Bytes != 3*4096 || st.Used.Bytes != 3*4096 || st.Avail.Bytes != 0 {
		t.Fatalf("statfs: %+v", st)
	}
	f = create("g")
	_, err = f.Write(r.Context(), fill(3, 1), 0)
	r.fails(err, syscall.EDQUOT)
	// Room that comes is seen at the next write.
	r.ok(r.fs.Unlink(r.Context(), meta.Unlink{Parent: dir, Name: "f"}))
	r.write(f, fill(3, 4096), 0)
	r.closes(f)
}

// TestAQuotaFilledByOthersIsToldAtTheClose: as by NFS. The file keeps what was
// committed before.
func TestAQuotaFilledByOthersIsToldAtTheClose(t *testing.T) {
	r, dir, create := limited(t, 3)
	f := create("f")
	r.write(f, fill(1, 4096), 0)
	r.ok(f.Fsync(r.Context()))
	r.write(f, fill(2, 2*4096), 4096)
	other := r.model.Client()
	r.ok(other.StartSession(r.Context(), meta.SessionInfo{}))
	made, err := other.Change(r.Context(), meta.Make{Parent: dir, Name: "other", Mode: meta.TypeFile | 0o644})
	r.ok(err)
	_, err = other.Change(r.Context(), meta.SetAttr{Ino: made.Node.Ino, Set: meta.SetSize, Size: 4096})
	r.ok(err)
	r.fails(f.Flush(r.Context()), syscall.EDQUOT)
	f.Release()
	f = openIn(r, dir, "f")
	r.holds(f, fill(1, 4096))
	f.Release()
}

func openIn(r *rig, dir meta.Ino, name string) *vfs.File {
	r.Helper()
	n, err := r.fs.Lookup(r.Context(), dir, name)
	r.ok(err)
	f, err := r.fs.Open(r.Context(), n.Ino, syscall.O_RDWR)
	r.ok(err)
	return f
}

// TestWithoutQuotasWritesAskNothing: they cost no round trip more.
func TestWithoutQuotasWritesAskNothing(t *testing.T) {
	r, dir, create := limited(t, 1000)
	_, err := r.fs.Engine().Change(r.Context(), meta.SetQuota{Dir: dir})
	r.ok(err)
	r.meter.take()
	f := create("f")
	r.write(f, fill(1, 100), 0)
	r.write(f, fill(1, 100), 1<<20)
	r.closes(f)
	r.trips("commit:1 create:1")
}

// TestCountsAreEnded: a count that its client left is gone on with.
func TestCountsAreEnded(t *testing.T) {
	running(t, vfs.Options{}, func(t *testing.T, r *rig) {
		r.put("f", fill(1, 100))
		dir, err := r.fs.Make(r.Context(), meta.Make{Parent: meta.RootIno, Name: "dir", Mode: meta.TypeDir | 0o755})
		r.ok(err)
		r.ok(r.fs.Rename(r.Context(), meta.Rename{OldParent: meta.RootIno, OldName: "f", NewParent: dir.Ino, NewName: "f"}))
		_, err = r.model.Client().Change(r.Context(), meta.SetQuota{Dir: dir.Ino, Limit: meta.Usage{Inodes: 1}})
		r.ok(err)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		all, err := r.model.QuotasAt(r.Context(), dir.Ino)
		if r.ok(err); all[0].Used != (meta.Usage{Bytes: 4096, Inodes: 1}) || all[0].IsCounting() {
			t.Fatalf("not counted: %+v", all[0])
		}
		_, err = r.fs.Make(r.Context(), meta.Make{Parent: dir.Ino, Name: "more", Mode: meta.TypeFile})
		r.fails(err, syscall.EDQUOT)
	})
}

// TestRoomIsAskedForOnce: of a file whose size is known from its creation, a write asks for
// the room below its quotas and nothing else, and not again for a while.
func TestRoomIsAskedForOnce(t *testing.T) {
	r, dir, create := limited(t, 100)
	_, err := r.fs.StatFS(r.Context(), dir) // shows that there are quotas
	r.ok(err)
	r.meter.take()
	f := create("f")
	r.write(f, fill(1, 4096), 0)
	r.write(f, fill(2, 4096), 4096)
	r.closes(f)
	r.trips("commit:1 create:1 quotasat:1")
}
