package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mirrorfs/integration/harness"
)

// objects lists a bucket in a directory: the blocks, with their sizes.
func objects(t *testing.T, bucket string) []string {
	t.Helper()
	var list []string
	root := strings.TrimPrefix(bucket, "file://")
	err := filepath.WalkDir(filepath.Join(root, "data"), func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // it went meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			list = append(list, fmt.Sprintf("%s %d", path, info.Size()))
		}
		return nil
	})
	must(t, err)
	return list
}

// fill writes files of several sizes into a new directory, with a directory in it, and
// returns how many inodes that makes.
func fill(t *testing.T, dir string, files int) int {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
	for i := range files {
		name := filepath.Join(dir, fmt.Sprint(i))
		if i%3 == 0 {
			name = filepath.Join(dir, "sub", fmt.Sprint(i))
		}
		must(t, os.WriteFile(name, content(i), 0o644))
	}
	return files + 2
}

// gcReport is what the tests read of gc --json.
type gcReport struct {
	Orphans struct{ Due, Purged int64 }
	Freed   struct {
		Due, Deleted, Held struct{ Objects, Bytes int64 }
		Waiting            []string `json:"waiting_for"`
	}
	Leaked struct {
		Leaked, Young, Ahead, Foreign struct{ Objects, Bytes int64 }
	}
}

func gc(t *testing.T, w *harness.World, meta string, flags ...string) gcReport {
	t.Helper()
	var r gcReport
	must(t, json.Unmarshal([]byte(w.Run(append([]string{"gc", meta, "--json"}, flags...)...)), &r))
	return r
}

