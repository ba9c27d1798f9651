package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mirrorfs/integration/harness"
)

// Files of the tree that is removed by mistake and restored.
const (
	restoredFiles = 30
	dumpedFiles   = 10 // of them are in the dump, the others in the log only
)

// positionOf is where a volume's log is.
func positionOf(t *testing.T, w *harness.World, meta string) string {
	t.Helper()
	var status struct{ Position string }
	must(t, json.Unmarshal([]byte(w.Run("status", meta, "--json")), &status))
	return status.Position
}

// mustHold compares all files of a tree with what was written.
func mustHold(t *testing.T, dir string) {
	t.Helper()
	for i := range restoredFiles {
		name := filepath.Join(dir, fmt.Sprint(i))
		if i%3 == 0 {
			name = filepath.Join(dir, "sub", fmt.Sprint(i))
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content(i)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// The answer to a mistaken rm -rf: a volume as the other one was before it, at a position and at a
// time, from a dump that is older than most of the files. Whatever is done to it then, the
// other one loses nothing.
func TestRestoreAfterRemoval(t *testing.T) {
	w := harness.New(t, program)
	meta, bucket := w.Redis(), w.FileBucket("bucket")
	w.Run("format", meta, "vol", "--bucket", bucket, "--block-size", "64KiB", "--trash", "1h", "--grace", "1s")
	m := w.Mount("a", meta)
	tree := filepath.Join(m.Dir, "tree")
	fill(t, tree, dumpedFiles)
	dump := filepath.Join(w.Dir("dumps"), "vol.dump")
	w.Run("dump", meta, dump)
	fill(t, tree, restoredFiles)
	want := describe(t, tree, restoredFiles)
	at, when := positionOf(t, w, meta), time.Now().UTC()
	command(t, "rm", "-r", tree)
	must(t, os.WriteFile(filepath.Join(m.Dir, "later"), []byte("later"), 0o644))
	kept := objects(t, bucket)

	// What is in no segment yet is only where it was made.
	first := w.FileBucket("first")
	if r := w.Try("restore", dump, w.Redis(), "early", "--to", at, "--bucket", first); r.Code != 1 || !strings.Contains(r.Stderr, "--from") {
		t.Errorf("without segments: %d, %s", r.Code, r.Stderr)
	}
	byPosition := w.Redis()
	w.Run("restore", dump, byPosition, "rescued", "--to", at, "--bucket", first, "--from", meta)
	w.Run("log", "archive", meta)
	byTime := w.Redis()
	w.Run("restore", dump, byTime, "rescued", "--to", when.Format(time.RFC3339Nano), "--bucket", w.FileBucket("second"))
	var r0 string
	for i, restored := range []string{byPosition, byTime} {
		if got := positionOf(t, w, restored); got != at {
			t.Errorf("it was restored to %s, not to %s", got, at)
		}
		r := w.Mount(fmt.Sprintf("r%d", i), restored)
		if i == 0 {
			r0 = filepath.Join(r.Dir, "tree")
		}
		tree := filepath.Join(r.Dir, "tree")
		if got := describe(t, tree, restoredFiles); got != want {
			t.Errorf("restored is\n%s\nand it was\n%s", got, want)
		}
		mustHold(t, tree)
		if _, err := os.Lstat(filepath.Join(r.Dir, "later")); !os.IsNotExist(err) {
			t.Errorf("a file that was made later: %v", err)
		}
	}

	// The new volume is a volume of its own: what it overwrites and deletes it deletes in its own
	// bucket alone.
	w.Run("trash", "set", byPosition, "0s")
	var written []int // blocks in the new bucket
	for range 2 {
		for i := range restoredFiles {
			if i%3 != 0 {
				name := filepath.Join(r0, fmt.Sprint(i))
				info, err := os.Stat(name)
				must(t, err)
				must(t, overwrite(name, bytes.Repeat([]byte{'x'}, int(info.Size()))))
			}
		}
		written = append(written, len(objects(t, first)))
	}
	harness.Eventually(t, "blocks that were overwritten go", time.Minute, func() bool {
		gc(t, w, byPosition, "--delete")
		return len(objects(t, first)) <= written[1]-written[0]
	})
	if now := objects(t, bucket); !slices.Equal(now, kept) {
		t.Errorf("the other volume had %d objects, and has %d", len(kept), len(now))
	}
	if r := w.Run("fsck", byPosition, "--deep"); !strings.Contains(r, "clean") {
		t.Errorf("fsck of the restored volume: %s", r)
	}
	w.Run("trash", "restore", meta, "/tree")
	mustHold(t, tree)
	if got := describe(t, tree, restoredFiles); got != want {
		t.Errorf("the other volume has\n%s\nand had\n%s", got, want)
	}
}

// What a restored volume refers to is kept by the other one, until that hold is dropped.
func TestARestoredVolumeKeepsItsData(t *testing.T) {
	w := harness.New(t, program)
	meta, bucket := w.Redis(), w.FileBucket("bucket")
	w.Run("format", meta, "vol", "--bucket", bucket, "--block-size", "64KiB", "--trash", "0s", "--grace", "100ms")
	m := w.Mount("a", meta)
	tree := filepath.Join(m.Dir, "tree")
	fill(t, tree, restoredFiles)
	dump := filepath.Join(w.Dir("dumps"), "vol.dump")
	w.Run("dump", meta, dump)
	restored := w.Redis()
	var did struct {
		Hold string `json:"hold"`
	}
	result(t, w.Run("restore", dump, restored, "rescued", "--bucket", w.FileBucket("own"), "--from", meta, "--json"), &did)
	for i := range restoredFiles {
		name := filepath.Join(tree, fmt.Sprint(i))
		if i%3 == 0 {
			name = filepath.Join(tree, "sub", fmt.Sprint(i))
		}
		must(t, overwrite(name, bytes.Repeat([]byte{'x'}, len(content(i)))))
	}
	type freed struct {
		Freed struct {
			Held    struct{ Objects int } `json:"held"`
			Waiting []string              `json:"waiting_for"`
		} `json:"freed"`
	}
	var kept freed
	harness.Eventually(t, "what was overwritten waits for the hold alone", time.Minute, func() bool {
		kept = freed{}
		result(t, w.Run("gc", meta, "--delete", "--no-list", "--json"), &kept)
		return kept.Freed.Held.Objects > 0 && slices.Equal(kept.Freed.Waiting, []string{"hold " + did.Hold})
	})
	if s := w.Run("status", meta); !strings.Contains(s, "hold "+did.Hold) {
		t.Errorf("status does not tell of the hold:\n%s", s)
	}
	r := w.Mount("r", restored)
	mustHold(t, filepath.Join(r.Dir, "tree"))
	w.Run("fsck", restored, "--deep")

	before := len(objects(t, bucket))
	w.Run("gc", meta, "--drop-hold", did.Hold)
	harness.Eventually(t, "what nobody keeps any more goes", time.Minute, func() bool {
		w.Run("gc", meta, "--delete", "--no-list")
		return len(objects(t, bucket)) <= before-kept.Freed.Held.Objects
	})
	if again := w.Try("gc", meta, "--drop-hold", did.Hold); again.Code != 1 {
		t.Errorf("a hold was dropped twice: %+v", again)
	}
}

// What cannot be restored is refused before anything is made.
func TestRestoreRefuses(t *testing.T) {
	w := harness.New(t, program)
	meta, bucket := w.Redis(), w.FileBucket("bucket")
	w.Run("format", meta, "vol", "--bucket", bucket)
	m := w.Mount("a", meta)
	early := positionOf(t, w, meta)
	before := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
	must(t, os.WriteFile(filepath.Join(m.Dir, "f"), []byte("f"), 0o644))
	dump := filepath.Join(w.Dir("dumps"), "vol.dump")
	w.Run("dump", meta, dump)
	target, fresh := w.Redis(), w.FileBucket("fresh")
	for want, args := range map[string][]string{
		"later than what is wanted": {"--to", early, "--bucket", fresh},
		"made at":                   {"--to", before, "--bucket", fresh},
		"does not reach so far":     {"--to", "1-1000000", "--bucket", fresh},
		"want a position":           {"--to", "yesterday", "--bucket", fresh},
		"--bucket is missing":       {},
		"belongs to another volume": {"--bucket", bucket},
		"holds another volume than": {"--bucket", fresh, "--from", other(t, w)},
		"exists already":            nil,
	} {
		to := target
		if args == nil {
			to, args = meta, []string{"--bucket", fresh}
		}
		name := "rescued"
		if to == meta {
			name = "vol"
		}
		if r := w.Try(append([]string{"restore", dump, to, name}, args...)...); r.Code == 0 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%q: exit code %d, %s; want %q", args, r.Code, r.Stderr, want)
		}
		if r := w.Try("mount", target, w.Dir("none"), "--cache-dir", w.Dir("cache")); r.Code == 0 {
			t.Fatalf("after %q there is a volume", args)
		}
	}
	w.Run("restore", dump, target, "rescued", "--bucket", fresh) // nothing is in the way
	r := w.Mount("r", target)
	if got, err := os.ReadFile(filepath.Join(r.Dir, "f")); err != nil || string(got) != "f" {
		t.Errorf("restored: %q, %v", got, err)
	}
}

// other is another volume.
func other(t *testing.T, w *harness.World) string {
	t.Helper()
	meta := w.Redis()
	w.Run("format", meta, "other", "--bucket", w.FileBucket("other"))
	return meta
}
