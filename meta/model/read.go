package model

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"syscall"

	"mirrorfs/meta"
)

// reader implements meta.Reader under view options.
type reader struct {
	v    *volume
	opts meta.ViewOptions
}

// read runs a question under the lock and makes an errno into an error.
func (r reader) read(ctx context.Context, about meta.Error, ask func(t *tables) syscall.Errno) error {
	if err := ctx.Err(); err != nil {
		return &meta.Error{Op: about.Op, Ino: about.Ino, Name: about.Name, Errno: syscall.EINTR, Err: err}
	}
	r.v.mu.Lock()
	at := r.v.state.Position
	viewed := r.opts.Observe != nil || !r.opts.AtLeast.IsZero()
	behind := at.Before(r.opts.AtLeast) || viewed && r.v.state.Role == meta.RoleBootstrapping
	if !behind {
		about.Errno = ask(&r.v.tables)
	}
	r.v.mu.Unlock()
	if behind {
		about.Errno, about.Err = syscall.EAGAIN, meta.ErrBehind
		return &about
	}
	if r.opts.Observe != nil {
		r.opts.Observe(at)
	}
	if about.Errno != 0 {
		return &about
	}
	return nil
}

func (t *tables) node(ino meta.Ino) (meta.Node, syscall.Errno) {
	attr, ok := t.inodes[ino]
	if !ok {
		return meta.Node{}, syscall.ENOENT
	}
	return meta.Node{Ino: ino, Attr: attr}, 0
}

func (t *tables) dir(ino meta.Ino) (meta.Node, syscall.Errno) {
	n, errno := t.node(ino)
	switch {
	case errno != 0:
	case !n.Attr.IsDir():
		errno = syscall.ENOTDIR
	case n.Attr.Nlink == 0: // it was removed
		errno = syscall.ENOENT
	}
	return n, errno
}

func (t *tables) lookup(parent meta.Ino, name string) (meta.Node, syscall.Errno) {
	dir, errno := t.dir(parent)
	switch {
	case errno != 0:
		return meta.Node{}, errno
	case name == ".":
		return dir, 0
	case name == "..":
		return t.node(dir.Attr.Parent)
	}
	if errno := meta.CheckName(name); errno != 0 {
		return meta.Node{}, errno
	}
	e, ok := t.entries[parent][name]
	if !ok {
		return meta.Node{}, syscall.ENOENT
	}
	return t.node(e.ino)
}

// Lookup implements meta.Reader.
func (r reader) Lookup(ctx context.Context, parent meta.Ino, name string) (n meta.Node, err error) {
	err = r.read(ctx, meta.Error{Op: "lookup", Ino: parent, Name: name}, func(t *tables) (errno syscall.Errno) {
		n, errno = t.lookup(parent, name)
		return errno
	})
	return n, err
}

// GetAttr implements meta.Reader.
func (r reader) GetAttr(ctx context.Context, ino meta.Ino) (n meta.Node, err error) {
	err = r.read(ctx, meta.Error{Op: "getattr", Ino: ino}, func(t *tables) (errno syscall.Errno) {
		n, errno = t.node(ino)
		return errno
	})
	return n, err
}

// Resolve implements meta.Reader. Empty components are skipped.
func (r reader) Resolve(ctx context.Context, dir meta.Ino, path string) (nodes []meta.Node, err error) {
	err = r.read(ctx, meta.Error{Op: "resolve", Ino: dir, Name: path}, func(t *tables) syscall.Errno {
		at := dir
		for name := range strings.SplitSeq(path, "/") {
			if name == "" {
				continue
			}
			n, errno := t.lookup(at, name)
			if errno != 0 {
				return errno
			}
			nodes = append(nodes, n)
			at = n.Ino
		}
		return 0
	})
	return nodes, err
}

// ReadDir implements meta.Reader.
func (r reader) ReadDir(ctx context.Context, dir meta.Ino, after string, limit int) (page meta.Page, err error) {
	err = r.read(ctx, meta.Error{Op: "readdir", Ino: dir}, func(t *tables) syscall.Errno {
		if _, errno := t.dir(dir); errno != 0 {
			return errno
		}
		if limit <= 0 {
			return syscall.EINVAL
		}
		limit = min(limit, meta.MaxPageEntries)
		names := t.names[dir]
		at, found := slices.BinarySearch(names, after)
		if found {
			at++
		}
		page.More = len(names)-at > limit
		for _, name := range names[at:min(at+limit, len(names))] {
			n, errno := t.node(t.entries[dir][name].ino)
			if errno != 0 {
				return syscall.EIO // an entry without an inode
			}
			page.Entries = append(page.Entries, meta.Entry{Name: name, Node: n})
		}
		return 0
	})
	return page, err
}

// ReadLink implements meta.Reader.
func (r reader) ReadLink(ctx context.Context, ino meta.Ino) (target string, err error) {
	err = r.read(ctx, meta.Error{Op: "readlink", Ino: ino}, func(t *tables) syscall.Errno {
		n, errno := t.node(ino)
		if errno == 0 && n.Attr.Type() != meta.TypeSymlink {
			errno = syscall.EINVAL
		}
		target = t.targets[ino]
		return errno
	})
	return target, err
}

// Extents implements meta.Reader. Of anything but a regular file it is EINVAL.
func (r reader) Extents(ctx context.Context, ino meta.Ino, first uint32, count int) (n meta.Node, lists []meta.ChunkExtents, err error) {
	err = r.read(ctx, meta.Error{Op: "extents", Ino: ino}, func(t *tables) (errno syscall.Errno) {
		if n, errno = t.node(ino); errno != 0 {
			return errno
		}
		if !n.Attr.IsFile() || count <= 0 {
			return syscall.EINVAL
		}
		count = min(count, meta.MaxExtentChunks)
		c := t.content(ino)
		for _, index := range slices.Sorted(maps.Keys(c)) {
			if index >= first && uint64(index) < uint64(first)+uint64(count) {
				lists = append(lists, meta.ChunkExtents{Index: index, Extents: slices.Clone(c[index])})
			}
		}
		return 0
	})
	return n, lists, err
}

// GetXattr implements meta.Reader.
func (r reader) GetXattr(ctx context.Context, ino meta.Ino, name string) (value []byte, err error) {
	err = r.read(ctx, meta.Error{Op: "getxattr", Ino: ino, Name: name}, func(t *tables) syscall.Errno {
		if _, errno := t.node(ino); errno != 0 {
			return errno
		}
		v, ok := t.xattrs[ino][name]
		if !ok {
			return syscall.ENODATA
		}
		value = bytes.Clone(v)
		return 0
	})
	return value, err
}

// ListXattr implements meta.Reader.
func (r reader) ListXattr(ctx context.Context, ino meta.Ino) (names []string, err error) {
	err = r.read(ctx, meta.Error{Op: "listxattr", Ino: ino}, func(t *tables) syscall.Errno {
		_, errno := t.node(ino)
		names = slices.Sorted(maps.Keys(t.xattrs[ino]))
		return errno
	})
	return names, err
}

// StatFS implements meta.Reader.
func (r reader) StatFS(ctx context.Context) (usage meta.Usage, err error) {
	err = r.read(ctx, meta.Error{Op: "statfs"}, func(*tables) syscall.Errno {
		usage = r.v.state.Usage
		return 0
	})
	return usage, err
}
