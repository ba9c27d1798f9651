package gateway

import (
	"context"
	"errors"
	"syscall"

	"mirrorfs/meta"
)

// Put implements API.
func (g *Gateway) Put(ctx context.Context, r PutRequest) (Info, error) {
	info, err := g.put(ctx, &r)
	if err != nil {
		return Info{}, fail("put", r.Name, err)
	}
	return info, nil
}

func (g *Gateway) put(ctx context.Context, r *PutRequest) (Info, error) {
	pl, err := g.mayPut(ctx, r.Name, &r.Conditions)
	if err != nil {
		return Info{}, err
	}
	if pl.dir {
		return g.putDir(ctx, pl, r)
	}
	t, err := g.newTemp(ctx)
	if err != nil {
		return Info{}, err
	}
	defer t.discard(ctx)
	if err := t.fill(ctx, &r.Content); err != nil {
		return Info{}, err
	}
	s := stored{Described: r.Described}
	if r.Checksum != nil {
		s.Sum = r.Checksum()
	}
	info, err := t.finish(ctx, &s)
	if err != nil {
		return Info{}, err
	}
	return info, g.appear(ctx, t, pl, r.Name, &r.Conditions)
}

// mayPut looks before a body is taken whether an object can be made; appear decides.
func (g *Gateway) mayPut(ctx context.Context, n Name, c *Conditions) (*place, error) {
	pl, err := g.locate(ctx, n)
	if err == nil {
		err = pl.obstacle()
	}
	if err == nil {
		err = g.mayReplace(pl, c)
	}
	return pl, err
}

// mayReplace checks the conditions of a write against what was found at its place.
func (g *Gateway) mayReplace(pl *place, c *Conditions) error {
	etag := ""
	if pl.found() {
		etag = etagOf(pl.node())
	}
	return c.write(etag)
}

// maxAppear bounds how often an object is tried to be made while the directories above it go away.
const maxAppear = 100

// appear gives a file its key's name, in place of what had it.
func (g *Gateway) appear(ctx context.Context, t *temp, pl *place, n Name, c *Conditions) error {
	defer g.lock(n)()
	var flags meta.RenameFlags
	if c.IfNoneMatch != nil {
		flags = meta.RenameNoReplace
	}
	for try := 0; ; try++ {
		if try > 0 || !c.none() {
			if err := g.follow(ctx, pl); err != nil {
				return err
			}
			if err := g.mayReplace(pl, c); err != nil {
				return err
			}
		}
		parent, err := g.parent(ctx, pl)
		if err == nil {
			err = g.fs.Rename(ctx, meta.Rename{OldParent: t.dir, OldName: t.name, NewParent: parent, NewName: pl.name, Flags: flags})
		}
		switch {
		case err == nil:
			t.gone = true
			return nil
		case errors.Is(err, syscall.ENOENT) && try < maxAppear: // a directory that was empty was removed
			continue
		}
		return err
	}
}

// parent gives the directory of a place, and makes what is missing above it.
func (g *Gateway) parent(ctx context.Context, pl *place) (meta.Ino, error) {
	if err := pl.obstacle(); err != nil {
		return 0, err
	}
	dir := g.fs.Root()
	for i := range len(pl.names) - 1 {
		if i < len(pl.nodes) {
			dir = pl.nodes[i].Ino
			continue
		}
		var err error
		if dir, err = g.mkdir(ctx, dir, pl.names[i], g.opts.DirMode); err != nil {
			return 0, err
		}
	}
	return dir, nil
}

// putDir makes a directory that is an object, or makes the one that is there one.
func (g *Gateway) putDir(ctx context.Context, pl *place, r *PutRequest) (Info, error) {
	if r.Size != 0 {
		return Info{}, refuse(DirectoryHasData)
	}
	defer g.lock(r.Name)()
	for try := 0; ; try++ {
		var ino meta.Ino
		parent, err := g.parent(ctx, pl)
		if err == nil {
			ino, err = g.mkdir(ctx, parent, pl.name, g.opts.DirMode)
		}
		s := stored{Described: r.Described, Of: emptyETag}
		if err == nil {
			err = g.keep(ctx, ino, &s)
		}
		var n meta.Node
		if err == nil {
			n, err = g.fs.GetAttr(ctx, ino)
		}
		if errors.Is(err, syscall.ENOENT) && try < maxAppear { // a directory that was empty was removed
			if err := g.follow(ctx, pl); err != nil {
				return Info{}, err
			}
			continue
		}
		if err != nil {
			return Info{}, err
		}
		return s.info(&n), nil
	}
}
