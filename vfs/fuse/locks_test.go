package fuse_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// twoMounts is one volume at two mounts, by one process; the kernel sees two file systems.
func twoMounts(t testing.TB) []string {
	t.Helper()
	return mount(t, childConfig{Dirs: []string{mountPoint(t), mountPoint(t)}}).Dirs
}

// TestFcntlLocks has processes on two mounts lock ranges of one file.
func TestFcntlLocks(t *testing.T) {
	dirs := twoMounts(t)
	a, b, c := opened(t, dirs[0], "f"), opened(t, dirs[1], "f"), opened(t, dirs[0], "f")
	a.does("ok", "set f w 10 10")
	b.does("EAGAIN", "set f r 19 1")
	c.does("EAGAIN", "set f w 0 0")
	b.does("ok", "set f w 0 10")
	b.does("ok", "set f w 20 0")
	c.does("w 0 10", "get f r 5 100")
	c.does("w 10 10", "get f w 10 1")
	a.does("ok", "set f r 12 3") // a downgrade of the middle
	b.does("ok", "set f r 12 3")
	b.does("EAGAIN", "set f r 11 2")
	a.does("ok", "set f u 10 2")
	b.does("ok", "set f w 11 1")
	a.does("free", "get f r 15 5")
	// A close of any descriptor of the process releases all, also of one that cannot write.
	b.does("ok", "openr", "again", filepath.Join(dirs[1], "f"))
	b.does("ok", "close again")
	c.does("ok", "set f w 20 0")
	c.does("ok", "set f w 0 10")
	// So does its end.
	c.kill()
	a.does("ok", "wait f w 0 0")
}

// TestLocksWait has processes wait for each other across mounts.
func TestLocksWait(t *testing.T) {
	dirs := twoMounts(t)
	a, b := opened(t, dirs[0], "f"), opened(t, dirs[1], "f")
	for range 5 {
		a.does("ok", "set f w 0 10")
		b.tell("wait f w 5 1")
		a.does("ok", "write f fromA")
		b.quiet()
		a.does("ok", "set f u 0 10")
		b.hears("ok")
		b.does("=fromA", "read f") // what was written under the lock
		b.does("ok", "write f fromB")
		a.tell("wait f r 0 10")
		b.does("ok", "set f u 0 0")
		a.hears("ok")
		a.does("=fromB", "read f")
		a.does("ok", "set f u 0 0")
	}
	// A circle across the mounts.
	a.does("ok", "set f w 0 1")
	b.does("ok", "set f w 1 1")
	a.tell("wait f w 1 1")
	b.tell("wait f w 0 1")
	loser, other := a, b
	first := ""
	select {
	case first = <-a.out:
	case first = <-b.out:
		loser, other = b, a
	case <-time.After(patience):
		t.Fatal("two wait for each other for ever")
	}
	if first != "EDEADLK" {
		t.Fatalf("one of two that wait for each other got %q", first)
	}
	loser.does("ok", "set f u 0 0")
	other.hears("ok")
}

// TestLockWaitInterrupted: a signal ends a wait, a deadly one the process, and nothing is left
// of it.
func TestLockWaitInterrupted(t *testing.T) {
	dirs := twoMounts(t)
	a, b := opened(t, dirs[0], "f"), opened(t, dirs[1], "f")
	a.does("ok", "flock f ex")
	// The signal comes again and again: the first may come before there is a wait.
	script := `use Time::HiRes; open F, "+<", $ARGV[0] or die; $SIG{ALRM} = sub {}; Time::HiRes::ualarm(200_000, 200_000); print flock(F, 2) ? "locked" : $!+0`
	out, err := exec.Command("perl", "-e", script, filepath.Join(dirs[1], "f")).CombinedOutput()
	if err != nil || string(out) != "4" { // EINTR
		t.Errorf("an interrupted flock: %q, %v", out, err)
	}
	b.tell("flock f ex")
	if err := b.cmd.Process.Signal(syscall.SIGWINCH); err != nil { // one that Go ignores
		t.Fatal(err)
	}
	b.quiet()
	begin := time.Now()
	b.kill()
	t.Logf("a waiter was dead %v after it was killed", time.Since(begin))
	a.does("ok", "flock f un")
	c := opened(t, dirs[1], "f")
	c.does("ok", "flock f tryex")
}

// TestFlock has flock(2) locks, and those of open files, across mounts.
func TestFlock(t *testing.T) {
	dirs := twoMounts(t)
	a, b := opened(t, dirs[0], "f"), opened(t, dirs[1], "f")
	a.does("ok", "flock f sh")
	b.does("ok", "flock f sh")
	b.does("EAGAIN", "flock f tryex") // and it has lost its own
	a.does("ok", "flock f tryex")
	b.does("EAGAIN", "flock f trysh")
	b.tell("flock f sh")
	a.does("ok", "flock f sh")
	b.hears("ok")
	b.does("ok", "set f w 0 0") // the two kinds do not see each other
	a.does("ok", "open", "g", filepath.Join(dirs[0], "f"))
	a.does("ok", "flock g trysh")
	a.does("ok", "close f")
	b.does("EAGAIN", "flock f tryex")
	a.does("ok", "flock g tryex") // the first handle of a is closed, the lock of b was lost
	a.does("ok", "close g")
	b.does("ok", "flock f ex")

	a.does("ok", "open", "h", filepath.Join(dirs[0], "o"))
	a.does("ok", "open", "i", filepath.Join(dirs[0], "o"))
	b.does("ok", "open", "o", filepath.Join(dirs[1], "o"))
	a.does("ok", "ofd h w 0 10")
	a.does("EAGAIN", "ofd i r 5 1")
	b.does("EAGAIN", "set o r 5 1")
	a.does("ok", "ofd i w 10 10")
	a.does("ok", "close i")
	b.does("ok", "wait o w 10 10")
	a.does("ok", "close h")
	b.does("ok", "wait o w 0 0")
}

