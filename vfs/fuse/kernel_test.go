package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadOnly(t *testing.T) {
	p := mount(t, childConfig{ReadOnly: true})
	err := os.WriteFile(filepath.Join(p.Dirs[0], "f"), nil, 0o644) //nolint:gosec // it fails
	if !errors.Is(err, unix.EROFS) {
		t.Errorf("create on a read-only mount: %v", err)
	}
	if entries, err := os.ReadDir(p.Dirs[0]); err != nil || len(entries) != 0 {
		t.Errorf("read of the root: %v, %v", entries, err)
	}
}

func TestListed(t *testing.T) {
	p := mount(t, childConfig{Volume: "photos"})
	out, err := exec.CommandContext(limited(t), "findmnt", "-n", "-o", "SOURCE,FSTYPE,OPTIONS", p.Dirs[0]).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mirrorfs:photos", "fuse.mirrorfs", "default_permissions", "allow_other", "nosuid", "nodev"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the list of mounts lacks %q: %s", want, out)
		}
	}
}

// TestSubdir shows a directory of the volume as the root: its node ID differs
// from its inode number, and nothing leads out of it.
func TestSubdir(t *testing.T) {
	c := childConfig{Meta: newVolume(t, "test"), Bucket: t.TempDir()}
	whole := mount(t, c)
	if err := os.MkdirAll(filepath.Join(whole.Dirs[0], "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(whole.Dirs[0], "a", "b", "f"), "inside")
	c.Subdir = "a/b"
	part := mount(t, c)
	dir := part.Dirs[0]
	if got := read(t, filepath.Join(dir, "f")); got != "inside" {
		t.Errorf("read %q", got)
	}
	var st, top unix.Stat_t
	if err := errors.Join(unix.Stat(dir, &st), unix.Stat(filepath.Join(whole.Dirs[0], "a", "b"), &top)); err != nil {
		t.Fatal(err)
	}
	if st.Ino != top.Ino {
		t.Errorf("the root has inode %d, want %d", st.Ino, top.Ino)
	}
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "d"), 0o755),
		os.Rename(filepath.Join(dir, "f"), filepath.Join(dir, "d", "g")),
		os.Rename(filepath.Join(dir, "d", "g"), filepath.Join(dir, "h")),
		os.Link(filepath.Join(dir, "h"), filepath.Join(dir, "i")),
		os.Symlink("h", filepath.Join(dir, "s")),
		os.Chmod(dir, 0o700),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := read(t, filepath.Join(dir, "s")); got != "inside" {
		t.Errorf("read %q", got)
	}
	names := func(dir string) string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(entries)
	}
	if here, there := names(dir), names(filepath.Join(whole.Dirs[0], "a", "b")); here != there {
		t.Errorf("the root holds %s, the directory %s", here, there)
	}
}

// TestRefused: what is not implemented is refused so that programs do without.
func TestRefused(t *testing.T) {
	p := mount(t, childConfig{})
	name := filepath.Join(p.Dirs[0], "f")
	write(t, name, "0123456789")
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	fd := int(f.Fd())
	for _, mode := range []uint32{unix.FALLOC_FL_COLLAPSE_RANGE, unix.FALLOC_FL_INSERT_RANGE, unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_UNSHARE_RANGE} {
		if err := unix.Fallocate(fd, mode, 0, 4096); !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("fallocate with mode %#x: %v", mode, err)
		}
	}
	if _, err := unix.Open(p.Dirs[0], unix.O_TMPFILE|unix.O_RDWR, 0o600); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("tmpfile: %v", err)
	}
	for _, other := range []string{"system.other", "other.name"} {
		if err := unix.Setxattr(name, other, []byte{2, 0, 0, 0}, 0); !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("set %s: %v", other, err)
		}
	}
	if err := unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, name+"2", unix.RENAME_WHITEOUT); !errors.Is(err, unix.EINVAL) {
		t.Errorf("rename with a whiteout: %v", err)
	}
	copied := filepath.Join(p.Dirs[0], "g")
	if out, err := exec.CommandContext(limited(t), "cp", "-a", name, copied).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("cp -a: %v: %s", err, out)
	}
	if got := read(t, copied); got != "0123456789" {
		t.Errorf("the copy holds %q", got)
	}
}

