package tree_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorfs/cmd/mirrorfs/tree"
)

// plant makes a tree with every kind of thing that is compared.
func plant(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	must(t, os.MkdirAll(filepath.Join(root, "dir", "empty"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "small"), []byte("small"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "dir", "large"), bytes.Repeat([]byte("0123456789abcdef"), 1<<17), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "dir", "nothing"), nil, 0o755))
	must(t, os.Symlink("../small", filepath.Join(root, "dir", "link")))
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// alignTimes gives b's things the times of a's.
func alignTimes(t *testing.T, a, b string) {
	t.Helper()
	must(t, filepath.WalkDir(a, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Type() == os.ModeSymlink {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chtimes(filepath.Join(b, strings.TrimPrefix(path, a)), time.Time{}, info.ModTime())
	}))
}

func TestCopyIsEqual(t *testing.T) {
	a := plant(t)
	b := filepath.Join(t.TempDir(), "copy")
	var copied, compared tree.Count
	must(t, tree.Copy(t.Context(), b, a, tree.Options{Count: &copied}))
	must(t, os.Remove(filepath.Join(b, "dir", "link")))
	must(t, os.Remove(filepath.Join(a, "dir", "link"))) // its time cannot be set with package os
	alignTimes(t, a, b)
	report, err := tree.Compare(t.Context(), a, b, tree.Options{Count: &compared})
	must(t, err)
	if report.Different != 0 {
		t.Errorf("%d differences: %q", report.Different, report.Differences)
	}
	if copied.Files.Load() != 3 || copied.Dirs.Load() != 3 || copied.Links.Load() != 1 || copied.Bytes.Load() != compared.Bytes.Load() {
		t.Errorf("copied %d files, %d directories, %d links, %d bytes; compared %d bytes",
			copied.Files.Load(), copied.Dirs.Load(), copied.Links.Load(), copied.Bytes.Load(), compared.Bytes.Load())
	}
}

func TestCompareFindsEveryKindOfDifference(t *testing.T) {
	for name, spoil := range map[string]func(root string) error{
		"only in":     func(root string) error { return os.Remove(filepath.Join(root, "small")) },
		"only in ":    func(root string) error { return os.WriteFile(filepath.Join(root, "dir", "empty", "new"), nil, 0o644) },
		"mode":        func(root string) error { return os.Chmod(filepath.Join(root, "small"), 0o640) },
		"mode ":       func(root string) error { return replaceByDir(filepath.Join(root, "small")) },
		"bytes":       func(root string) error { return os.Truncate(filepath.Join(root, "small"), 3) },
		"modified":    func(root string) error { return os.Chtimes(filepath.Join(root, "small"), time.Now(), time.Unix(1, 1)) },
		"contents":    func(root string) error { return flipLastByte(filepath.Join(root, "dir", "large")) },
		"owner":       func(root string) error { return os.Chown(filepath.Join(root, "small"), 1234, 1234) },
		"links":       func(root string) error { return os.Link(filepath.Join(root, "small"), filepath.Join(root, "hard")) },
		"points to":   func(root string) error { return relink(filepath.Join(root, "dir", "link")) },
		"only in dir": func(root string) error { return os.RemoveAll(filepath.Join(root, "dir")) },
	} {
		a := plant(t)
		b := filepath.Join(t.TempDir(), "copy")
		must(t, tree.Copy(t.Context(), b, a, tree.Options{}))
		alignTimes(t, a, b)
		must(t, spoil(b))
		report, err := tree.Compare(t.Context(), a, b, tree.Options{})
		must(t, err)
		word := strings.TrimSpace(strings.TrimSuffix(name, "dir"))
		if !strings.Contains(strings.Join(report.Differences, "\n"), word) {
			t.Errorf("%s: not found: %q", name, report.Differences)
		}
	}
}

func replaceByDir(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Mkdir(path, 0o755)
}

func relink(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink("../elsewhere", path)
}

// flipLastByte keeps size and times.
func flipLastByte(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(path, time.Time{}, info.ModTime())
}
