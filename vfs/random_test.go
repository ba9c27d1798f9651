package vfs_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// seeds gives the seeds of a random test: one from MIRRORFS_SEED, or n.
func seeds(t *testing.T, n int) []uint64 {
	t.Helper()
	if s := os.Getenv("MIRRORFS_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	var list []uint64
	for range n {
		list = append(list, rand.Uint64())
	}
	return list
}

func replay(t *testing.T, seed uint64) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("replay with: MIRRORFS_SEED=%d go test ./vfs -run '^%s$'", seed, t.Name())
		}
	})
}

// TestRandomWhileFlushing compares a file with a slice of bytes, while data is
// flushed behind all the time, commits are cut small, the server does not
// answer now and then, and the session is lost.
func TestRandomWhileFlushing(t *testing.T) {
	for _, seed := range seeds(t, 2) {
		replay(t, seed)
		r := newRig(t, vfs.Options{FlushAge: 5 * time.Millisecond, DirtyExtents: 5, BufferedBytes: 64 << 10, ReserveSlices: 8})
		r.fs.LimitExtents(3)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.fs.Run(ctx) }()
		var count atomic.Uint64
		r.meter.failWith(func(op string) error {
			if op == "commit" && count.Add(1)%3 == 0 {
				return unreachable("commit")(op)
			}
			return nil
		})
		want := r.randomWrites(seed)
		r.meter.failWith(nil)
		cancel()
		r.ok(<-done)
		r.ok(r.fs.Shutdown(t.Context()))
		r.mount(vfs.Options{})
		f := r.open("f", syscall.O_RDONLY)
		r.holds(f, want)
		r.closes(f)
	}
}

// randomWrites acts on a file through two handles and gives what it must hold.
func (r *rig) randomWrites(seed uint64) []byte {
	r.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	files := []*vfs.File{r.create("f"), nil}
	files[1] = r.open("f", syscall.O_RDWR)
	var want []byte
	for range 400 {
		f := files[rng.IntN(2)]
		switch op := rng.IntN(14); {
		case op < 6:
			off, p := rng.IntN(300_000), fill(byte(rng.Uint32()), rng.IntN(20_000)+1)
			r.write(f, p, int64(off))
			if len(want) < off+len(p) {
				want = append(want, make([]byte, off+len(p)-len(want))...)
			}
			copy(want[off:], p)
		case op == 6:
			size := rng.IntN(300_000)
			_, err := r.fs.SetAttr(r.Context(), meta.SetAttr{Ino: f.Ino(), Set: meta.SetSize, Size: uint64(size)})
			r.ok(err)
			want = append(want[:min(size, len(want))], make([]byte, max(0, size-len(want)))...)
		case op == 7:
			if err := f.Fsync(r.Context()); err != nil {
				r.fails(err, syscall.EIO)
			}
		case op == 8 && rng.IntN(10) == 0:
			r.loseSession()
		case op == 9:
			off, n := rng.IntN(300_000), rng.IntN(50_000)+1
			if rng.IntN(2) == 0 {
				r.ok(f.Punch(r.Context(), int64(off), int64(n)))
			} else {
				if err := f.ZeroRange(r.Context(), int64(off), int64(n)); err != nil { // it was not made longer
					r.fails(err, syscall.EIO)
					clear(want[min(off, len(want)):min(off+n, len(want))])
					continue
				}
				want = append(want, make([]byte, max(0, off+n-len(want)))...)
			}
			clear(want[min(off, len(want)):min(off+n, len(want))])
		case op == 10:
			from, to, n := rng.IntN(100_000), 200_000+rng.IntN(100_000), rng.IntN(50_000)
			done, err := f.CopyRange(r.Context(), int64(from), f, int64(to), int64(n))
			if err != nil { // what is buffered could not be committed first
				r.fails(err, syscall.EIO)
				continue
			}
			if done > 0 {
				want = append(want, make([]byte, max(0, to+int(done)-len(want)))...)
				copy(want[to:], want[from:from+int(done)])
			}
		default:
			off, n := rng.IntN(300_000), rng.IntN(50_000)+1
			got, err := r.tryRead(f, int64(off), n)
			r.ok(err)
			end := min(off+n, len(want))
			if !bytes.Equal(got, want[min(off, end):end]) {
				r.Fatalf("read of %d bytes at %d differs", n, off)
			}
		}
	}
	for _, f := range files {
		f.Release()
	}
	return want
}

// loseSession ends all sessions of the volume from outside.
func (r *rig) loseSession() {
	r.Helper()
	admin := r.model.Client()
	sessions, err := r.model.Sessions(r.Context())
	r.ok(err)
	r.ok(admin.StartSession(r.Context(), meta.SessionInfo{Kind: "cli"}))
	for _, s := range sessions {
		_, err = admin.Change(r.Context(), meta.EndOtherSession{ID: s.ID, Force: true})
		r.ok(err)
	}
	r.ok(admin.EndSession(r.Context()))
}

// TestEveryCommitIsAPrefix: whatever moment a client dies, others find of a file
// that was being written in order a first part of it.
func TestEveryCommitIsAPrefix(t *testing.T) {
	r := newRig(t, vfs.Options{FlushAge: time.Millisecond})
	reader := &rig{TB: t, model: r.model, store: r.store}
	reader.mount(vfs.Options{ReadOnly: true})
	want := fill(3, 20<<20)
	commits := 0
	r.meter.hold = func(op string) {
		if op != "commit" {
			return
		}
		commits++
		f := reader.open("f", syscall.O_RDONLY)
		defer f.Release()
		got, err := reader.tryRead(f, 0, len(want))
		if err != nil || !bytes.HasPrefix(want, got) {
			t.Errorf("after commit %d: %d bytes that are no prefix, %v", commits, len(got), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.fs.Run(ctx) }()
	f := r.create("f")
	for off := 0; off < len(want); {
		n := min(len(want)-off, 100_000)
		r.write(f, want[off:off+n], int64(off))
		off += n
		if off%700_000 == 0 {
			r.ok(f.Fsync(t.Context()))
		}
	}
	r.closes(f)
	cancel()
	r.ok(<-done)
	if commits < 20 {
		t.Fatalf("only %d commits", commits)
	}
}
