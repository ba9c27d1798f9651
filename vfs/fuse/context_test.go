package fuse_test

import (
	"context"
	"errors"
	"math"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mirrorfs/vfs/fuse"
)

// TestInterruptOfTheLiving: a signal that a program survives cancels nothing.
func TestInterruptOfTheLiving(t *testing.T) {
	cancel := make(chan struct{})
	ctx, finish := fuse.NewRequestContext(cancel, unix.Gettid(), time.Time{})
	derived, stop := context.WithTimeout(ctx, time.Hour)
	defer stop()
	close(cancel)
	select {
	case <-derived.Done():
		t.Error("the request was cancelled")
	case <-time.After(200 * time.Millisecond): // some looks at the thread
	}
	if err := ctx.Err(); err != nil {
		t.Error(err)
	}
	finish()
}

// TestInterruptOfTheDying: one that it does not survive does, also when it comes
// after the first that the kernel tells of.
func TestInterruptOfTheDying(t *testing.T) {
	sleeper := exec.Command("sleep", "1000")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	cancel := make(chan struct{})
	ctx, finish := fuse.NewRequestContext(cancel, sleeper.Process.Pid, time.Time{})
	defer finish()
	derived, stop := context.WithCancel(ctx)
	defer stop()
	called := make(chan struct{})
	context.AfterFunc(ctx, func() { close(called) })
	close(cancel)
	if err := sleeper.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = sleeper.Wait()
	for _, c := range []<-chan struct{}{ctx.Done(), derived.Done(), called} {
		select {
		case <-c:
		case <-time.After(patience):
			t.Fatal("the request is not cancelled")
		}
	}
	if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(derived.Err(), context.Canceled) {
		t.Errorf("errors: %v, %v", ctx.Err(), derived.Err())
	}
}

// TestDeadline: a question that nobody answers ends.
func TestDeadline(t *testing.T) {
	for range 3 { // the watcher comes and goes
		ctx, finish := fuse.NewRequestContext(make(chan struct{}), unix.Gettid(), time.Now())
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("error: %v", ctx.Err())
		}
		finish()
	}
}

func TestTimes(t *testing.T) {
	const nsPerSecond = int64(time.Second)
	for _, ns := range []int64{0, 1, -1, 1e9, -1e9, 1700000000123456789, -1700000000123456789, math.MaxInt64, math.MinInt64} {
		sec, nsec := fuse.SplitTime(ns)
		if nsec > 999_999_999 {
			t.Errorf("%d: %d nanoseconds", ns, nsec)
		}
		got := fuse.JoinTime(sec, nsec)
		near := ns/nsPerSecond > math.MaxInt64/nsPerSecond-2 || ns/nsPerSecond < math.MinInt64/nsPerSecond+2
		if got != ns && !near {
			t.Errorf("%d became %d", ns, got)
		}
	}
	if got := fuse.JoinTime(1<<62, 0); got != math.MaxInt64 {
		t.Errorf("far future became %d", got)
	}
}

func TestMountinfo(t *testing.T) {
	dir, fsType, source, ok := fuse.ParseMountinfo(`36 35 0:55 / /mnt/a\040b\134c rw,noatime shared:1 master:2 - fuse.mirrorfs mirrorfs:x rw,user_id=0` + "\n")
	if !ok || dir != `/mnt/a b\c` || fsType != "fuse.mirrorfs" || source != "mirrorfs:x" {
		t.Errorf("got %q, %q, %q, %v", dir, fsType, source, ok)
	}
	for _, line := range []string{"", "1 2 3", "1 2 0:1 / /x rw - ", "1 - ext4 /dev/sda"} {
		if _, _, _, ok := fuse.ParseMountinfo(line); ok {
			t.Errorf("%q was read", line)
		}
	}
}

func FuzzMountinfo(f *testing.F) {
	f.Add(`36 35 0:55 / /mnt/a\040b rw - fuse.mirrorfs mirrorfs:x rw`)
	f.Add(`36 35 0:55 / \9\ rw - a b`)
	f.Fuzz(func(_ *testing.T, line string) { fuse.ParseMountinfo(line) })
}
