package metatest

import (
	"context"

	"mirrorfs/meta"
)

// compact completes a compaction from what each engine's lists are: of a list, or the
// first extents of a short one, as many as Old has. The only extent of New is stretched
// from the first byte to the last. An Old without extents stands for one that is
// out of date.
func (p *pair) compact(ctx context.Context, c meta.Compact) string {
	inModel, inEngine := c, c
	inModel.Old = firstExtents(ctx, p.model, &c)
	inEngine.Old = firstExtents(ctx, p.engine, &c)
	if len(c.New) != 1 || len(inModel.Old) == 0 {
		return p.changes(ctx, inModel, inEngine)
	}
	first, last := uint32(meta.ChunkBytes), uint32(0)
	for _, e := range inModel.Old {
		first, last = min(first, e.Pos), max(last, e.Pos+e.Len)
	}
	e := c.New[0]
	e.Pos, e.Len = first, last-first
	inModel.New, inEngine.New = []meta.Extent{e}, []meta.Extent{e}
	if len(c.Old) == 0 {
		inModel.Old[0].Slice++
		inEngine.Old[0].Slice++
	}
	return p.changes(ctx, inModel, inEngine)
}

// firstExtents gives a chunk's list, of a short one only as many extents as Old has if
// it has any.
func firstExtents(ctx context.Context, r meta.Reader, c *meta.Compact) []meta.Extent {
	const short = 100
	_, lists, err := r.Extents(ctx, c.Ino, c.Index, 1)
	if err != nil || len(lists) == 0 {
		return nil
	}
	list := lists[0].Extents
	if n := len(c.Old); n > 0 && n < len(list) && len(list) < short {
		list = list[:n]
	}
	return list
}
