package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// maxDifferences bounds how many differences are told in words.
const maxDifferences = 20

// compareBytes is read of each file at a time.
const compareBytes = 1 << 20

// Report is what Compare found.
type Report struct {
	// Differences tells the first of them, Different counts all.
	Differences []string
	Different   int
}

// comparison is one run of Compare.
type comparison struct {
	count *Count
	group *errgroup.Group

	mu     sync.Mutex
	report Report
}

// Compare compares two trees: names, types, permissions, owners, link counts of
// files, sizes, modification times to the nanosecond, targets of symbolic links,
// and every byte. An error is that it could not look; a difference is no error.
func Compare(ctx context.Context, a, b string, opts Options) (Report, error) {
	opts = opts.withDefaults()
	c := &comparison{count: opts.Count}
	c.group, ctx = errgroup.WithContext(ctx)
	c.group.SetLimit(opts.Workers)
	err := c.compare(ctx, a, b, ".")
	err = errors.Join(err, c.group.Wait())
	slices.Sort(c.report.Differences)
	return c.report, err
}

func (c *comparison) differ(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Different++
	if len(c.report.Differences) < maxDifferences {
		c.report.Differences = append(c.report.Differences, fmt.Sprintf(format, args...))
	}
}

// compare compares what has the path rel below both roots.
func (c *comparison) compare(ctx context.Context, a, b, rel string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	pathA, pathB := filepath.Join(a, rel), filepath.Join(b, rel)
	infoA, err := os.Lstat(pathA)
	if err != nil {
		return err
	}
	infoB, err := os.Lstat(pathB)
	if errors.Is(err, fs.ErrNotExist) {
		c.differ("%s: only in %s", rel, a)
		return nil
	}
	if err != nil {
		return err
	}
	if !c.sameAttributes(rel, infoA, infoB) {
		return nil
	}
	switch infoA.Mode().Type() {
	case fs.ModeDir:
		c.count.Dirs.Add(1)
		return c.compareDirs(ctx, a, b, rel)
	case fs.ModeSymlink:
		c.count.Links.Add(1)
		targetA, errA := os.Readlink(pathA)
		targetB, errB := os.Readlink(pathB)
		if targetA != targetB {
			c.differ("%s: points to %q and %q", rel, targetA, targetB)
		}
		return errors.Join(errA, errB)
	case 0:
		c.group.Go(func() error {
			same, n, err := sameBytes(pathA, pathB)
			if err == nil && !same {
				c.differ("%s: contents differ within the %d bytes from %d on", rel, compareBytes, n)
			}
			c.count.Files.Add(1)
			c.count.Bytes.Add(n)
			return err
		})
	}
	return nil
}

// sameAttributes reports whether the two are of one type, and so can be
// compared further. Times of the roots are left out: each is a mount's root or
// somebody else's business.
func (c *comparison) sameAttributes(rel string, a, b fs.FileInfo) bool {
	if a.Mode() != b.Mode() {
		c.differ("%s: mode %v and %v", rel, a.Mode(), b.Mode())
		return a.Mode().Type() == b.Mode().Type()
	}
	if !a.IsDir() && a.Size() != b.Size() {
		c.differ("%s: %d and %d bytes", rel, a.Size(), b.Size())
	}
	if rel != "." && !a.ModTime().Equal(b.ModTime()) {
		c.differ("%s: modified %v and %v", rel, a.ModTime(), b.ModTime())
	}
	sa, okA := a.Sys().(*syscall.Stat_t)
	sb, okB := b.Sys().(*syscall.Stat_t)
	if okA && okB {
		if sa.Uid != sb.Uid || sa.Gid != sb.Gid {
			c.differ("%s: owner %d:%d and %d:%d", rel, sa.Uid, sa.Gid, sb.Uid, sb.Gid)
		}
		if !a.IsDir() && sa.Nlink != sb.Nlink {
			c.differ("%s: %d and %d links", rel, sa.Nlink, sb.Nlink)
		}
	}
	return true
}

func (c *comparison) compareDirs(ctx context.Context, a, b, rel string) error {
	entriesA, err := os.ReadDir(filepath.Join(a, rel))
	if err != nil {
		return err
	}
	entriesB, err := os.ReadDir(filepath.Join(b, rel))
	if err != nil {
		return err
	}
	inA := make(map[string]bool, len(entriesA))
	for _, e := range entriesA {
		inA[e.Name()] = true
		if err := c.compare(ctx, a, b, filepath.Join(rel, e.Name())); err != nil {
			return err
		}
	}
	for _, e := range entriesB {
		if !inA[e.Name()] {
			c.differ("%s: only in %s", filepath.Join(rel, e.Name()), b)
		}
	}
	return nil
}

// sameBytes compares two files and returns how many bytes are the same, to the
// piece.
func sameBytes(a, b string) (bool, int64, error) {
	fa, err := os.Open(a)
	if err != nil {
		return false, 0, err
	}
	defer func() { _ = fa.Close() }()
	fb, err := os.Open(b)
	if err != nil {
		return false, 0, err
	}
	defer func() { _ = fb.Close() }()
	bufA, bufB := make([]byte, compareBytes), make([]byte, compareBytes)
	for n := int64(0); ; {
		na, errA := io.ReadFull(fa, bufA)
		nb, errB := io.ReadFull(fb, bufB)
		if err := errors.Join(unlessEnd(errA), unlessEnd(errB)); err != nil {
			return false, n, err
		}
		if !bytes.Equal(bufA[:na], bufB[:nb]) {
			return false, n, nil
		}
		n += int64(na)
		if na < compareBytes {
			return true, n, nil
		}
	}
}

func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
