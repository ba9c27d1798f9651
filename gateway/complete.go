package gateway

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"mirrorfs/meta"
)

// Complete implements API.
func (g *Gateway) Complete(ctx context.Context, r CompleteRequest) (Info, error) {
	info, err := g.complete(ctx, &r)
	if KindOf(err) == NoSuchUpload && err != nil {
		info, err = g.completed(ctx, &r, err)
	}
	if err != nil {
		return Info{}, fail("complete", r.Name, err)
	}
	return info, nil
}

// completed answers a client that asks again because it lost the answer: the object that the upload
// became, if that is still there. Otherwise it gives cause.
func (g *Gateway) completed(ctx context.Context, r *CompleteRequest, cause error) (Info, error) {
	pl, s, err := g.find(ctx, r.Name)
	if err != nil || s.Upload != r.ID || s.Of != etagOf(pl.node()) {
		return Info{}, cause
	}
	return s.info(pl.node()), nil
}

func (g *Gateway) complete(ctx context.Context, r *CompleteRequest) (Info, error) {
	u, err := g.upload(ctx, r.UploadName)
	if err != nil {
		return Info{}, err
	}
	parts, err := g.chosen(ctx, u, r)
	if err != nil {
		return Info{}, err
	}
	pl, err := g.mayPut(ctx, r.Name, &r.Conditions)
	if err != nil {
		return Info{}, err
	}
	t, err := g.newTemp(ctx)
	if err != nil {
		return Info{}, err
	}
	defer t.discard(ctx)
	s := stored{Described: u.Described, Sum: r.Checksum, Upload: u.id}
	at := int64(0)
	for i := range parts {
		n := &parts[i]
		size := int64(n.Attr.Size)
		src := &place{names: []string{""}, nodes: []meta.Node{*n}}
		was, err := t.clone(ctx, src, &stored{}, 0, size, at)
		if errors.Is(err, syscall.ENOENT) || err == nil && was.ETag != etagOf(n) {
			err = refuse(InvalidPart) // replaced meanwhile
		}
		if err != nil {
			return Info{}, err
		}
		at += size
		if last := len(s.Parts) - 1; last >= 0 && s.Parts[last].Size == size {
			s.Parts[last].Count++
		} else {
			s.Parts = append(s.Parts, run{Count: 1, Size: size})
		}
	}
	info, err := t.finish(ctx, &s)
	if err != nil {
		return Info{}, err
	}
	if err := g.appear(ctx, t, pl, r.Name, &r.Conditions); err != nil {
		return Info{}, err
	}
	// The object is there. An upload that stays is removed when it is old.
	_ = g.end(ctx, u)
	return info, nil
}

// chosen gives the files of the parts that an object is made of, and checks what the client says of them.
func (g *Gateway) chosen(ctx context.Context, u *upload, r *CompleteRequest) ([]meta.Node, error) {
	there, err := g.partFiles(ctx, u)
	if err != nil {
		return nil, err
	}
	if len(r.Parts) == 0 {
		return nil, refusef(InvalidArgument, "an object of no parts")
	}
	parts, size := make([]meta.Node, 0, len(r.Parts)), int64(0)
	for i, p := range r.Parts {
		if i > 0 && p.Number <= r.Parts[i-1].Number {
			return nil, refuse(InvalidPartOrder)
		}
		n, ok := there[partName(p.Number)]
		if !ok || strings.Trim(p.ETag, `"`) != etagOf(&n) {
			return nil, refusef(InvalidPart, "part %d is not there, or another one", p.Number)
		}
		if n.Attr.Size < MinPartBytes && i < len(r.Parts)-1 {
			return nil, refuse(PartTooSmall)
		}
		if p.Checksum != nil {
			s, err := g.stored(ctx, &n)
			if err != nil {
				return nil, err
			}
			if s.Sum == nil || *s.Sum != *p.Checksum {
				return nil, refusef(InvalidPart, "part %d has another checksum", p.Number)
			}
		}
		parts, size = append(parts, n), size+int64(n.Attr.Size)
	}
	switch {
	case size > meta.MaxFileBytes:
		return nil, refuse(TooLarge)
	case r.Size != nil && *r.Size != size:
		return nil, refusef(InvalidArgument, "the parts have %d bytes, not %d", size, *r.Size)
	}
	return parts, nil
}

// partFiles gives all parts of an upload by the names of their files.
func (g *Gateway) partFiles(ctx context.Context, u *upload) (map[string]meta.Node, error) {
	there := map[string]meta.Node{}
	for after := ""; ; {
		page, err := g.fs.ReadDir(ctx, u.dir, after, meta.MaxPageEntries)
		if errors.Is(err, syscall.ENOENT) {
			return nil, refuse(NoSuchUpload)
		}
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			there[e.Name], after = e.Node, e.Name
		}
		if !page.More || len(there) > MaxParts {
			return there, nil
		}
	}
}
