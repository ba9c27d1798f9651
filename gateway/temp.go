package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"syscall"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// ownDir is a directory in hidden, made when it is first needed.
type ownDir struct {
	name string

	mu  sync.Mutex // held over the round trips that make it
	ino meta.Ino
}

// get gives the directory's inode.
func (d *ownDir) get(ctx context.Context, g *Gateway) (meta.Ino, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ino != 0 {
		return d.ino, nil
	}
	top, err := g.mkdir(ctx, g.fs.Root(), hidden, 0o700)
	if err != nil {
		return 0, err
	}
	d.ino, err = g.mkdir(ctx, top, d.name, 0o700)
	return d.ino, err
}

// look gives the directory's inode, 0 when nobody has made it yet.
func (d *ownDir) look(ctx context.Context, g *Gateway) (meta.Ino, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ino != 0 {
		return d.ino, nil
	}
	nodes, err := g.fs.Resolve(ctx, g.fs.Root(), hidden+"/"+d.name)
	if errors.Is(err, syscall.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	d.ino = nodes[len(nodes)-1].Ino
	return d.ino, nil
}

// lost tells that the directory was removed.
func (d *ownDir) lost() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ino = 0
}

// mkdir makes a directory, or finds the one that is there: ParentIsFile when that is none.
func (g *Gateway) mkdir(ctx context.Context, parent meta.Ino, name string, mode uint32) (meta.Ino, error) {
	for {
		n, err := g.fs.Make(ctx, meta.Make{Parent: parent, Name: name, Mode: meta.TypeDir | mode, UID: g.opts.UID, GID: g.opts.GID})
		if !errors.Is(err, syscall.EEXIST) {
			return n.Ino, err
		}
		n, err = g.fs.Lookup(ctx, parent, name)
		switch {
		case errors.Is(err, syscall.ENOENT):
			continue // removed meanwhile
		case err == nil && !n.Attr.IsDir():
			return 0, refuse(ParentIsFile)
		}
		return n.Ino, err
	}
}

// temp is a file that is to become an object.
type temp struct {
	g    *Gateway
	dir  meta.Ino
	name string
	f    *vfs.File
	gone bool // it has its name, or none
}

// newTemp makes a hidden file. Whoever gets one calls discard.
func (g *Gateway) newTemp(ctx context.Context) (*temp, error) {
	for try := 0; ; try++ {
		dir, err := g.tmp.get(ctx, g)
		if err != nil {
			return nil, err
		}
		name := rand.Text()
		_, f, err := g.fs.Create(ctx, meta.Make{
			Parent: dir, Name: name, Mode: g.opts.FileMode, UID: g.opts.UID, GID: g.opts.GID,
		}, syscall.O_RDWR|syscall.O_EXCL)
		if errors.Is(err, syscall.ENOENT) && try == 0 {
			g.tmp.lost()
			continue
		}
		if err != nil {
			return nil, err
		}
		return &temp{g: g, dir: dir, name: name, f: f}, nil
	}
}

// bodyBytes is how much of a body is taken at a time.
const bodyBytes = 256 << 10

var bodyBuffers = sync.Pool{New: func() any { return new([bodyBytes]byte) }} //nolint:gochecknoglobals // a pool is shared to be of use

// fill writes a body to the file, up to its end, and checks its length.
func (t *temp) fill(ctx context.Context, c *Content) error {
	buf := bodyBuffers.Get().(*[bodyBytes]byte)
	defer bodyBuffers.Put(buf)
	if c.Size > MaxPutBytes {
		return refuse(TooLarge)
	}
	size, ended := int64(0), false
	for !ended {
		n, err := io.ReadFull(c.Body, buf[:])
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			ended = true
		case err != nil:
			return &Error{Kind: BadBody, Err: err}
		}
		if size+int64(n) > c.Size {
			return refuse(IncompleteBody)
		}
		for p := buf[:n]; len(p) > 0; {
			k, err := t.f.Write(ctx, p, size)
			if err != nil {
				return err
			}
			size, p = size+int64(k), p[k:]
		}
	}
	if size < c.Size {
		return refuse(IncompleteBody)
	}
	return nil
}

// finish makes what was written durable, and keeps s of it. It gives what the object will be.
func (t *temp) finish(ctx context.Context, s *stored) (Info, error) {
	if err := t.f.Flush(ctx); err != nil {
		return Info{}, err
	}
	n := meta.Node{Ino: t.f.Ino(), Attr: t.f.Attr()}
	if !s.empty() {
		s.Of = etagOf(&n)
		if err := t.g.keep(ctx, n.Ino, s); err != nil {
			return Info{}, err
		}
	}
	return s.info(&n), nil
}

// discard gives the file up: it goes unless it has become an object.
func (t *temp) discard(ctx context.Context) {
	if !t.gone {
		t.gone = true
		// What stays behind, Run removes.
		_ = t.g.fs.Unlink(context.WithoutCancel(ctx), meta.Unlink{Parent: t.dir, Name: t.name})
	}
	t.f.Release() //nolint:contextcheck // what is given up here needs no request
}
