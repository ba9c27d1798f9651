package gateway

import (
	"context"
	"syscall"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// Head implements API.
func (g *Gateway) Head(ctx context.Context, r GetRequest) (*Object, error) {
	pl, s, err := g.find(ctx, r.Name)
	if err != nil {
		return nil, fail("head", r.Name, err)
	}
	o, err := r.answer(&s, pl.node())
	if err != nil {
		return nil, fail("head", r.Name, err)
	}
	return o, nil
}

// Get implements API. The body outlives ctx: it ends with its Close. Its first bytes are there when Get
// returns, so that an object whose data cannot be had is an error and no broken answer.
func (g *Gateway) Get(ctx context.Context, r GetRequest) (*Object, error) {
	o, err := g.get(ctx, r)
	if err != nil {
		return nil, fail("get", r.Name, err)
	}
	return o, nil
}

func (g *Gateway) get(ctx context.Context, r GetRequest) (*Object, error) {
	pl, s, err := g.find(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	node := *pl.node()
	var f *vfs.File
	if !pl.dir {
		if f, err = g.fs.Open(ctx, node.Ino, syscall.O_RDONLY); err != nil {
			return nil, err
		}
		node.Attr = f.Attr() // what the open saw, and so what will be read
	}
	o, err := r.answer(&s, &node)
	if err != nil {
		if f != nil {
			f.Release() //nolint:contextcheck // what is given up here needs no request
		}
		return nil, err
	}
	o.Body = newBody(f, o.Offset, o.Length) //nolint:contextcheck // the body outlives the request's context
	if err := o.Body.begin(ctx); err != nil {
		_ = o.Body.Close()
		return nil, err
	}
	return o, nil
}

// answer says what a request gets of an object.
func (r *GetRequest) answer(s *stored, n *meta.Node) (*Object, error) {
	o := &Object{Info: s.info(n)}
	if err := r.read(o.ETag, o.Modified); err != nil {
		return nil, err
	}
	o.Length = o.Size
	switch {
	case r.Part > 0 && r.Range != "":
		return nil, refusef(InvalidArgument, "a range and a part")
	case r.Part > 0 && o.Parts > 0:
		off, n, ok := s.part(r.Part)
		if !ok {
			return nil, refuse(InvalidRange)
		}
		o.Offset, o.Length, o.Partial = off, n, true
	case r.Part > 1:
		return nil, refuse(InvalidRange)
	case r.Part == 1:
		o.Partial = o.Size > 0 // the whole is the one part
	default:
		var err error
		if o.Offset, o.Length, o.Partial, err = parseRange(r.Range, o.Size); err != nil {
			return nil, err
		}
	}
	return o, nil
}
