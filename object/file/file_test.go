package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/file"
	"mirrorfs/object/objecttest"
)

func open(t testing.TB, dir string) *file.Store {
	t.Helper()
	s, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	disk := func(t *testing.T) object.Store { return open(t, t.TempDir()) }
	t.Run("Bare", func(t *testing.T) { objecttest.Run(t, disk) })
	// What wrappers do does not depend on the disk, whose fsyncs take most of the
	// suite's time.
	memory := func(t *testing.T) object.Store { return open(t, memoryDir(t)) }
	t.Run("Wrapped", func(t *testing.T) { objecttest.RunWrapped(t, memory) })
	t.Run("Faulty", func(t *testing.T) {
		objecttest.RunFaulty(t, memory, objecttest.Faulty{Patience: 100 * time.Millisecond, Seeds: []uint64{1}})
	})
}

// memoryDir is a directory in memory where the system has such a place.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mirrorfs-test-") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestPlainNames: other tools find ordinary keys under their own names.
func TestPlainNames(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, key := range []string{"data/1/0f/271-0", "a b/c.d_e-f", "log/1-1042"} {
		if err := s.Put(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, key))
		if err != nil || string(got) != key {
			t.Errorf("file of %q: %q, %v", key, got, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "1", "by-hand"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Head(t.Context(), "data/1/by-hand"); err != nil {
		t.Error(err)
	}
}

// TestForeignNames: what this package never names is not listed.
func TestForeignNames(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "key", nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"%", "%4", "%41", "%zz", "a%2f", "ü", "%_%_", "x%+", strings.Repeat("x", 80), strings.Repeat("x", 200)} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"link": "key", "dangling": "none", "loop": "."} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.List(t.Context(), "", "", 100)
	if err != nil || len(found) != 1 || found[0].Key != "key" {
		t.Errorf("List gave %v, %v", found, err)
	}
}

// TestCrashedWriter: what a writer that was killed leaves is no object, hinders
// nobody, and goes when it is old.
func TestCrashedWriter(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "key", []byte("whole")); err != nil {
		t.Fatal(err)
	}
	temp := filepath.Join(dir, ".mirrorfs-tmp")
	old, fresh := filepath.Join(temp, "old"), filepath.Join(temp, "fresh")
	for _, name := range []string{old, fresh} {
		if err := os.WriteFile(name, []byte("pa"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old leftover: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("the fresh one, which may have a writer: %v", err)
	}
	for _, prefix := range []string{"", ".mirrorfs-tmp", ".mirrorfs-tmp/"} {
		found, err := s.List(t.Context(), prefix, "", 10)
		if err != nil || prefix == "" && len(found) != 1 || prefix != "" && len(found) != 0 {
			t.Errorf("List(%q) gave %v, %v", prefix, found, err)
		}
	}
	for _, key := range []string{".mirrorfs-tmp/fresh", ".mirrorfs-tmp"} {
		if _, err := s.Head(t.Context(), key); !errors.Is(err, object.ErrNotExist) {
			t.Errorf("Head(%q): %v", key, err)
		}
	}
}

// TestKilledWriter kills a process that writes, many times: what is there
// afterwards is whole.
func TestKilledWriter(t *testing.T) {
	if dir := os.Getenv("FILE_TEST_WRITE"); dir != "" {
		writeForever(t, dir)
	}
	dir := t.TempDir()
	for range 10 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWriter$")
		cmd.Env = append(os.Environ(), "FILE_TEST_WRITE="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// After a few acknowledged objects it is in the middle of something.
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // killed
	}
	s := open(t, dir)
	found, err := s.List(t.Context(), "", "", object.MaxListed)
	if err != nil || len(found) == 0 {
		t.Fatalf("List: %d objects, %v", len(found), err)
	}
	for _, info := range found {
		if info.Size != int64(len(whole())) {
			t.Errorf("%s has %d bytes, want %d", info.Key, info.Size, len(whole()))
		}
		got, err := os.ReadFile(filepath.Join(dir, info.Key))
		if err != nil || !bytes.Equal(got, whole()) {
			t.Errorf("%s is not whole: %v", info.Key, err)
		}
	}
}

func whole() []byte { return bytes.Repeat([]byte("whole object "), 300_000) }

func writeForever(t *testing.T, dir string) {
	s := open(t, dir)
	for i := range 50 {
		key := fmt.Sprintf("d%d/key%d", i%3, i%7)
		if err := s.Put(t.Context(), key, whole()); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			_, _ = os.Stdout.WriteString(".")
		}
	}
}