// TestLockCounter: a number in a file that processes on two mounts count up under a lock.
func TestLockCounter(t *testing.T) {
	dirs := twoMounts(t)
	const each = 50
	var all []*locker
	for i := range 4 {
		l := opened(t, dirs[i%2], "f")
		l.tell("count f", each)
		all = append(all, l)
	}
	for _, l := range all {
		l.hears("ok")
	}
	got, err := os.ReadFile(filepath.Join(dirs[0], "f"))
	if err != nil || string(got) != "200" {
		t.Errorf("the number is %q, %v, want %d", got, err, 4*each)
	}
}

// TestLocksOfTheDead: a mount that was killed keeps its locks until its session has run out by the
// server's clock, and no longer.
func TestLocksOfTheDead(t *testing.T) {
	address, bucket := newVolume(t, "test"), t.TempDir()
	const ttl = 6 * time.Second // of which a busy machine may need some for a heartbeat
	one := mount(t, childConfig{Meta: address, Bucket: bucket, SessionTTL: ttl})
	two := mount(t, childConfig{Meta: address, Bucket: bucket, SessionTTL: ttl})
	a, b := opened(t, one.Dirs[0], "f"), opened(t, two.Dirs[0], "f")
	a.does("ok", "set f w 0 0")
	a.does("ok", "flock f ex")
	e := redistest.Open(t, address, redis.Options{})
	sessions, err := e.Sessions(t.Context())
	if err != nil || len(sessions) != 2 || sessions[0].Locks+sessions[1].Locks != 2 {
		t.Errorf("sessions %+v, %v", sessions, err)
	}
	one.kill()
	killed := time.Now()
	b.does("EAGAIN", "set f r 0 1")
	b.does("ok", "wait f w 0 0")
	t.Logf("the lock of the dead was had after %v; its session lived %v without a heartbeat", time.Since(killed), ttl)
	b.does("ok", "flock f ex")
}

// TestLocksLost: a client that was cut off for too long gets errors where it had a lock, what it
// wrote under the lock and had not committed is not committed, and all else goes on.
func TestLocksLost(t *testing.T) {
	address, bucket := newVolume(t, "test"), t.TempDir()
	const ttl = 6 * time.Second // of which a busy machine may need some for a heartbeat
	one := mount(t, childConfig{Meta: address, Bucket: bucket, SessionTTL: ttl})
	two := mount(t, childConfig{Meta: address, Bucket: bucket, SessionTTL: ttl})
	a, b := opened(t, one.Dirs[0], "f"), opened(t, two.Dirs[0], "f")
	a.does("ok", "open", "other", filepath.Join(one.Dirs[0], "other"))
	a.does("ok", "set f w 0 0")
	a.does("ok", "write f old")
	if err := one.cmd.Process.Signal(syscall.SIGSTOP); err != nil { // as a cut, to all others
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = one.cmd.Process.Signal(syscall.SIGCONT) })
	b.does("ok", "wait f w 0 0")
	b.does("ok", "write f new")
	b.does("ok", "sync f")
	if err := one.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	a.does("EIO", "sync f")
	a.does("EIO", "read f")
	a.does("EIO", "set f w 0 0")
	a.does("ok", "write other text")
	a.does("ok", "sync other")
	b.does("=new", "read f")
	b.does("ok", "close f")
	a.does("ok", "open", "g", filepath.Join(one.Dirs[0], "f"))
	a.does("=new", "read g")
	a.does("ok", "wait g w 0 0")
	if log := one.log.String(); !strings.Contains(log, "lock was lost") {
		t.Errorf("nothing is said of it:\n%s", log)
	}
}

// TestSessionEndedByOthers: the mount goes on under a new session.
func TestSessionEndedByOthers(t *testing.T) {
	address := newVolume(t, "test")
	p := mount(t, childConfig{Meta: address})
	a := opened(t, p.Dirs[0], "f")
	e := redistest.Open(t, address, redis.Options{})
	for range 2 {
		a.does("ok", "write f text")
		sessions, err := e.Sessions(t.Context())
		if err != nil || len(sessions) != 1 {
			t.Fatalf("sessions %+v, %v", sessions, err)
		}
		if _, err := e.Change(t.Context(), meta.EndOtherSession{ID: sessions[0].ID, Force: true}); err != nil {
			t.Fatal(err)
		}
		a.does("ok", "sync f")
		a.does("ok", "set f w 0 0")
		a.does("ok", "set f u 0 0")
	}
}

// TestLocalLocks: with the option, mounts know nothing of each other's locks.
func TestLocalLocks(t *testing.T) {
	dirs := mount(t, childConfig{Dirs: []string{mountPoint(t), mountPoint(t)}, LocalLocks: true}).Dirs
	a, b, c := opened(t, dirs[0], "f"), opened(t, dirs[1], "f"), opened(t, dirs[0], "f")
	a.does("ok", "set f w 0 0")
	b.does("ok", "set f w 0 0")
	c.does("EAGAIN", "set f w 0 0")
}
