package fuse_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mirrorfs/vfs/fuse"
)

// limited is a context that ends in time for the test to tell what hung.
func limited(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func write(t testing.TB, name, data string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(data), 0o644); err != nil { //nolint:gosec // for all to read
		t.Fatal(err)
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// gone fails the test unless the child has ended well and left no mount.
func (p *child) gone() {
	p.t.Helper()
	if err := p.ends(); err != nil {
		p.t.Errorf("the child ended with %v", err)
	}
	for _, dir := range p.Dirs {
		if mounted(p.t, dir) {
			p.t.Errorf("%s is still mounted", dir)
		}
	}
}

func TestUnmountWaitsForTheServer(t *testing.T) {
	p := mount(t, childConfig{})
	write(t, filepath.Join(p.Dirs[0], "f"), "x")
	pidfd, err := unix.PidfdOpen(p.cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(pidfd) }()
	if err := fuse.Unmount(limited(t), p.Dirs[0]); err != nil {
		t.Fatal(err)
	}
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
		t.Errorf("the process that served the mount still runs (%v)", err)
	}
	p.gone()
}

func TestUnmountByAnybody(t *testing.T) {
	p := mount(t, childConfig{})
	if err := unix.Unmount(p.Dirs[0], 0); err != nil {
		t.Fatal(err)
	}
	p.gone()
}

func TestUnmountBusy(t *testing.T) {
	p := mount(t, childConfig{})
	dir := p.Dirs[0]
	f, err := os.Create(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	err = fuse.Unmount(limited(t), dir)
	if !errors.Is(err, fuse.ErrBusy) || !strings.Contains(err.Error(), "fuse.test") {
		t.Errorf("unmount of a mount in use: %v, want %v by fuse.test", err, fuse.ErrBusy)
	}
	if _, err := f.WriteString("still works"); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if got := read(t, f.Name()); got != "still works" {
		t.Errorf("read %q", got)
	}
	if err := fuse.Unmount(limited(t), dir); err != nil {
		t.Error(err)
	}
	p.gone()
}

func TestTerminate(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := mount(t, childConfig{Dirs: []string{mountPoint(t), mountPoint(t)}})
		write(t, filepath.Join(p.Dirs[0], "f"), "x")
		if err := p.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		p.gone()
	}
}

// TestTerminateBusy: a program that keeps a file open does not keep the server.
func TestTerminateBusy(t *testing.T) {
	p := mount(t, childConfig{Grace: 100 * time.Millisecond})
	f, err := os.Create(filepath.Join(p.Dirs[0], "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString("buffered"); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.gone()
	if _, err := f.WriteString("x"); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("a write after the end: %v, want %v", err, unix.ENOTCONN)
	}
}

// TestKilled: what a crashed process leaves is no obstacle.
func TestKilled(t *testing.T) {
	dir := mountPoint(t)
	c := childConfig{Dirs: []string{dir}}
	mount(t, c).kill()
	if _, err := os.Stat(dir); !errors.Is(err, unix.ENOTCONN) {
		t.Fatalf("stat of a crashed mount: %v", err)
	}
	p, err := start(t, childConfig{Dirs: []string{dir}, Volume: "another"})
	if err == nil || !strings.Contains(p.log.String(), "crashed") || !strings.Contains(p.log.String(), "mirrorfs:test") {
		t.Errorf("another volume was mounted over the crashed one: %v\n%s", err, p.log)
	}
	p = mount(t, c)
	write(t, filepath.Join(dir, "f"), "x")
	p.kill()
	if err := fuse.Unmount(limited(t), dir); err != nil {
		t.Errorf("unmount of a crashed mount: %v", err)
	}
	if mounted(t, dir) {
		t.Error("the crashed mount is still there")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	mount(t, c).kill()
	c.Dirs = []string{link}
	p = mount(t, c)
	write(t, filepath.Join(dir, "f"), "x")
	if err := p.terminate(); err != nil {
		t.Error(err)
	}
	if mounted(t, dir) {
		t.Error("a mount through a symbolic link is left")
	}
}

func TestMountErrors(t *testing.T) {
	top := t.TempDir()
	full, plain := filepath.Join(top, "full"), filepath.Join(top, "file")
	if err := os.Mkdir(full, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(full, "hidden"), "x")
	write(t, plain, "x")
	taken := mount(t, childConfig{}).Dirs[0]
	tests := []struct {
		name, dir string
		want      error
		says      string
	}{
		{"missing", filepath.Join(top, "missing"), fuse.ErrNoDir, "missing"},
		{"missing above", filepath.Join(top, "missing", "deeper"), fuse.ErrNoDir, "missing"},
		{"file", plain, fuse.ErrNoDir, "it is a file"},
		{"below a file", filepath.Join(plain, "x"), fuse.ErrNoDir, "it is a file"},
		{"not empty", full, fuse.ErrNotEmpty, "hidden"},
		{"taken", taken, fuse.ErrMounted, "mirrorfs:test"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := start(t, childConfig{Dirs: []string{test.dir}})
			if err == nil {
				t.Fatal("mounted")
			}
			for _, want := range []string{test.want.Error(), test.says} {
				if !strings.Contains(p.log.String(), want) {
					t.Errorf("the error does not say %q:\n%s", want, p.log)
				}
			}
		})
	}
	for _, dir := range []string{top, full, filepath.Join(top, "missing")} {
		err := fuse.Unmount(limited(t), dir)
		if !errors.Is(err, fuse.ErrNotMounted) && !errors.Is(err, fuse.ErrNoDir) {
			t.Errorf("unmount of %s: %v", dir, err)
		}
	}
}