func TestMissingBucket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet")
	s := open(t, dir)
	_, getErr := s.Get(t.Context(), "key", 0, -1)
	_, headErr := s.Head(t.Context(), "key")
	_, listErr := s.List(t.Context(), "", "", 10)
	_, deepErr := s.List(t.Context(), "a/b/", "", 10)
	for what, err := range map[string]error{
		"Put": s.Put(t.Context(), "a/key", nil), "PutIfAbsent": s.PutIfAbsent(t.Context(), "a/key", nil),
		"Get": getErr, "Head": headErr, "List": listErr, "List of a/b/": deepErr, "Delete": s.Delete(t.Context(), "key"),
	} {
		if !errors.Is(err, object.ErrNoBucket) || errors.Is(err, object.ErrNotExist) {
			t.Errorf("%s in a missing directory: %v", what, err)
		}
	}
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a/key", nil); err != nil {
		t.Error(err)
	}
	if err := open(t, filepath.Join(dir, "a/key")).Create(t.Context()); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("Create over a file: %v", err)
	}
}

func TestRelativePath(t *testing.T) {
	if _, err := file.New("relative"); !errors.Is(err, object.ErrInvalid) {
		t.Error(err)
	}
}

// TestPrivate: a bucket holds what the volume's permissions protect.
func TestPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bucket")
	s := open(t, dir)
	if err := errors.Join(s.Create(t.Context()), s.Put(t.Context(), "a/b", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRemovedDirectories: somebody tidies up empty directories beside us.
func TestRemovedDirectories(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_ = os.Remove(filepath.Join(dir, "a/b"))
				_ = os.Remove(filepath.Join(dir, "a"))
			}
		}
	})
	retry := object.WithRetry(s, object.RetryOptions{FirstPause: time.Microsecond})
	for i := range 50 {
		key := fmt.Sprintf("a/b/%d", i)
		if err := retry.Put(t.Context(), key, nil); err != nil {
			t.Error(err)
		}
		if err := retry.Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

// TestShrunkFile: a file cut under a reader gives an error, not a short read.
func TestShrunkFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "key", whole()); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(object.Store) error{
		"Read": func(s object.Store) error {
			r, err := s.Get(t.Context(), "key", 0, -1)
			if err != nil {
				return err
			}
			if err := os.Truncate(filepath.Join(dir, "key"), 1000); err != nil {
				return err
			}
			_, err = new(bytes.Buffer).ReadFrom(struct{ reader }{r})
			return errors.Join(err, r.Close())
		},
		"WriteTo": func(s object.Store) error {
			r, err := s.Get(t.Context(), "key", 0, -1)
			if err != nil {
				return err
			}
			if err := os.Truncate(filepath.Join(dir, "key"), 500); err != nil {
				return err
			}
			_, err = r.(writerTo).WriteTo(new(bytes.Buffer))
			return errors.Join(err, r.Close())
		},
	} {
		if err := s.Put(t.Context(), "key", whole()); err != nil {
			t.Fatal(err)
		}
		if err := read(s); !errors.Is(err, errShort) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type (
	reader   interface{ Read([]byte) (int, error) }
	writerTo interface {
		WriteTo(io.Writer) (int64, error)
	}
)

var errShort = io.ErrUnexpectedEOF

// TestFullDisk: a full disk is told as such, at once, and leaves the old object.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := open(t, dir)
	if err := s.Put(t.Context(), "key", []byte("old")); err != nil {
		t.Fatal(err)
	}
	retry := object.WithRetry(s, object.RetryOptions{})
	if err := retry.Put(t.Context(), "key", whole()); !errors.Is(err, object.ErrNoSpace) {
		t.Errorf("Put: %v", err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Put(t.Context(), "other", make([]byte, 500_000)); err != nil {
		t.Errorf("what was written of it still takes room: %v", err)
	}
}
