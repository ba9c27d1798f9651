package gateway

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"mirrorfs/meta"
)

// Keys are in byte order, directories in that of names: "a" comes before "a!b" and "a.b", but the keys in
// it, which begin with "a/", after both. So a directory that was read waits until the names have passed its
// name with the slash. Those that wait at a time each begin with the one before: there are never more than
// a name has bytes.

// item is a name in a directory, in the order of keys.
type item struct {
	key  string // the name, of a directory with a slash
	node meta.Node
	// after is set of a directory that the marker leads into: what is left of the marker there.
	after  string
	inside bool
}

// level is a directory whose names are gone through.
type level struct {
	dir    meta.Ino
	prefix string // of its keys
	bound  string // of the names that are wanted
	last   string // names come after it
	limit  int    // entries to ask for at a time

	page    []meta.Entry
	more    bool
	waiting []item // directories, each of whose names begins with that of the one before
}

// newLevel goes through a directory from the first key after a marker on.
func (g *Gateway) newLevel(ctx context.Context, dir meta.Ino, prefix, bound, marker string, limit int) (*level, error) {
	l := &level{dir: dir, prefix: prefix, bound: bound, limit: limit, more: true}
	if marker < bound {
		l.last = before(bound)
		return l, nil
	}
	if marker == "" {
		return l, nil
	}
	if !strings.HasPrefix(marker, bound) {
		l.more = false // all that begins so is before
		return l, nil
	}
	first, rest, inside := strings.Cut(marker, "/")
	l.last = marker
	if inside { // all names up to it are before the marker, but for those that wait
		l.last = first + "/"
	}
	for i := max(1, len(bound)); i <= min(len(first), meta.MaxNameBytes); i++ {
		if i < len(first) && first[i] >= '/' || checkComponent(first[:i]) != nil {
			continue
		}
		n, err := g.fs.Lookup(ctx, dir, first[:i])
		if errors.Is(err, syscall.ENOENT) || err == nil && !n.Attr.IsDir() {
			continue
		}
		if err != nil {
			return nil, err
		}
		it := item{key: first[:i] + "/", node: n}
		if inside && i == len(first) {
			it.after, it.inside = rest, true
		}
		l.waiting = append(l.waiting, it)
	}
	return l, nil
}

// before gives a string that no name lies between and s.
func before(s string) string {
	if s == "" {
		return ""
	}
	last := len(s) - 1
	if s[last] == 0 {
		return s[:last]
	}
	return s[:last] + string([]byte{s[last] - 1}) + strings.Repeat("\xff", meta.MaxNameBytes)
}

// next gives the next name, false after the last.
func (l *level) next(ctx context.Context, g *Gateway) (item, bool, error) {
	for {
		if len(l.page) == 0 && l.more {
			page, err := g.fs.ReadDir(ctx, l.dir, l.last, l.limit)
			if errors.Is(err, syscall.ENOENT) {
				page, err = meta.Page{}, nil // the directory was removed
			}
			if err != nil {
				return item{}, false, err
			}
			l.page, l.more = page.Entries, page.More && len(page.Entries) > 0
		}
		top := len(l.waiting) - 1
		if len(l.page) == 0 || top >= 0 && l.waiting[top].key < l.page[0].Name {
			if top < 0 {
				return item{}, false, nil
			}
			it := l.waiting[top]
			l.waiting = l.waiting[:top]
			return it, true, nil
		}
		e := l.page[0]
		l.page, l.last = l.page[1:], e.Name
		switch {
		case !strings.HasPrefix(e.Name, l.bound):
			l.page, l.more = nil, false // past them
		case l.prefix == "" && e.Name == hidden && l.dir == g.fs.Root():
		case e.Node.Attr.IsDir():
			l.waiting = append(l.waiting, item{key: e.Name + "/", node: e.Node})
		case e.Node.Attr.IsFile():
			return item{key: e.Name, node: e.Node}, true, nil
		}
	}
}

