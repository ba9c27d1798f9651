package chunk

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sweep removes what the directory has and the cache does not know: files whose
// record was lost, and whatever others put there. It forgets blocks whose file
// is gone.
func (c *DiskCache) sweep(ctx context.Context) {
	removed := 0
	present := map[sliceID]bool{}
	c.mu.Lock()
	known := make([]*diskEntry, 0, len(c.entries))
	for _, e := range c.entries {
		known = append(known, e)
	}
	c.mu.Unlock()
	top, err := os.ReadDir(c.dir)
	if err != nil {
		c.log.WarnContext(ctx, "the cache directory could not be read", slog.Any("error", err))
		return
	}
	for _, d := range top {
		if d.Name() == "lock" || d.Name() == "index" || d.Name() == "index.new" {
			continue
		}
		if !d.IsDir() || !isHexByte(d.Name()) {
			removed += c.discard(d.Name())
			continue
		}
		if ctx.Err() != nil {
			return
		}
		removed += c.sweepDir(d.Name(), present)
	}
	for _, e := range known {
		c.mu.Lock()
		gone := !present[e.id] && e.file == nil && len(e.blocks) > 0 && !e.doomed
		c.mu.Unlock()
		if gone {
			c.missing(e)
		}
	}
	if removed > 0 {
		c.log.InfoContext(ctx, "removed files that did not belong to the cache", slog.String("directory", c.dir), slog.Int("count", removed))
	}
}

// missing forgets an entry's blocks if its file cannot be found.
func (c *DiskCache) missing(e *diskEntry) {
	e.io.Lock()
	defer e.io.Unlock()
	c.mu.Lock()
	closed := e.file == nil
	c.mu.Unlock()
	if !closed {
		return
	}
	if _, err := os.Stat(filepath.Join(c.dir, e.id.path())); errors.Is(err, fs.ErrNotExist) {
		c.forget(e)
	}
}

// sweepDir removes the strays of one directory and notes the slices it has.
func (c *DiskCache) sweepDir(dir string, present map[sliceID]bool) (removed int) {
	files, err := os.ReadDir(filepath.Join(c.dir, dir))
	if err != nil {
		c.log.Warn("the cache directory could not be read", slog.Any("error", err))
	}
	for _, f := range files {
		rel := filepath.Join(dir, f.Name())
		id, ok := parsePath(rel)
		switch {
		case !ok || !f.Type().IsRegular():
			removed += c.discard(rel)
		case c.knows(id):
			present[id] = true
		default:
			removed += c.discardUnknown(id, rel)
		}
	}
	return removed
}

func (c *DiskCache) knows(id sliceID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[id] != nil
}

// discardUnknown removes a slice's file unless the cache has come to know it. The
// lock keeps anyone from beginning that file meanwhile.
func (c *DiskCache) discardUnknown(id sliceID, rel string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[id] != nil {
		return 0
	}
	return c.discard(rel)
}

func (c *DiskCache) discard(rel string) int {
	if err := os.RemoveAll(filepath.Join(c.dir, rel)); err != nil {
		c.log.Warn("a stray file in the cache directory could not be removed", slog.Any("error", err))
		return 0
	}
	return 1
}

// parsePath takes a path made by sliceID.path apart.
func parsePath(rel string) (sliceID, bool) {
	home, slice, ok := strings.Cut(filepath.Base(rel), "-")
	if !ok {
		return sliceID{}, false
	}
	h, err := strconv.ParseUint(home, 10, 8)
	if err != nil {
		return sliceID{}, false
	}
	s, err := strconv.ParseUint(slice, 10, 64)
	if err != nil {
		return sliceID{}, false
	}
	id := sliceID{slice: s, home: uint8(h)}
	return id, id.path() == rel
}

func isHexByte(name string) bool {
	b, err := strconv.ParseUint(name, 16, 8)
	return err == nil && len(name) == 2 && strings.ToLower(name) == name && b <= 0xff
}
