package integration_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A system call is made by a process of its own, the test's binary, which can be killed.
const (
	callName = "MIRRORFS_TEST_CALL"
	callDir  = "MIRRORFS_TEST_CALL_DIR"
)

// systemCall is a call on a mount: prepare is made while all is well, and call during a cut. Each has a
// directory of its own with the files near, whose data the mount has, far, whose data it has not, and old.
type systemCall struct {
	name    string
	prepare func(dir string) (any, error)
	call    func(dir string, prepared any) error
	// want is what it gives during a cut.
	want error
}

func opened(name string, flags int) func(string) (any, error) {
	return func(dir string) (any, error) { return unix.Open(filepath.Join(dir, name), flags, 0o644) }
}

// dirtied is an open file with written bytes that were not committed.
func dirtied(dir string) (any, error) {
	fd, err := unix.Open(filepath.Join(dir, "dirty"), unix.O_RDWR|unix.O_CREAT, 0o644)
	if err == nil {
		_, err = unix.Write(fd, []byte("not committed yet"))
	}
	return fd, err
}

// onPath is a call that needs nothing but a path.
func onPath(name string, call func(path string) error) func(string, any) error {
	return func(dir string, _ any) error { return call(filepath.Join(dir, name)) }
}

// onFile is a call on an open file.
func onFile(call func(fd int) error) func(string, any) error {
	return func(_ string, fd any) error { return call(fd.(int)) }
}

func readAll(fd int) error {
	buf := make([]byte, 4096)
	n, err := unix.Pread(fd, buf, 0)
	if err == nil && n == 0 {
		return errors.New("an empty body")
	}
	return err
}

// fault reads a page of a mapping.
func fault(fd int) error {
	page, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(page) }()
	// The kernel reads the page: EFAULT in place of a signal.
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		return err
	}
	_, err = unix.Write(pipe[1], page[:1])
	return err
}

func lockNow(fd int) error {
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
}

// systemCalls are the calls of the table in docs/consistency.md.
func systemCalls() []systemCall {
	return []systemCall{
		{"stat", nil, onPath("near", func(p string) error { return unix.Stat(p, new(unix.Stat_t)) }), nil},
		{"readdir", nil, func(dir string, _ any) error { _, err := os.ReadDir(dir); return err }, nil},
		{"statfs", nil, onPath("near", func(p string) error { return unix.Statfs(p, new(unix.Statfs_t)) }), nil},
		{"getxattr", nil, onPath("near", func(p string) error { _, err := unix.Getxattr(p, "user.a", make([]byte, 8)); return err }), nil},
		{"access", nil, onPath("far", func(p string) error { return unix.Access(p, unix.R_OK) }), nil},
		{"open", nil, onPath("far", func(p string) error { _, err := unix.Open(p, unix.O_RDONLY, 0); return err }), nil},
		{"read what is here", opened("near", unix.O_RDONLY), onFile(readAll), nil},
		{"fault of what is here", opened("near", unix.O_RDONLY), onFile(fault), nil},
		{"write", opened("old", unix.O_RDWR), onFile(func(fd int) error { _, err := unix.Write(fd, []byte("w")); return err }), nil},

		{"read what is far", opened("far", unix.O_RDONLY), onFile(readAll), unix.EIO},
		{"fault of what is far", opened("far", unix.O_RDONLY), onFile(fault), unix.EFAULT},
		{"fsync", dirtied, onFile(unix.Fsync), unix.EIO},
		{"close", dirtied, onFile(unix.Close), unix.EIO},
		{"create", nil, onPath("new", func(p string) error { _, err := unix.Open(p, unix.O_CREAT|unix.O_RDWR, 0o644); return err }), unix.EIO},
		{"open and cut off", nil, onPath("old", func(p string) error { _, err := unix.Open(p, unix.O_TRUNC|unix.O_RDWR, 0o644); return err }), unix.EIO},
		{"mkdir", nil, onPath("dir", func(p string) error { return unix.Mkdir(p, 0o755) }), unix.EIO},
		{"mknod", nil, onPath("fifo", func(p string) error { return unix.Mknod(p, unix.S_IFIFO|0o644, 0) }), unix.EIO},
		{"symlink", nil, onPath("link", func(p string) error { return unix.Symlink("near", p) }), unix.EIO},
		{"link", nil, func(dir string, _ any) error {
			return unix.Link(filepath.Join(dir, "near"), filepath.Join(dir, "second"))
		}, unix.EIO},
		{"rename", nil, func(dir string, _ any) error {
			return unix.Rename(filepath.Join(dir, "old"), filepath.Join(dir, "moved"))
		}, unix.EIO},
		{"unlink", nil, onPath("old", unix.Unlink), unix.EIO},
		{"rmdir", nil, onPath("empty", unix.Rmdir), unix.EIO},
		{"chmod", nil, onPath("near", func(p string) error { return unix.Chmod(p, 0o600) }), unix.EIO},
		{"truncate", nil, onPath("old", func(p string) error { return unix.Truncate(p, 1) }), unix.EIO},
		{"setxattr", nil, onPath("near", func(p string) error { return unix.Setxattr(p, "user.b", []byte("v"), 0) }), unix.EIO},
		{"removexattr", nil, onPath("near", func(p string) error { return unix.Removexattr(p, "user.a") }), unix.EIO},
		{"fallocate", opened("old", unix.O_RDWR), onFile(func(fd int) error { return unix.Fallocate(fd, 0, 0, 100_000) }), unix.EIO},
		{"copy_file_range", opened("old", unix.O_RDWR), func(dir string, fd any) error {
			from, err := unix.Open(filepath.Join(dir, "near"), unix.O_RDONLY, 0)
			if err == nil {
				_, err = unix.CopyFileRange(from, nil, fd.(int), nil, 1000, 0)
			}
			return err
		}, unix.EIO},
		{"lock", opened("old", unix.O_RDWR), onFile(lockNow), unix.EIO},
	}
}