// walk goes through the keys of a bucket in byte order.
type walk struct {
	g      *Gateway
	levels []*level
	// shallow gives directories as keys that end with a slash instead of what is in them.
	shallow bool
	limit   int
	first   *found // to be given before all others
}

// found is a key, or of a shallow walk a directory.
type found struct {
	key  string
	node meta.Node
	dir  bool // of a shallow walk: there are keys that begin so
}

// Limits of what a walk holds of each directory: full pages near the top, shorter ones below.
const (
	fullLevels = 8
	deepPage   = 64
)

// newWalk begins after a key. limit is how many keys are wanted, about. A prefix that no key can have is an
// empty walk.
func (g *Gateway) newWalk(ctx context.Context, bucket *meta.Node, prefix, after string, shallow bool, limit int) (*walk, error) {
	w := &walk{g: g, shallow: shallow, limit: min(limit, meta.MaxPageEntries)}
	top, bound := "", prefix
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		top, bound = prefix[:i+1], prefix[i+1:]
	}
	if top < after && !strings.HasPrefix(after, top) || len(prefix) > maxObjectName {
		return w, nil // all that begins so is before
	}
	dir := *bucket
	if top != "" {
		if _, err := parsePath(top, g.single()); err != nil {
			return w, nil
		}
		nodes, err := g.fs.Resolve(ctx, dir.Ino, strings.TrimSuffix(top, "/"))
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
			return w, nil
		}
		if err != nil {
			return nil, err
		}
		if dir = nodes[len(nodes)-1]; !dir.Attr.IsDir() {
			return w, nil
		}
	}
	if after < top {
		if bound == "" {
			if err := w.object(ctx, top, &dir); err != nil {
				return nil, err
			}
		}
		after = top
	}
	return w, w.enter(ctx, dir.Ino, top, bound, after[len(top):])
}

// object has a directory given first when it is an object.
func (w *walk) object(ctx context.Context, key string, n *meta.Node) error {
	s, err := w.g.stored(ctx, n)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err == nil && s.there {
		w.first = &found{key: key, node: *n}
	}
	return err
}

func (w *walk) enter(ctx context.Context, dir meta.Ino, prefix, bound, marker string) error {
	limit := w.limit
	if len(w.levels) >= fullLevels {
		limit = min(limit, deepPage)
	}
	l, err := w.g.newLevel(ctx, dir, prefix, bound, marker, limit)
	if err != nil {
		return err
	}
	w.levels = append(w.levels, l)
	return nil
}

// next gives the next key, false after the last.
func (w *walk) next(ctx context.Context) (found, bool, error) {
	for {
		if f := w.first; f != nil {
			w.first = nil
			return *f, true, nil
		}
		if len(w.levels) == 0 {
			return found{}, false, nil
		}
		l := w.levels[len(w.levels)-1]
		it, ok, err := l.next(ctx, w.g)
		if err != nil {
			return found{}, false, err
		}
		if !ok {
			w.levels = w.levels[:len(w.levels)-1]
			continue
		}
		key := l.prefix + it.key
		if len(key) > maxObjectName {
			continue // no key reaches there
		}
		switch {
		case !it.node.Attr.IsDir():
			return found{key: key, node: it.node}, true, nil
		case w.shallow:
			if some, err := w.some(ctx, key, &it); err != nil || some {
				return found{key: key, node: it.node, dir: true}, err == nil, err
			}
		default:
			if !it.inside {
				if err := w.object(ctx, key, &it.node); err != nil {
					return found{}, false, err
				}
			}
			if err := w.enter(ctx, it.node.Ino, key, "", it.after); err != nil {
				return found{}, false, err
			}
		}
	}
}

// some reports whether a directory is to be given by a shallow walk: one that the marker leads into only
// if there are keys after that.
func (w *walk) some(ctx context.Context, key string, it *item) (bool, error) {
	if !it.inside {
		return true, nil
	}
	in := &walk{g: w.g, limit: deepPage}
	if err := in.enter(ctx, it.node.Ino, key, "", it.after); err != nil {
		return false, err
	}
	_, ok, err := in.next(ctx)
	return ok, err
}