// TestAppendElsewhere: an append goes to the end of the file, also when another
// client has moved the end and this kernel does not know; and it is then read
// from where it is.
func TestAppendElsewhere(t *testing.T) {
	p := mount(t, childConfig{Dirs: []string{mountPoint(t), mountPoint(t)}, AttrAge: 1})
	here, there := filepath.Join(p.Dirs[0], "f"), filepath.Join(p.Dirs[1], "f")
	f, err := os.OpenFile(here, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	write(t, there, "written there, ")
	if _, err := f.WriteString("appended here"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	const want = "written there, appended here"
	for _, name := range []string{here, there} {
		if got := read(t, name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
}

// TestAppendMapped: pages of a mapping are written at their place, though the
// only handle is one for appending.
func TestAppendMapped(t *testing.T) {
	p := mount(t, childConfig{})
	name := filepath.Join(p.Dirs[0], "f")
	write(t, name, "0123456789")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	m[2] = 'X'
	if _, err := f.WriteString("abc"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(unix.Munmap(m), f.Close()); err != nil {
		t.Error(err)
	}
	if got, want := read(t, name), "01X3456789abc"; got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
}

// TestCopyTree copies Go's own sources with the usual tools and compares.
func TestCopyTree(t *testing.T) {
	p := mount(t, childConfig{})
	src, dst := filepath.Join(runtime.GOROOT(), "src", "net"), filepath.Join(p.Dirs[0], "net") //nolint:staticcheck // the toolchain that runs the test
	for _, args := range [][]string{
		{"cp", "-a", src, dst},
		{"diff", "-r", "--no-dereference", src, dst},
		{"sh", "-c", "cd '" + src + "' && tar cf - . | tar df - -C '" + dst + "'"}, // modes, owners, times
		{"rm", "-rf", dst},
	} {
		if out, err := exec.CommandContext(limited(t), args[0], args[1:]...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%v: %v\n%s", args, err, tail(string(out), 4096))
		}
	}
	if entries, err := os.ReadDir(p.Dirs[0]); err != nil || len(entries) > 0 {
		t.Errorf("after rm -rf: %v, %v", entries, err)
	}
}

// TestCreateStorm makes many files at once, in one directory and in many.
func TestCreateStorm(t *testing.T) {
	const workers, each = 16, 100
	p := mount(t, childConfig{})
	top := p.Dirs[0]
	var all sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		all.Go(func() {
			own := filepath.Join(top, fmt.Sprintf("dir%d", w))
			errs[w] = os.Mkdir(own, 0o755)
			for i := range each {
				for _, name := range []string{filepath.Join(own, strconv.Itoa(i)), filepath.Join(top, fmt.Sprintf("%d-%d", w, i))} {
					errs[w] = errors.Join(errs[w], os.WriteFile(name, []byte(name), 0o600))
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(top, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		if b, err := os.ReadFile(name); err != nil || string(b) != name {
			return fmt.Errorf("%s holds %q: %w", name, b, err)
		}
		return nil
	})
	if err != nil || files != 2*workers*each {
		t.Errorf("%d files of %d, %v", files, 2*workers*each, err)
	}
}

// TestSignals: no call fails because the program gets signals, and every change
// is made once.
func TestSignals(t *testing.T) {
	p := mount(t, childConfig{Timeout: -1})
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGUSR1)
	defer signal.Stop(caught)
	done, stopped := make(chan struct{}), make(chan struct{})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, tid := unix.Getpid(), unix.Gettid()
	sent := 0
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
				_ = unix.Tgkill(pid, tid, unix.SIGUSR1)
				sent++
				time.Sleep(20 * time.Microsecond) // leaves room for the program
			}
		}
	}()
	for i := range 300 {
		if err := useOnce(filepath.Join(p.Dirs[0], strconv.Itoa(i))); err != nil {
			t.Errorf("file %d: %v", i, err)
			break
		}
	}
	close(done)
	<-stopped
	t.Logf("%d signals were sent", sent)
}

// useOnce makes a file and uses it, without repeating what a signal interrupts.
func useOnce(name string) error {
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	var st unix.Stat_t
	buf := make([]byte, 10)
	for _, call := range []struct {
		what string
		do   func() error
	}{
		{"write", func() error { _, err := unix.Pwrite(fd, []byte("0123456789"), 0); return err }},
		{"fstat", func() error { return unix.Fstat(fd, &st) }},
		{"fsync", func() error { return unix.Fsync(fd) }},
		{"read", func() error { _, err := unix.Pread(fd, buf, 0); return err }},
		{"close", func() error { return unix.Close(fd) }},
		{"stat", func() error { return unix.Stat(name, &st) }},
		{"rename", func() error { return unix.Rename(name, name+"x") }},
		{"unlink", func() error { return unix.Unlink(name + "x") }},
	} {
		if err := call.do(); err != nil {
			return fmt.Errorf("%s: %w", call.what, err)
		}
	}
	if st.Size != 10 || string(buf) != "0123456789" {
		return fmt.Errorf("size %d, content %q", st.Size, buf)
	}
	return nil
}
