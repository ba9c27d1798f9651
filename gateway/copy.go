package gateway

import (
	"context"
	"io"
	"syscall"

	"mirrorfs/meta"
)

// Copy implements API.
func (g *Gateway) Copy(ctx context.Context, r CopyRequest) (Info, error) {
	info, err := g.copyObject(ctx, &r)
	if err != nil {
		return Info{}, fail("copy", r.To, err)
	}
	return info, nil
}

func (g *Gateway) copyObject(ctx context.Context, r *CopyRequest) (Info, error) {
	src, s, err := g.find(ctx, r.From)
	if err != nil {
		return Info{}, err
	}
	from := s.info(src.node())
	if err := r.source(from.ETag, from.Modified); err != nil {
		return Info{}, err
	}
	none := Conditions{}
	dst, err := g.mayPut(ctx, r.To, &none)
	if err != nil {
		return Info{}, err
	}
	to := stored{Described: s.Described}
	if r.ReplaceHeaders {
		to.Headers, to.Metadata = r.Headers, r.Metadata
	}
	if r.ReplaceTags {
		to.Tags = r.Tags
	}
	if dst.dir {
		return g.putDir(ctx, dst, &PutRequest{Name: r.To, Described: to.Described, Content: Content{Size: from.Size}})
	}
	t, err := g.newTemp(ctx)
	if err != nil {
		return Info{}, err
	}
	defer t.discard(ctx)
	if from, err = t.clone(ctx, src, &s, 0, from.Size, 0); err != nil {
		return Info{}, err
	}
	if to.Sum = from.Checksum; from.Parts > 0 {
		to.Parts = s.Parts
	}
	info, err := t.finish(ctx, &to)
	if err != nil {
		return Info{}, err
	}
	return info, g.appear(ctx, t, dst, r.To, &none)
}

// clone makes n bytes at the offset to of the file those at off of an object, without copying. It gives
// what the object was then; its Checksum is nil and Parts 0 when they are not those of the bytes cloned.
func (t *temp) clone(ctx context.Context, src *place, s *stored, off, n, to int64) (Info, error) {
	if src.dir {
		return s.info(src.node()), nil
	}
	f, err := t.g.fs.Open(ctx, src.node().Ino, syscall.O_RDONLY)
	if err != nil {
		return Info{}, err
	}
	defer f.Release() //nolint:contextcheck // what is given up here needs no request
	was := s.info(&meta.Node{Ino: f.Ino(), Attr: f.Attr()})
	for done := int64(0); done < n; {
		k, err := f.CopyRange(ctx, off+done, t.f, to+done, n-done)
		if err != nil {
			return Info{}, err
		}
		if k == 0 { // the file was cut off meanwhile
			return Info{}, io.ErrUnexpectedEOF
		}
		done += k
	}
	if off != 0 || n != was.Size || etagOf(&meta.Node{Ino: f.Ino(), Attr: f.Attr()}) != was.ETag {
		was.Checksum, was.Parts = nil, 0
	}
	return was, nil
}
