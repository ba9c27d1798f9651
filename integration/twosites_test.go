package integration_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mirrorfs/cmd/mirrorfs/tree"
)

// A whole Go source tree written at the source is the same at the mirror in every
// name, attribute and byte, and a large file written at the mirror is the same
// at the source.
func TestTwoSites(t *testing.T) {
	s := newTwoSites(t, 10*time.Millisecond, s3Bucket)
	a := s.Mount("a", s.metaA)
	s.runMirror()
	b := s.Mount("b", s.metaB)

	command(t, "cp", "-r", goSource(t), filepath.Join(a.Dir, "src"))
	plantOddities(t, filepath.Join(a.Dir, "src"))
	s.wait()
	compare(t, filepath.Join(a.Dir, "src"), filepath.Join(b.Dir, "src"))

	const size = 512 << 20
	written := writeRandom(t, filepath.Join(b.Dir, "large"), size)
	if read := sumOf(t, filepath.Join(a.Dir, "large")); read != written {
		t.Errorf("a file of %d bytes has sha256 %s where it was written, at the mirror, and %s at the source", size, written, read)
	}
}

// plantOddities makes what a source tree has none of.
func plantOddities(t *testing.T, root string) {
	t.Helper()
	dir := filepath.Join(root, "oddities")
	must(t, os.Mkdir(dir, 0o751))
	long := strings.Repeat("n", 255)
	must(t, os.WriteFile(filepath.Join(dir, long), []byte("long name"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "name with\nnewline and \xff"), []byte("odd name"), 0o000))
	must(t, os.Symlink("../fmt/print.go", filepath.Join(dir, "link")))
	must(t, os.Symlink(strings.Repeat("x/", 2000), filepath.Join(dir, "dangling")))
	must(t, os.Link(filepath.Join(dir, long), filepath.Join(dir, "hard")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "setuid"), []byte("#!/bin/true"), 0o755))
	must(t, os.Chown(filepath.Join(dir, "setuid"), 1000, 1001))
	must(t, os.Chmod(filepath.Join(dir, "setuid"), 0o755|os.ModeSetuid))
	must(t, os.Chtimes(filepath.Join(dir, "setuid"), time.Unix(1, 2), time.Unix(1234567890, 123456789)))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("end"), 200<<20)
	must(t, err)
	must(t, sparse.Close())
}

func goSource(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	must(t, err)
	return filepath.Join(strings.TrimSpace(string(out)), "src")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// compare fails the test when two trees differ.
func compare(t *testing.T, a, b string) {
	t.Helper()
	var count tree.Count
	report, err := tree.Compare(context.Background(), a, b, tree.Options{Count: &count})
	must(t, err)
	if report.Different > 0 {
		t.Fatalf("%d differences:\n%s", report.Different, strings.Join(report.Differences, "\n"))
	}
	t.Logf("equal: %d files, %d directories, %d links, %d bytes", count.Files.Load(), count.Dirs.Load(), count.Links.Load(), count.Bytes.Load())
}

// writeRandom writes a file of n random bytes and returns its sha256.
func writeRandom(t *testing.T, path string, n int64) string {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(rand.NewChaCha8([32]byte{}), n))
	must(t, err)
	must(t, f.Close())
	return hex.EncodeToString(h.Sum(nil))
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer func() { _ = f.Close() }()
	h := sha256.New()
	_, err = io.Copy(h, f)
	must(t, err)
	return hex.EncodeToString(h.Sum(nil))
}
