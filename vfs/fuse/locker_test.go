package fuse_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lockerEnv makes the test binary a process that locks what it is told on its standard input.
const lockerEnv = "MIRRORFS_FUSE_LOCKER"

// locker is such a process: a program that uses a mount, with files and locks of its own.
type locker struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out chan string
}

func newLocker(t testing.TB) *locker {
	t.Helper()
	l := &locker{t: t, cmd: exec.Command(os.Args[0]), out: make(chan string, 16)} //nolint:gosec // the test itself
	l.cmd.Env = append(os.Environ(), lockerEnv+"=1")
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := l.cmd.StdoutPipe()
	if err == nil {
		l.in, err = l.cmd.StdinPipe()
	}
	if err == nil {
		l.cmd.Stderr = os.Stderr
		err = l.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			l.out <- lines.Text()
		}
		close(l.out)
	}()
	t.Cleanup(l.kill)
	return l
}

func (l *locker) kill() {
	_ = l.cmd.Process.Kill()
	_ = l.cmd.Wait()
}

// tell gives an order without waiting for the outcome.
func (l *locker) tell(order ...any) {
	l.t.Helper()
	if _, err := io.WriteString(l.in, fmt.Sprintln(order...)); err != nil {
		l.t.Fatal(err)
	}
}

// hears waits for the outcome of an order.
func (l *locker) hears(want string) {
	l.t.Helper()
	if got := l.next(); got != want {
		l.t.Fatalf("got %q, want %q", got, want)
	}
}

func (l *locker) next() string {
	l.t.Helper()
	select {
	case line, ok := <-l.out:
		if !ok {
			return "the process has ended"
		}
		return line
	case <-time.After(patience):
		l.t.Fatal("no answer")
		return ""
	}
}

// does gives an order and wants an outcome.
func (l *locker) does(want string, order ...any) {
	l.t.Helper()
	l.tell(order...)
	if got := l.next(); got != want {
		l.t.Fatalf("%v: got %q, want %q", order, got, want)
	}
}

// quiet fails when there is an outcome already; only wrong locks can make it fail.
func (l *locker) quiet() {
	l.t.Helper()
	select {
	case line := <-l.out:
		l.t.Fatalf("did not wait: %q", line)
	default:
	}
}

// The other side.

type lockerFiles map[string]*os.File

func runLocker() {
	files := lockerFiles{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		answer, err := files.do(words)
		var errno syscall.Errno
		switch {
		case errors.As(err, &errno):
			answer = unix.ErrnoName(errno)
		case err != nil:
			answer = err.Error()
		}
		fmt.Println(answer)
	}
}

// do is an order: a verb, the name of a file that it has open, and what the verb needs.
func (files lockerFiles) do(words []string) (string, error) {
	name := words[1]
	f := files[name]
	switch words[0] {
	case "open":
		f, err := os.OpenFile(words[2], os.O_RDWR|os.O_CREATE, 0o666)
		files[name] = f
		return "ok", err
	case "openr":
		f, err := os.Open(words[2])
		files[name] = f
		return "ok", err
	case "close":
		return "ok", f.Close()
	case "read":
		b := make([]byte, 100)
		n, err := f.ReadAt(b, 0)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return "=" + string(b[:n]), err
	case "write":
		_, err := f.WriteAt([]byte(words[2]), 0)
		return "ok", err
	case "sync":
		return "ok", f.Sync()
	case "flock":
		return "ok", unix.Flock(int(f.Fd()), map[string]int{
			"sh": unix.LOCK_SH, "ex": unix.LOCK_EX, "un": unix.LOCK_UN, "trysh": unix.LOCK_SH | unix.LOCK_NB, "tryex": unix.LOCK_EX | unix.LOCK_NB,
		}[words[2]])
	case "count":
		return count(f, words[2])
	case "get":
		lk := flockOf(words[2:])
		err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lk)
		if lk.Type == unix.F_UNLCK {
			return "free", err
		}
		return fmt.Sprint(map[int16]string{unix.F_RDLCK: "r", unix.F_WRLCK: "w"}[lk.Type], " ", lk.Start, " ", lk.Len), err
	}
	lk := flockOf(words[2:])
	command := map[string]int{"set": unix.F_SETLK, "wait": unix.F_SETLKW, "ofd": unix.F_OFD_SETLK, "ofdwait": unix.F_OFD_SETLKW}[words[0]]
	return "ok", unix.FcntlFlock(f.Fd(), command, &lk)
}

// flockOf reads a type (r, w, u), the first byte and how many; 0 is up to the end.
func flockOf(words []string) unix.Flock_t {
	first, _ := strconv.ParseInt(words[1], 10, 64)
	length, _ := strconv.ParseInt(words[2], 10, 64)
	return unix.Flock_t{Type: map[string]int16{"r": unix.F_RDLCK, "w": unix.F_WRLCK, "u": unix.F_UNLCK}[words[0]], Start: first, Len: length}
}

// count increments the number in a file under a lock, again and again.
func count(f *os.File, times string) (string, error) {
	n, err := strconv.Atoi(times)
	for range n {
		if err != nil {
			return "", err
		}
		err = increment(f)
	}
	return "ok", err
}

func increment(f *os.File) error {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &lk); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	b := make([]byte, 20)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read: %w", err)
	}
	number, _ := strconv.Atoi(string(b[:n]))
	if _, err := f.WriteAt([]byte(strconv.Itoa(number+1)), 0); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	lk.Type = unix.F_UNLCK
	return unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lk)
}

// opened gives a locker that has a file open as "f".
func opened(t testing.TB, dir, name string) *locker {
	t.Helper()
	l := newLocker(t)
	l.does("ok", "open", "f", filepath.Join(dir, name))
	return l
}
