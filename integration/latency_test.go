package integration_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// farOp is an operation at the mirror. Each finds what the one before left.
type farOp struct {
	name string
	// calls is how often one operation calls the source for a change, at most.
	calls float64
	do    func(dir string, i int) error
}

func farOps() []farOp {
	path := func(dir, kind string, i int) string { return filepath.Join(dir, kind+strconv.Itoa(i)) }
	megabyte := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	return []farOp{
		{"create and close", 1, func(dir string, i int) error { return os.WriteFile(path(dir, "f", i), nil, 0o644) }},
		{"chmod", 1, func(dir string, i int) error { return os.Chmod(path(dir, "f", i), 0o600) }},
		{"utimes", 1, func(dir string, i int) error { return os.Chtimes(path(dir, "f", i), time.Unix(1, 0), time.Unix(2, 0)) }},
		{"truncate", 1, func(dir string, i int) error { return os.Truncate(path(dir, "f", i), 1000) }},
		{"link", 1, func(dir string, i int) error { return os.Link(path(dir, "f", i), path(dir, "h", i)) }},
		{"rename", 1, func(dir string, i int) error { return os.Rename(path(dir, "f", i), path(dir, "g", i)) }},
		{"rename over", 1, func(dir string, i int) error { return os.Rename(path(dir, "g", i), path(dir, "h", i+1)) }},
		{"symlink", 1, func(dir string, i int) error { return os.Symlink("target", path(dir, "l", i)) }},
		{"unlink", 1, func(dir string, i int) error { return os.Remove(path(dir, "l", i)) }},
		{"mkdir", 1, func(dir string, i int) error { return os.Mkdir(path(dir, "d", i), 0o755) }},
		{"rmdir", 1, func(dir string, i int) error { return os.Remove(path(dir, "d", i)) }},
		{"create, 1 MiB, close", 2, func(dir string, i int) error { return os.WriteFile(path(dir, "m", i), megabyte, 0o644) }},
		{"stat", 0, func(dir string, i int) error {
			_, err := os.Lstat(path(dir, "m", i))
			return err
		}},
		{"open and read 1 MiB", 0, func(dir string, i int) error {
			_, err := os.ReadFile(path(dir, "m", i))
			return err
		}},
	}
}

// Through a mount of the mirror, 50 ms from its source, every change costs the
// source one call, and questions about what the mirror has cost it none. The
// times are reported, not judged: `MIRRORFS_LONG=1 go test -v -run TestLatency
// ./integration`. Without MIRRORFS_LONG the jobs of many files have a fifth of them.
func TestLatency(t *testing.T) {
	const (
		rtt    = 50 * time.Millisecond
		rounds = 20
	)
	s := newTwoSites(t, rtt, fileBucket)
	s.runMirror()
	s.wait()
	b := s.Mount("b", s.metaB)
	dir := filepath.Join(b.Dir, "ops")
	must(t, os.Mkdir(dir, 0o755))
	// The first write of a mount reserves slice numbers.
	must(t, os.WriteFile(filepath.Join(dir, "first"), []byte("first"), 0o644))
	for i := range rounds + 1 {
		must(t, os.WriteFile(filepath.Join(dir, "h"+strconv.Itoa(i)+".target"), nil, 0o644))
	}

	for _, op := range farOps() {
		before, start := s.Calls(s.metaA, "fcall"), time.Now()
		median := medianTime(t, rounds, func(i int) error { return op.do(dir, i) })
		calls := s.Calls(s.metaA, "fcall") - before
		// Heartbeats and the mirror's acknowledgements call the source too, at most so often.
		background := 3 + 2*time.Since(start).Seconds()
		t.Logf("%-24s %9.2f ms   %.2f calls of the source", op.name, ms(median), float64(calls)/rounds)
		if float64(calls) > op.calls*rounds+background {
			t.Errorf("%s: %d calls of the source for %d operations, want %v each", op.name, calls, rounds, op.calls)
		}
	}
	s.wait()
	size := 1
	if os.Getenv("MIRRORFS_LONG") != "" {
		size = 5
	}
	listing(t, b.Dir, 200*size)
	manyFiles(t, b.Dir, 200*size)
	untarAndRemove(t, b.Dir, 4*size)
}

// medianTime runs an operation some times and returns the median.
func medianTime(t *testing.T, rounds int, do func(i int) error) time.Duration {
	t.Helper()
	times := make([]time.Duration, 0, rounds)
	for i := range rounds {
		start := time.Now()
		must(t, do(i))
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times[rounds/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// manyFiles makes empty files from 32 threads, in one directory and in 32.
func manyFiles(t *testing.T, mnt string, files int) {
	t.Helper()
	const threads = 32
	for _, dirs := range []int{1, threads} {
		root := filepath.Join(mnt, fmt.Sprintf("many%d", dirs))
		must(t, os.Mkdir(root, 0o755))
		for d := range dirs {
			must(t, os.Mkdir(filepath.Join(root, strconv.Itoa(d)), 0o755))
		}
		var wg sync.WaitGroup
		errs := make([]error, threads)
		start := time.Now()
		for thread := range threads {
			wg.Go(func() {
				for i := thread; i < files && errs[thread] == nil; i += threads {
					errs[thread] = os.WriteFile(filepath.Join(root, strconv.Itoa(thread%dirs), strconv.Itoa(i)), nil, 0o644)
				}
			})
		}
		wg.Wait()
		must(t, errors.Join(errs...))
		t.Logf("%-24s %9.2f s", fmt.Sprintf("%d files, %d dirs", files, dirs), time.Since(start).Seconds())
	}
}

// listing lists entries with attributes, as ls -l does.
func listing(t *testing.T, mnt string, entries int) {
	t.Helper()
	dir := filepath.Join(mnt, "listed")
	must(t, os.Mkdir(dir, 0o755))
	for i := range 20 {
		must(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o644))
	}
	for i := range entries - 20 {
		must(t, os.Link(filepath.Join(dir, "0"), filepath.Join(dir, "l"+strconv.Itoa(i))))
	}
	median := medianTime(t, 5, func(int) error { return exec.Command("ls", "-l", dir).Run() })
	t.Logf("%-24s %9.2f ms", fmt.Sprintf("ls -l of %d", entries), ms(median))
}

// untarAndRemove unpacks directories of 10 files of 8 KiB and removes them.
func untarAndRemove(t *testing.T, mnt string, dirs int) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "a.tar")
	must(t, os.WriteFile(archive, makeTar(t, dirs), 0o644))
	start := time.Now()
	command(t, "tar", "-xf", archive, "-C", mnt)
	t.Logf("%-24s %9.2f s", fmt.Sprintf("untar of %d files", 10*dirs), time.Since(start).Seconds())
	start = time.Now()
	command(t, "rm", "-rf", filepath.Join(mnt, "tree"))
	t.Logf("%-24s %9.2f s", "rm -rf of them", time.Since(start).Seconds())
}

func makeTar(t *testing.T, dirs int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for d := range dirs {
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("tree/%d/", d), Mode: 0o755, ModTime: time.Unix(1e9, 0)}))
		for f := range 10 {
			data := bytes.Repeat([]byte{byte(d), byte(f)}, 4<<10)
			must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("tree/%d/%d", d, f), Mode: 0o644, Size: int64(len(data)), ModTime: time.Unix(1e9, 0)}))
			_, err := io.Copy(w, bytes.NewReader(data))
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}