// dirtyCalls write during a cut, and then wait for what was written. The last one does nothing but die.
func dirtyCalls() []systemCall {
	then := func(call func(fd int) error) func(string, any) error {
		return onFile(func(fd int) error {
			if _, err := unix.Pwrite(fd, []byte("written"), 0); err != nil {
				return err
			}
			return call(fd)
		})
	}
	return []systemCall{
		{"write and close", opened("old", unix.O_RDWR), then(unix.Close), unix.EIO},
		{"write and fsync", opened("old", unix.O_RDWR), then(unix.Fsync), unix.EIO},
		{"die with what was written", opened("old", unix.O_RDWR), then(func(int) error { return unix.Kill(unix.Getpid(), unix.SIGTERM) }), nil},
	}
}

// makeCall is the process that makes a call: it says when it is ready, makes the call when told to, and
// says what came of it.
func makeCall(name, dir string) error {
	for _, c := range append(systemCalls(), dirtyCalls()...) {
		if c.name != name {
			continue
		}
		prepared, err := c.ready(dir)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		fmt.Println("ready")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		fmt.Println("got", gave(c.call(dir, prepared)))
		unix.Exit(0) // closing what is open is not what is asked
	}
	return fmt.Errorf("no call %q", name)
}

// ready prepares the call. All is well then, but the machine may be slower than the mount's short times.
func (c *systemCall) ready(dir string) (prepared any, err error) {
	if c.prepare == nil {
		return nil, nil
	}
	for deadline := time.Now().Add(3 * time.Minute); ; <-time.After(100 * time.Millisecond) {
		if prepared, err = c.prepare(dir); err == nil || time.Now().After(deadline) {
			return prepared, err
		}
	}
}

// gave is what a call gave, as a word.
func gave(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "OK"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	default:
		return err.Error()
	}
}

// caller is a process that makes a call.
type caller struct {
	systemCall
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // of what it says; closed at its end
}

// newCaller starts a process that is ready to make a call in a directory.
func newCaller(t *testing.T, c systemCall, dir string) *caller {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	p := &caller{systemCall: c, cmd: exec.Command(self), lines: make(chan string, 2)}
	p.cmd.Env = append(os.Environ(), callName+"="+c.name, callDir+"="+dir)
	p.cmd.Stderr = os.Stderr
	p.stdin, err = p.cmd.StdinPipe()
	must(t, err)
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	if got := p.says(t); got != "ready" {
		t.Fatalf("%s: it says %q before the call", c.name, got)
	}
	return p
}

// call makes it make the call.
func (p *caller) begin(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(p.stdin, "go\n")
	must(t, err)
}

// says is the next line of the process, and empty when it has ended.
func (p *caller) says(t *testing.T) string {
	t.Helper()
	select {
	case line := <-p.lines:
		return line
	case <-time.After(3 * time.Minute):
		t.Fatalf("%s: nothing was heard of it: %s", p.name, p.state())
		return ""
	}
}

// waits reports whether the process waits for its mount, or has ended.
func (p *caller) waits() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", p.cmd.Process.Pid))
	for _, name := range threads {
		in, _ := os.ReadFile(name)
		for _, of := range []string{"fuse", "request_wait", "folio_wait"} { // of a request, or of a page that one is to bring
			if strings.Contains(string(in), of) {
				return true
			}
		}
	}
	return len(threads) == 0
}

// state tells what the kernel says of a process that hangs.
func (p *caller) state() string {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	stack, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stack", p.cmd.Process.Pid))
	_, state, _ := strings.Cut(string(status), "State:")
	state, _, _ = strings.Cut(state, "\n")
	return state + "\n" + string(stack)
}
