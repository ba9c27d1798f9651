package fuse_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// attribute reads an extended attribute.
func attribute(t testing.TB, path, name string) string {
	t.Helper()
	buf := make([]byte, 128)
	for {
		n, err := unix.Getxattr(path, name, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("%s of %s: %v", name, path, err)
		}
		return string(buf[:n])
	}
}

// A program hands the position of its mount to one on another mount. That waits for it, and then
// sees what the first one did, whatever its kernel believed before: sizes, names that are and
// names that are not.
func TestPromise06PositionThroughMounts(t *testing.T) {
	const kept = 700 * time.Millisecond // long enough that a kernel that is not waited for is caught
	p := mount(t, childConfig{Dirs: []string{mountPoint(t), mountPoint(t)}, Timeout: kept, NegativeTimeout: kept})
	here, there := p.Dirs[0], p.Dirs[1]
	write(t, filepath.Join(here, "f"), "")
	write(t, filepath.Join(here, "old-0"), "")
	for i := range 2 {
		content := strings.Repeat("x", i+1)
		for _, name := range []string{"f", fmt.Sprint("old-", i), fmt.Sprint("new-", i)} { // the kernel there learns them
			_, _ = os.Stat(filepath.Join(there, name))
		}
		write(t, filepath.Join(here, "f"), content)
		write(t, filepath.Join(here, fmt.Sprint("new-", i)), "")
		if err := os.Rename(filepath.Join(here, fmt.Sprint("old-", i)), filepath.Join(here, fmt.Sprint("old-", i+1))); err != nil {
			t.Fatal(err)
		}
		at := attribute(t, filepath.Join(here, "f"), "user.mirrorfs.position")
		reached := attribute(t, there, "user.mirrorfs.wait:"+at)
		if len(reached) < len(at) {
			t.Errorf("waiting for %s gave %q", at, reached)
		}
		if st, err := os.Stat(filepath.Join(there, "f")); err != nil || st.Size() != int64(len(content)) {
			t.Errorf("after waiting for %s the file is %+v, %v", at, st, err)
		}
		if _, err := os.Stat(filepath.Join(there, fmt.Sprint("new-", i))); err != nil {
			t.Errorf("after waiting for %s: %v", at, err)
		}
		if _, err := os.Stat(filepath.Join(there, fmt.Sprint("old-", i))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after waiting for %s the old name: %v", at, err)
		}
	}
}

// The attributes are no files' own: they cannot be set, removed or listed.
func TestPositionIsNoAttributeOfAFile(t *testing.T) {
	p := mount(t, childConfig{})
	f := filepath.Join(p.Dirs[0], "f")
	write(t, f, "")
	if err := unix.Setxattr(f, "user.mirrorfs.position", []byte("1-1"), 0); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("set: %v", err)
	}
	if err := unix.Removexattr(f, "user.mirrorfs.position"); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("remove: %v", err)
	}
	if n, err := unix.Listxattr(f, make([]byte, 1000)); err != nil || n != 0 {
		t.Errorf("list: %d bytes, %v", n, err)
	}
	buf := make([]byte, 100)
	if _, err := unix.Getxattr(f, "user.mirrorfs.wait:1-", buf); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a wait for no position: %v", err)
	}
	if _, err := unix.Getxattr(f, "user.mirrorfs.other", buf); !errors.Is(err, unix.ENODATA) {
		t.Errorf("an attribute that is none: %v", err)
	}
	if n, err := unix.Getxattr(f, "user.mirrorfs.wait:9-99999", nil); err != nil || n == 0 { // does not wait
		t.Errorf("the size of the answer to a wait: %d, %v", n, err)
	}
}
