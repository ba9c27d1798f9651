package mirror

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"mirrorfs/meta"
)

// reader answers questions for an Engine, under the options of a View.
type reader struct {
	e    *Engine
	opts meta.ViewOptions
}

// atLeast is r with a further floor.
func (r reader) atLeast(at meta.Position) reader {
	r.opts.AtLeast = later(r.opts.AtLeast, at)
	return r
}

func (r reader) observe(at meta.Position) {
	if r.opts.Observe != nil && !at.IsZero() {
		r.opts.Observe(at)
	}
}

// GetAttr is meta.Reader's.
func (r reader) GetAttr(ctx context.Context, ino meta.Ino) (meta.Node, error) {
	n, at, err := r.getAttr(ctx, ino)
	r.observe(at)
	return n, err
}

func (r reader) getAttr(ctx context.Context, ino meta.Ino) (meta.Node, meta.Position, error) {
	k := inodeKey(ino)
	return answer(ctx, r, query[meta.Node]{
		op:   "getattr",
		keys: []key{k},
		ask:  func(ctx context.Context, m meta.Reader) (meta.Node, error) { return m.GetAttr(ctx, ino) },
		known: func() (meta.Node, meta.Position, error, bool) {
			f, ok := r.e.floors.get(k)
			switch {
			case ok && f.what.gone:
				return meta.Node{}, f.at, &meta.Error{Op: "getattr", Ino: ino, Errno: syscall.ENOENT}, true
			case ok && f.what.attr != nil:
				return meta.Node{Ino: ino, Attr: *f.what.attr}, f.at, nil, true
			default:
				return meta.Node{}, meta.Position{}, nil, false
			}
		},
		learn: func(n meta.Node, err error, at meta.Position) { r.e.learnNode(ino, n, err, at) },
	})
}

// Lookup is meta.Reader's.
func (r reader) Lookup(ctx context.Context, parent meta.Ino, name string) (meta.Node, error) {
	k := entryKey(parent, name)
	keys := []key{k, {ino: parent, name: anyName}}
	if meta.CheckName(name) != 0 { // "." or ".." or no name of an entry
		k = inodeKey(parent)
		keys = []key{k}
	}
	reading := r.e.floors.begin()
	defer r.e.floors.end(reading)
	n, at, err := answer(ctx, r, query[meta.Node]{
		op:   "lookup",
		keys: keys,
		ask:  func(ctx context.Context, m meta.Reader) (meta.Node, error) { return m.Lookup(ctx, parent, name) },
		known: func() (meta.Node, meta.Position, error, bool) {
			f, ok := r.e.floors.get(k)
			switch {
			case ok && k.isEntry() && f.what.gone:
				return meta.Node{}, f.at, &meta.Error{Op: "lookup", Ino: parent, Name: name, Errno: syscall.ENOENT}, true
			case ok && f.what.child != 0:
				return meta.Node{Ino: f.what.child}, f.at, nil, true // completed below
			default:
				return meta.Node{}, meta.Position{}, nil, false
			}
		},
		learn: func(n meta.Node, err error, at meta.Position) {
			if k.isEntry() {
				r.e.learnEntry(k, n, err, at)
			} else {
				r.e.floors.raise(at, k, content{})
			}
			if err == nil {
				r.e.learnNode(n.Ino, n, nil, at)
			}
		},
	})
	switch {
	case err == nil:
		n, at, err = r.freshen(ctx, n, at)
	case k.isEntry():
		at, err = r.parentSays(ctx, parent, name, at, err)
	}
	r.observe(at)
	return n, err
}

// parentSays mends the error of a lookup here when the parent is newer than what
// is here: a file that was just made is no directory, whatever is missing.
func (r reader) parentSays(ctx context.Context, parent meta.Ino, name string, at meta.Position, err error) (meta.Position, error) {
	if _, newer := r.e.floors.above(at, inodeKey(parent)); !newer || !errors.Is(err, syscall.ENOENT) {
		return at, err
	}
	n, nodeAt, nodeErr := r.atLeast(at).getAttr(ctx, parent)
	if nodeErr == nil && !n.Attr.IsDir() {
		err = &meta.Error{Op: "lookup", Ino: parent, Name: name, Errno: syscall.ENOTDIR}
	}
	return later(at, nodeAt), err
}

