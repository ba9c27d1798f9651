package vfs

import (
	"context"
	"syscall"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// MaxWarmBytes bounds the range of one Warm or Cached.
const MaxWarmBytes = 16 * chunk.Bytes

// Warm brings what is committed of the n bytes (at most MaxWarmBytes) at off of a file
// into the cache, and waits for that. EISDIR for a directory; anything else that has
// no data is warm.
func (fs *FS) Warm(ctx context.Context, ino meta.Ino, off, n uint64) (chunk.Warmth, error) {
	segs, err := fs.committed(ctx, "warm", ino, off, n)
	if err != nil {
		return chunk.Warmth{}, err
	}
	w, err := fs.blocks.Warm(ctx, segs)
	if err != nil {
		return w, refuse("warm", ino, "", err)
	}
	return w, nil
}

// Cached tells how much of what is committed of a range is in the cache.
func (fs *FS) Cached(ctx context.Context, ino meta.Ino, off, n uint64) (chunk.Warmth, error) {
	segs, err := fs.committed(ctx, "cached", ino, off, n)
	if err != nil {
		return chunk.Warmth{}, err
	}
	return fs.blocks.Cached(segs), nil
}

// committed asks where the bytes of a range are.
func (fs *FS) committed(ctx context.Context, op string, ino meta.Ino, off, n uint64) ([]chunk.Segment, error) {
	if n > MaxWarmBytes || off > meta.MaxFileBytes {
		return nil, refuse(op, ino, "", syscall.EINVAL)
	}
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	first := off / chunk.Bytes
	count := (off+n+chunk.Bytes-1)/chunk.Bytes - first
	node, lists, err := fs.engine.Extents(ctx, ino, uint32(first), int(max(count, 1)))
	if err != nil {
		return nil, err
	}
	if node.Attr.IsDir() {
		return nil, refuse(op, ino, "", syscall.EISDIR)
	}
	end := min(off+n, node.Attr.Size)
	var segs []chunk.Segment
	for _, l := range lists {
		start := uint64(l.Index) * chunk.Bytes
		from, to := max(off, start), min(end, start+chunk.Bytes)
		if from >= to {
			continue
		}
		extents := make([]chunk.Extent, len(l.Extents))
		for i, e := range l.Extents {
			extents[i] = chunk.Extent(e)
		}
		segs = append(segs, chunk.Resolve(extents, uint32(from-start), uint32(to-from))...)
	}
	return segs, nil
}
