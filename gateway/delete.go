package gateway

import (
	"context"
	"errors"
	"syscall"

	"mirrorfs/meta"
)

// Delete implements API.
func (g *Gateway) Delete(ctx context.Context, r DeleteRequest) error {
	defer g.lock(r.Name)()
	pl, s, err := g.find(ctx, r.Name)
	if err == nil && r.IfMatch != nil {
		i := s.info(pl.node())
		if !matches(*r.IfMatch, i.ETag) {
			err = refuse(PreconditionFailed)
		}
	}
	if err == nil {
		err = g.remove(ctx, pl)
	}
	if KindOf(err) == NoSuchKey && r.IfMatch == nil {
		return nil
	}
	if err != nil {
		return fail("delete", r.Name, err)
	}
	return nil
}

// remove removes what a place names, and the directories above that it leaves empty.
func (g *Gateway) remove(ctx context.Context, pl *place) error {
	parent := g.above(pl, len(pl.names)-1)
	var err error
	if !pl.dir {
		err = g.fs.Unlink(ctx, meta.Unlink{Parent: parent, Name: pl.name})
	} else { // it stays a directory while there is something in it
		err = g.fs.RemoveXattr(ctx, meta.RemoveXattr{Ino: pl.node().Ino, Name: xattrName})
		if errors.Is(err, syscall.ENODATA) {
			err = nil
		}
		if err == nil {
			err = g.fs.Rmdir(ctx, meta.Rmdir{Parent: parent, Name: pl.name})
		}
		if errors.Is(err, syscall.ENOTEMPTY) {
			return nil
		}
	}
	if errors.Is(err, syscall.ENOENT) {
		err = nil // somebody else was first
	}
	if err == nil {
		g.prune(ctx, pl)
	}
	return err
}

// above is the directory of the i-th component of a place.
func (g *Gateway) above(pl *place, i int) meta.Ino {
	if i == 0 {
		return g.fs.Root()
	}
	return pl.nodes[i-1].Ino
}

// prune removes the directories above a place that are empty, up to the bucket or to one that is an
// object. It does what it can: a directory more is no fault.
func (g *Gateway) prune(ctx context.Context, pl *place) {
	for i := len(pl.names) - 2; i >= pl.own; i-- {
		n, err := g.fs.GetAttr(ctx, pl.nodes[i].Ino)
		if err != nil || n.Attr.Size > 0 {
			return
		}
		if s, err := g.stored(ctx, &n); err != nil || s.there {
			return
		}
		if g.fs.Rmdir(ctx, meta.Rmdir{Parent: g.above(pl, i), Name: pl.names[i]}) != nil {
			return
		}
	}
}