// freshen completes a node that was found at a position with attributes that are
// not older than any seen before.
func (r reader) freshen(ctx context.Context, n meta.Node, at meta.Position) (meta.Node, meta.Position, error) {
	f, newer := r.e.floors.above(at, inodeKey(n.Ino))
	switch {
	case n.Attr.Mode != 0 && !newer:
		return n, at, nil
	case newer && f.what.attr != nil:
		return meta.Node{Ino: n.Ino, Attr: *f.what.attr}, f.at, nil
	case newer:
		at = f.at
	}
	n, nodeAt, err := r.atLeast(at).getAttr(ctx, n.Ino)
	return n, later(at, nodeAt), err
}

// Resolve is meta.Reader's.
func (r reader) Resolve(ctx context.Context, dir meta.Ino, path string) ([]meta.Node, error) {
	nodes, at, err := answer(ctx, r, query[[]meta.Node]{
		op:    "resolve",
		all:   true,
		ask:   func(ctx context.Context, m meta.Reader) ([]meta.Node, error) { return m.Resolve(ctx, dir, path) },
		learn: func(nodes []meta.Node, err error, at meta.Position) { r.e.learnPath(dir, path, nodes, err, at) },
	})
	r.observe(at)
	return nodes, err
}

// ReadDir is meta.Reader's.
func (r reader) ReadDir(ctx context.Context, dir meta.Ino, after string, limit int) (meta.Page, error) {
	keys := []key{{ino: dir}, {ino: dir, name: listing}}
	reading := r.e.floors.begin()
	defer r.e.floors.end(reading)
	for {
		page, at, err := answer(ctx, r, query[meta.Page]{
			op:   "readdir",
			keys: keys,
			ask: func(ctx context.Context, m meta.Reader) (meta.Page, error) {
				return m.ReadDir(ctx, dir, after, limit)
			},
			learn: func(p meta.Page, _ error, at meta.Position) { r.e.learnPage(dir, p, at) },
		})
		if err != nil {
			r.observe(at)
			return page, err
		}
		must := r.e.floors.patch(page.Entries, at)
		if !at.Before(must) {
			r.observe(at)
			return page, nil
		}
		r = r.atLeast(must)
	}
}

// ReadLink is meta.Reader's.
func (r reader) ReadLink(ctx context.Context, ino meta.Ino) (string, error) {
	k := inodeKey(ino)
	target, at, err := answer(ctx, r, query[string]{
		op:   "readlink",
		keys: []key{k},
		ask:  func(ctx context.Context, m meta.Reader) (string, error) { return m.ReadLink(ctx, ino) },
		known: func() (string, meta.Position, error, bool) {
			f, ok := r.e.floors.get(k)
			return f.what.target, f.at, nil, ok && f.what.target != ""
		},
		learn: func(_ string, _ error, at meta.Position) { r.e.floors.raise(at, k, content{}) },
	})
	r.observe(at)
	return target, err
}

// fileExtents is what Extents answers.
type fileExtents struct {
	node   meta.Node
	chunks []meta.ChunkExtents
}

// Extents is meta.Reader's.
func (r reader) Extents(ctx context.Context, ino meta.Ino, first uint32, count int) (meta.Node, []meta.ChunkExtents, error) {
	v, at, err := answer(ctx, r, query[fileExtents]{
		op:   "extents",
		keys: []key{inodeKey(ino)},
		ask: func(ctx context.Context, m meta.Reader) (v fileExtents, err error) {
			v.node, v.chunks, err = m.Extents(ctx, ino, first, count)
			return v, err
		},
		learn: func(v fileExtents, err error, at meta.Position) { r.e.learnNode(ino, v.node, err, at) },
	})
	r.observe(at)
	return v.node, v.chunks, err
}

// GetXattr is meta.Reader's.
func (r reader) GetXattr(ctx context.Context, ino meta.Ino, name string) ([]byte, error) {
	k := inodeKey(ino)
	value, at, err := answer(ctx, r, query[[]byte]{
		op:    "getxattr",
		keys:  []key{k},
		ask:   func(ctx context.Context, m meta.Reader) ([]byte, error) { return m.GetXattr(ctx, ino, name) },
		learn: func(_ []byte, _ error, at meta.Position) { r.e.floors.raise(at, k, content{}) },
	})
	r.observe(at)
	return value, err
}