// What is deleted comes back to the byte, by three mounts that clean up at once, each
// thing exactly once; what is restored first is whole, with all its attributes.
func TestSpaceComesBack(t *testing.T) {
	w := harness.New(t, program)
	meta, bucket := w.Redis(), w.FileBucket("bucket")
	w.Run("format", meta, "vol", "--bucket", bucket, "--block-size", "64KiB", "--trash", "1s", "--grace", "1s")
	var mounts []*harness.Mount
	for _, name := range []string{"a", "b", "c"} {
		mounts = append(mounts, w.Mount(name, meta, "--upkeep-interval", "300ms", "--metrics", ":0"))
	}
	a, b := mounts[0].Dir, mounts[1].Dir
	fill(t, filepath.Join(a, "keep"), 9)
	kept := objects(t, bucket)
	inodes := fill(t, filepath.Join(a, "tree"), 60)
	want := describe(t, filepath.Join(a, "tree"), inodes-2)
	command(t, "rm", "-r", filepath.Join(b, "tree"))
	w.Run("trash", "restore", meta, "/tree")
	if got := describe(t, filepath.Join(a, "tree"), inodes-2); got != want {
		t.Errorf("restored is\n%s\nand it was\n%s", got, want)
	}
	more := len(objects(t, bucket)) - len(kept)
	command(t, "rm", "-r", filepath.Join(b, "tree"))
	harness.Eventually(t, "the space of what was deleted", 3*time.Minute, func() bool {
		return slices.Equal(objects(t, bucket), kept)
	})
	counted := func() (purged, blocks float64) {
		for _, m := range mounts {
			purged += m.Metric("mirrorfs_vfs_purged_total")
			blocks += m.Metric("mirrorfs_vfs_reclaimed_blocks_total")
		}
		return purged, blocks
	}
	// Blocks are deleted before their slices are forgotten, which is when they count.
	harness.Eventually(t, "the count of what was deleted", time.Minute, func() bool {
		purged, blocks := counted()
		return purged >= float64(inodes) && blocks >= float64(more)
	})
	if purged, blocks := counted(); purged != float64(inodes) || blocks != float64(more) {
		t.Errorf("of %d inodes %v were purged, of %d blocks %v deleted", inodes, purged, more, blocks)
	}
	if r := gc(t, w, meta, "--min-age", "0s"); r.Orphans.Due+r.Freed.Due.Objects+r.Leaked.Leaked.Objects+r.Leaked.Foreign.Objects > 0 {
		t.Errorf("left over: %+v", r)
	}
	for i := range 9 {
		name := filepath.Join(b, "keep", fmt.Sprint(i))
		if i%3 == 0 {
			name = filepath.Join(b, "keep", "sub", fmt.Sprint(i))
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content(i)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// describe writes down files of fill with all that a restore must give back, after it
// has given them attributes if they have none yet.
func describe(t *testing.T, dir string, files int) string {
	t.Helper()
	var s strings.Builder
	for i := range files {
		name := filepath.Join(dir, fmt.Sprint(i))
		if i%3 == 0 {
			name = filepath.Join(dir, "sub", fmt.Sprint(i))
		}
		value := make([]byte, 100)
		n, err := unix.Getxattr(name, "user.number", value)
		if err != nil {
			must(t, os.Chmod(name, os.FileMode(0o600+i%0o177)))
			must(t, os.Chown(name, 1000+i, 2000+i))
			must(t, unix.Setxattr(name, "user.number", []byte(fmt.Sprint(i)), 0))
			must(t, os.Chtimes(name, time.Unix(int64(i), 5), time.Unix(int64(1000+i), 7)))
			n, err = unix.Getxattr(name, "user.number", value)
		}
		must(t, err)
		var st unix.Stat_t
		must(t, unix.Lstat(name, &st))
		data, err := os.ReadFile(name)
		must(t, err)
		fmt.Fprintf(&s, "%d: %o %d:%d %d bytes, %v, links %d, xattr %s, %x\n", i, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim, st.Nlink, value[:n], data[len(data)/2:][:min(8, len(data)-len(data)/2)])
	}
	return s.String()
}

// gc is killed again and again while it deletes, and another runs beside it. Files that are
// read meanwhile, from extents that are out of date, are what they are now.
func TestGCKilled(t *testing.T) {
	w := harness.New(t, program)
	meta, bucket := w.Redis(), w.FileBucket("bucket")
	w.Run("format", meta, "vol", "--bucket", bucket, "--block-size", "64KiB", "--trash", "0s", "--grace", "1ms")
	a := w.Mount("a", meta, "--upkeep-interval", "1h")
	b := w.Mount("b", meta, "--upkeep-interval", "1h", "--read-ahead", "64KiB")
	const size = 4 << 20
	version := func(n byte) []byte { return bytes.Repeat([]byte{n}, size) }
	large := filepath.Join(a.Dir, "large")
	must(t, os.WriteFile(large, version(1), 0o644))
	reader, err := os.Open(filepath.Join(b.Dir, "large"))
	must(t, err)
	defer func() { _ = reader.Close() }()
	begin := make([]byte, 4096)
	_, err = io.ReadFull(reader, begin)
	must(t, err)
	for n := byte(2); n < 6; n++ {
		must(t, os.WriteFile(large, version(n), 0o644))
	}
	harness.Eventually(t, "the grace", 3*time.Minute, func() bool { return gc(t, w, meta, "--no-list").Freed.Due.Objects == 4*size>>16 })
	for last := len(objects(t, bucket)); last > 2*size>>16; {
		one := w.Start("gc", meta, "--delete", "--no-list", "--rate", "300")
		other := w.Start("gc", meta, "--delete", "--no-list", "--rate", "300")
		harness.Eventually(t, "some deletions", 3*time.Minute, func() bool {
			return len(objects(t, bucket)) < last-10 || !one.Running() && !other.Running()
		})
		one.Kill()
		other.Kill()
		last = len(objects(t, bucket))
	}
	w.Run("gc", meta, "--delete", "--min-age", "0s")
	if n := len(objects(t, bucket)); n != size>>16 {
		t.Errorf("%d blocks are left, want %d", n, size>>16)
	}
	end := make([]byte, 4096)
	if _, err := reader.ReadAt(end, size-4096); err != nil || !bytes.Equal(end, version(5)[:4096]) {
		t.Errorf("a reader that opened the file before: %d, %v", end[0], err)
	}
	if got, err := os.ReadFile(large); err != nil || !bytes.Equal(got, version(5)) {
		t.Errorf("the file: %d bytes, %v", len(got), err)
	}
}

// A mirror that is cut off reads what the source has deleted meanwhile, whatever cleans up there.
func TestPromise10LaggingMirrorKeepsReading(t *testing.T) {
	bucket := ""
	s := newTwoSites(t, time.Millisecond, func(w *harness.World) string {
		bucket = fileBucket(w)
		return bucket
	}, "--block-size", "64KiB", "--trash", "0s", "--grace", "1ms")
	a := s.Mount("a", s.metaA, "--upkeep-interval", "100ms", "--metrics", ":0")
	s.runMirror()
	old, now := bytes.Repeat([]byte("old "), 100_000), bytes.Repeat([]byte("new"), 50_000)
	must(t, os.WriteFile(filepath.Join(a.Dir, "f"), old, 0o644))
	s.wait()
	b := s.Mount("b", s.metaB)
	before := objects(t, bucket)
	s.link.Cut()
	must(t, os.WriteFile(filepath.Join(a.Dir, "f"), now, 0o644))
	harness.Eventually(t, "gc to wait for the mirror", 3*time.Minute, func() bool {
		r := gc(t, s.World, s.metaA, "--delete", "--no-list")
		return r.Freed.Held.Objects == int64(len(before)) && slices.Equal(r.Freed.Waiting, []string{"b"})
	})
	if got, err := os.ReadFile(filepath.Join(b.Dir, "f")); err != nil || !bytes.Equal(got, old) {
		t.Errorf("at the mirror that is cut off: %d bytes, %v", len(got), err)
	}
	if n := a.Metric("mirrorfs_vfs_reclaimed_blocks_total"); n != 0 {
		t.Errorf("%v blocks were deleted", n)
	}
	s.link.Mend()
	harness.Eventually(t, "the old blocks to go", 3*time.Minute, func() bool {
		return len(objects(t, bucket)) == (len(now)+65535)/65536
	})
	s.wait()
	harness.Eventually(t, "the new content at the mirror", 3*time.Minute, func() bool {
		got, err := os.ReadFile(filepath.Join(b.Dir, "f"))
		return err == nil && bytes.Equal(got, now)
	})
}
