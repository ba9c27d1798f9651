package fuse_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// child is a process that serves mounts.
type child struct {
	t    testing.TB
	cmd  *exec.Cmd
	Dirs []string
	log  *lockedBuffer
	exit chan struct{} // closed when it has ended
	err  error         // how it ended; read after exit
}

// lockedBuffer keeps what a process writes.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// patience bounds waits that only fail when something is broken.
const patience = 2 * time.Minute

// mount starts a child and waits until its mounts answer. Whatever becomes of
// the test, its process and mounts go with it.
func mount(t testing.TB, c childConfig) *child {
	t.Helper()
	p, err := start(t, c)
	if err != nil {
		t.Fatalf("mount: %v\n%s", err, p.log)
	}
	return p
}

// start is mount, and returns an error when the child ends instead.
func start(t testing.TB, c childConfig) (*child, error) {
	t.Helper()
	if c.Volume == "" {
		c.Volume = "test"
	}
	if len(c.Dirs) == 0 {
		c.Dirs = []string{mountPoint(t)}
	}
	if c.Meta == "" {
		c.Meta = newVolume(t, c.Volume)
	}
	if c.Bucket == "" {
		c.Bucket = t.TempDir()
	}
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &child{t: t, Dirs: c.Dirs, log: &lockedBuffer{}, exit: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0]) //nolint:gosec // the test itself
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.cleanUp)
	line, readErr := bufio.NewReader(out).ReadString('\n')
	go func() {
		p.err = p.cmd.Wait()
		close(p.exit)
	}()
	if strings.TrimSpace(line) != ready {
		<-p.exit
		return p, errors.Join(errors.New("the child ended before it was ready"), readErr, p.err)
	}
	return p, nil
}

// newVolume formats a volume on a Redis of its own and returns its address.
func newVolume(t testing.TB, name string) string {
	t.Helper()
	address := redistest.Start(t)
	e, err := redis.Format(t.Context(), address, meta.Volume{Name: name}, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// mountPoint is an empty directory that everybody may enter (t.TempDir is not)
// and that is unmounted with the test.
func mountPoint(t testing.TB) string {
	t.Helper()
	top, err := os.MkdirTemp("", "mfsfuse") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "mnt")
	t.Cleanup(func() {
		forceUnmount(dir)
		_ = os.Remove(dir)
		_ = os.Remove(top)
	})
	if err := errors.Join(os.Chmod(top, 0o755), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func forceUnmount(dir string) {
	for unix.Unmount(dir, unix.MNT_DETACH) == nil {
	}
}

func (p *child) cleanUp() {
	select {
	case <-p.exit:
	default:
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if !p.waits(patience) {
			_ = p.cmd.Process.Signal(syscall.SIGQUIT) // tells where it stands
			p.waits(5 * time.Second)
			_ = p.cmd.Process.Kill()
			p.waits(patience)
			p.t.Errorf("the child did not end on SIGTERM")
		}
	}
	for _, dir := range p.Dirs {
		forceUnmount(dir)
	}
	if p.t.Failed() {
		p.t.Logf("log of the child:\n%s", tail(p.log.String(), 32<<10))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// waits reports whether the child has ended within d.
func (p *child) waits(d time.Duration) bool {
	select {
	case <-p.exit:
		return true
	case <-time.After(d):
		return false
	}
}

// ends waits for the child to end, and fails the test if it does not.
func (p *child) ends() error {
	p.t.Helper()
	if !p.waits(patience) {
		p.t.Fatal("the child does not end")
	}
	return p.err
}

// kill is kill -9.
func (p *child) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.ends()
}

// terminate is SIGTERM, and waits for the end.
func (p *child) terminate() error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	return p.ends()
}

// mounted reports whether something is mounted at dir.
func mounted(t testing.TB, dir string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), " "+dir+" ")
}

// mincore is mincore(2), which x/sys lacks.
func mincore(m, vec []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&vec[0])))
	if errno != 0 {
		return errno
	}
	return nil
}