// ListXattr is meta.Reader's.
func (r reader) ListXattr(ctx context.Context, ino meta.Ino) ([]string, error) {
	k := inodeKey(ino)
	names, at, err := answer(ctx, r, query[[]string]{
		op:    "listxattr",
		keys:  []key{k},
		ask:   func(ctx context.Context, m meta.Reader) ([]string, error) { return m.ListXattr(ctx, ino) },
		learn: func(_ []string, _ error, at meta.Position) { r.e.floors.raise(at, k, content{}) },
	})
	r.observe(at)
	return names, err
}

// StatFS is meta.Reader's. It is about no file: when it would have to wait for a
// source that does not answer, it tells what is known here.
func (r reader) StatFS(ctx context.Context) (meta.Usage, error) {
	u, at, err := answer(ctx, r, query[meta.Usage]{
		op:  "statfs",
		all: true,
		ask: func(ctx context.Context, m meta.Reader) (meta.Usage, error) { return m.StatFS(ctx) },
	})
	if err != nil && errors.Is(err, meta.ErrUnreachable) {
		return r.e.near.View(r.opts).StatFS(ctx)
	}
	r.observe(at)
	return u, err
}

// Quotas is meta.Reader's. It does without the source as StatFS does.
func (r reader) Quotas(ctx context.Context) ([]meta.Quota, error) {
	return r.quotas(ctx, func(ctx context.Context, m meta.Reader) ([]meta.Quota, error) { return m.Quotas(ctx) })
}

// QuotasAt is meta.Reader's. It does without the source as StatFS does.
func (r reader) QuotasAt(ctx context.Context, ino meta.Ino) ([]meta.Quota, error) {
	return r.quotas(ctx, func(ctx context.Context, m meta.Reader) ([]meta.Quota, error) { return m.QuotasAt(ctx, ino) })
}

func (r reader) quotas(ctx context.Context, ask func(context.Context, meta.Reader) ([]meta.Quota, error)) ([]meta.Quota, error) {
	all, at, err := answer(ctx, r, query[[]meta.Quota]{op: "quotas", all: true, ask: ask})
	if err != nil && errors.Is(err, meta.ErrUnreachable) {
		return ask(ctx, r.e.near.View(r.opts))
	}
	r.observe(at)
	return all, err
}

// learnNode notes what was read of an inode at the source.
func (e *Engine) learnNode(ino meta.Ino, n meta.Node, err error, at meta.Position) {
	switch {
	case err == nil:
		e.floors.raise(at, inodeKey(ino), content{attr: &n.Attr})
	case errors.Is(err, syscall.ENOENT):
		e.floors.raise(at, inodeKey(ino), content{gone: true})
	default:
		e.floors.raise(at, inodeKey(ino), content{})
	}
}

// learnEntry notes what was found under a name at the source.
func (e *Engine) learnEntry(k key, n meta.Node, err error, at meta.Position) {
	switch {
	case err == nil:
		e.floors.raise(at, k, content{child: n.Ino})
	case errors.Is(err, syscall.ENOENT):
		e.floors.raise(at, k, content{gone: true})
	default:
		e.floors.raise(at, k, content{})
	}
}

// learnPage notes a part of a directory that was read at the source.
func (e *Engine) learnPage(dir meta.Ino, p meta.Page, at meta.Position) {
	e.floors.raise(at, inodeKey(dir), content{})
	e.floors.raise(at, key{ino: dir, name: anyName}, content{})
	for i := range p.Entries {
		n := p.Entries[i].Node
		e.floors.raise(at, entryKey(dir, p.Entries[i].Name), content{child: n.Ino})
		e.floors.raise(at, inodeKey(n.Ino), content{attr: &n.Attr})
	}
}

// learnPath notes a path that was resolved at the source.
func (e *Engine) learnPath(dir meta.Ino, path string, nodes []meta.Node, err error, at meta.Position) {
	i := 0
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == "." || name == "..":
			return // the places of nodes among names are not certain any more
		case i < len(nodes):
			e.learnEntry(entryKey(dir, name), nodes[i], nil, at)
			e.learnNode(nodes[i].Ino, nodes[i], nil, at)
			dir = nodes[i].Ino
		default:
			e.learnEntry(entryKey(dir, name), meta.Node{}, err, at)
			return
		}
		i++
	}
}
