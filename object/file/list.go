package file

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"mirrorfs/object"
)

// dirBatch is how many names are read from a directory at a time.
const dirBatch = 1024

// entry is a name in a directory that may lead to wanted keys.
type entry struct {
	key  string // of a file its key; of a directory what its keys start with
	name string
	dir  bool
}

// lister walks the tree in the byte order of keys. It holds at most limit
// entries for each level, however many names a directory has; a directory with
// more is read again for each further limit of names.
type lister struct {
	prefix, after string
	limit         int
	found         []object.Info
}

// List walks only the directories that can hold wanted keys.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	if err := object.CheckList(limit); err != nil {
		return nil, object.Fail("list", prefix, err)
	}
	if len(prefix) > object.MaxKeyBytes {
		return nil, ctx.Err() // and no key can match
	}
	l := &lister{prefix: prefix, after: after, limit: limit}
	dir, base := s.root, ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		dir, base = s.root+"/"+relPath(prefix[:i]), prefix[:i+1]
	}
	err := l.walk(ctx, dir, base)
	if err = s.cause(err); errors.Is(err, object.ErrNotExist) {
		err = nil // no such directory, so no such keys
	}
	if err != nil {
		return nil, object.Fail("list", prefix, err)
	}
	return l.found, nil
}

// walk adds the keys of one directory; base is what they all start with.
func (l *lister) walk(ctx context.Context, dir, base string) error {
	var last *entry
	for {
		want := l.limit - len(l.found)
		entries, err := l.scan(ctx, dir, base, last, want)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := l.visit(ctx, dir, e); err != nil {
				return err
			}
			if len(l.found) == l.limit {
				return nil
			}
		}
		if len(entries) < want {
			return nil
		}
		last = &entries[want-1]
	}
}

// visit adds an object, or walks a directory. Either may be gone by now.
func (l *lister) visit(ctx context.Context, dir string, e entry) error {
	path := dir + "/" + e.name
	if e.dir {
		err := l.walk(ctx, path, e.key)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && st.Mode().IsRegular() {
		l.found = append(l.found, infoOf(e.key, st))
	}
	return err
}

// scan gives the first want entries of a directory, in order, that come after
// last and can lead to wanted keys.
func (l *lister) scan(ctx context.Context, dir, base string, last *entry, want int) ([]entry, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }() // it was only read
	var first largest
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		names, err := d.ReadDir(dirBatch)
		for _, n := range names {
			e, ok := parseEntry(base, n)
			if !ok || !l.wants(e) || last != nil && e.compare(*last) <= 0 {
				continue
			}
			switch {
			case len(first) < want:
				heap.Push(&first, e)
			case e.compare(first[0]) < 0:
				first[0] = e
				heap.Fix(&first, 0)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(first, entry.compare)
	return first, nil
}

// parseEntry is false for names that are no part of a bucket: temporary files,
// and whatever else someone put there.
func parseEntry(base string, d fs.DirEntry) (entry, bool) {
	p, ok := parseName(d.Name())
	if !ok {
		return entry{}, false
	}
	e := entry{key: base + p.text, name: d.Name(), dir: d.IsDir()}
	if e.dir && !p.more {
		e.key += "/"
	}
	return e, e.dir || d.Type().IsRegular() && !p.more
}

// wants tells whether the entry is, or may hold, a key that is asked for.
func (l *lister) wants(e entry) bool {
	if !e.dir {
		return object.Listed(e.key, l.prefix, l.after)
	}
	matches := strings.HasPrefix(e.key, l.prefix) || strings.HasPrefix(l.prefix, e.key)
	return matches && (e.key > l.after || strings.HasPrefix(l.after, e.key))
}

// compare orders by key. Two entries of one directory never have the same one.
func (e entry) compare(o entry) int { return cmp.Compare(e.key, o.key) }

// largest is a heap with the largest key on top.
type largest []entry

func (h largest) Len() int           { return len(h) }
func (h largest) Less(i, j int) bool { return h[i].key > h[j].key }
func (h largest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *largest) Push(x any)        { *h = append(*h, x.(entry)) }
func (h *largest) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
