package vfs_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/object/mem"
	"mirrorfs/vfs"
)

// running runs an FS in a bubble of time of its own.
func running(t *testing.T, opts vfs.Options, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, opts)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.fs.Run(ctx) }()
		synctest.Wait()
		r.meter.take()
		test(t, r)
		cancel()
		r.ok(<-done)
		ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r.ok(r.fs.Shutdown(ctx))
	})
}

// TestOldDataIsFlushed: buffered data is committed some time after the write
// without anyone asking, and at once when its last handle is gone.
func TestOldDataIsFlushed(t *testing.T) {
	running(t, vfs.Options{FlushAge: 5 * time.Second}, func(t *testing.T, r *rig) {
		f := r.create("f")
		r.write(f, fill(1, 1000), 0)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if r.fs.Dirty() != 1 {
			t.Fatal("flushed too early")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if r.fs.Dirty() != 0 {
			t.Fatal("still not flushed")
		}
		r.write(f, fill(2, 1000), 0)
		f.Release()
		synctest.Wait()
		if r.fs.Dirty() != 0 {
			t.Fatal("not flushed after the last handle was gone")
		}
		f = r.open("f", syscall.O_RDONLY)
		r.holds(f, fill(2, 1000))
		r.closes(f)
	})
}

// TestFailedCommitIsTriedAgainBehind until it succeeds.
func TestFailedCommitIsTriedAgainBehind(t *testing.T) {
	running(t, vfs.Options{PurgeInterval: time.Hour}, func(t *testing.T, r *rig) {
		r.meter.failWith(unreachable("commit"))
		f := r.create("f")
		r.write(f, fill(1, 1000), 0)
		r.fails(f.Flush(t.Context()), syscall.EIO)
		f.Release()
		time.Sleep(10*time.Minute + time.Second)
		r.meter.take()
		time.Sleep(2 * time.Minute)
		commits := 0
		got := r.meter.take()
		if n, _ := fmt.Sscanf(got, "commit:%d heartbeat:10", &commits); n != 1 || commits < 3 || commits > 5 { // every 30 s
			t.Fatalf("in two minutes of a long outage: %s", got)
		}
		r.meter.failWith(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.fs.Dirty() != 0 {
			t.Fatal("still not committed")
		}
		f = r.open("f", syscall.O_RDONLY)
		r.holds(f, fill(1, 1000))
		r.closes(f)
	})
}

// TestBlocksThatWentAreNotCommitted: a client that was cut off for so long that blocks which it had
// uploaded may have been deleted looks for them before it commits them.
func TestBlocksThatWentAreNotCommitted(t *testing.T) {
	running(t, vfs.Options{PurgeInterval: time.Hour}, func(t *testing.T, r *rig) {
		r.meter.failWith(unreachable("commit"))
		f, g := r.create("f"), r.create("g")
		r.write(f, fill(1, 1000), 0)
		r.fails(f.Fsync(t.Context()), syscall.EIO)
		gone, err := r.store.List(t.Context(), "data/", "", 10)
		r.ok(err)
		r.write(g, fill(2, 1000), 0)
		r.fails(g.Fsync(t.Context()), syscall.EIO)
		time.Sleep(10 * time.Minute)
		r.ok(r.store.Delete(t.Context(), gone[len(gone)-1].Key))
		r.meter.failWith(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		r.fails(f.Fsync(t.Context()), syscall.EIO)
		r.ok(g.Fsync(t.Context()))
		if n, err := r.model.GetAttr(t.Context(), f.Ino()); err != nil || n.Attr.Size != 0 {
			t.Errorf("the file whose block went has %d bytes, %v", n.Attr.Size, err)
		}
		r.holds(g, fill(2, 1000))
		r.closes(f)
		r.closes(g)
	})
}

// TestHeartbeats tell which files are open, and survive an outage.
func TestHeartbeats(t *testing.T) {
	running(t, vfs.Options{PurgeInterval: time.Hour}, func(t *testing.T, r *rig) {
		f, g := r.create("f"), r.create("g")
		g.Release()
		if held := r.fs.Held(); !slices.Equal(held, []meta.Ino{f.Ino()}) {
			t.Fatalf("held: %v, want %d", held, f.Ino())
		}
		r.meter.take()
		time.Sleep(10*meta.HeartbeatInterval + time.Second)
		r.trips("heartbeat:10")
		r.meter.failWith(func(string) error { return &meta.Error{Errno: syscall.EIO, Err: meta.ErrUnreachable} })
		time.Sleep(20 * meta.SessionTTL)
		admin := r.model.Client()
		r.ok(admin.StartSession(t.Context(), meta.SessionInfo{}))
		sessions, err := r.model.Sessions(t.Context())
		r.ok(err)
		_, err = admin.Change(t.Context(), meta.EndOtherSession{ID: sessions[0].ID})
		r.ok(err)
		r.meter.failWith(nil)
		time.Sleep(2 * meta.HeartbeatInterval)
		r.write(f, fill(1, 10), 0)
		r.closes(f)
		r.ok(admin.EndSession(t.Context()))
	})
}

// TestOrphansArePurged: when their time is up and nobody has them open.
func TestOrphansArePurged(t *testing.T) {
	running(t, vfs.Options{}, func(t *testing.T, r *rig) {
		ctx := t.Context()
		other := &rig{TB: t, model: r.model, store: r.store}
		other.mount(vfs.Options{ReadOnly: true}) // does not purge
		beat, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- other.fs.Run(beat) }()
		r.put("held", fill(1, 1000))
		r.put("gone", fill(2, 1000))
		gone, err := r.fs.Lookup(ctx, meta.RootIno, "gone")
		r.ok(err)
		f := other.open("held", syscall.O_RDONLY)
		r.ok(r.fs.Unlink(ctx, meta.Unlink{Parent: meta.RootIno, Name: "held"}))
		r.ok(r.fs.Unlink(ctx, meta.Unlink{Parent: meta.RootIno, Name: "gone"}))
		_, err = r.fs.GetAttr(ctx, gone.Ino) // an orphan for a while
		r.ok(err)
		time.Sleep(5 * time.Minute)
		_, err = r.fs.GetAttr(ctx, gone.Ino)
		r.fails(err, syscall.ENOENT)
		other.holds(f, fill(1, 1000))
		ino := f.Ino()
		f.Release()
		time.Sleep(5 * time.Minute)
		_, err = r.fs.GetAttr(ctx, ino)
		r.fails(err, syscall.ENOENT)
		stop()
		r.ok(<-done)
	})
}

// TestDeadSessionsAreEnded by those who live, after a long grace.
func TestDeadSessionsAreEnded(t *testing.T) {
	running(t, vfs.Options{}, func(t *testing.T, r *rig) {
		dead := r.model.Client()
		r.ok(dead.StartSession(t.Context(), meta.SessionInfo{}))
		count := func() int {
			sessions, err := r.model.Sessions(t.Context())
			r.ok(err)
			return len(sessions)
		}
		time.Sleep(5 * time.Minute)
		if n := count(); n != 2 {
			t.Fatalf("%d sessions after 5 minutes, want 2", n)
		}
		time.Sleep(15 * time.Minute)
		if n := count(); n != 1 {
			t.Fatalf("%d sessions after 20 minutes, want 1", n)
		}
	})
}

// TestRunBeforeTheServerAnswers: a mount that comes up during an outage works
// when that ends.
func TestRunBeforeTheServerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{TB: t, model: model.New(meta.Volume{Name: "t"}, nil), store: &gate{Store: mem.New("t")}}
		down := &refusing{Engine: r.model}
		down.down.Store(true)
		r.mount(vfs.Options{ReadOnly: true})
		fs, err := vfs.New(vfs.Options{Engine: down, Blocks: r.blocks})
		r.ok(err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- fs.Run(ctx) }()
		time.Sleep(time.Minute)
		make := meta.Make{Parent: meta.RootIno, Name: "d", Mode: meta.TypeDir | 0o755}
		_, err = fs.Make(ctx, make)
		r.fails(err, syscall.EIO)
		down.down.Store(false)
		time.Sleep(2 * time.Second)
		_, err = fs.Make(ctx, make)
		r.ok(err)
		cancel()
		r.ok(<-done)
		r.ok(fs.Shutdown(t.Context()))
	})
}

// refusing is an engine that starts no session while it is down.
type refusing struct {
	meta.Engine
	down atomic.Bool
}

func (e *refusing) StartSession(ctx context.Context, info meta.SessionInfo) error {
	if e.down.Load() {
		return &meta.Error{Op: "session_start", Errno: syscall.EIO, Err: meta.ErrUnreachable}
	}
	return e.Engine.StartSession(ctx, info)
}
