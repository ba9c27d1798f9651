package vfs

import (
	"context"
	"syscall"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// SeekData gives the first place from off on where the file has data, buffered or
// committed: ENXIO when there is none, or off is behind the end. Bytes that were
// never written, or punched, are no data.
func (f *File) SeekData(ctx context.Context, off int64) (int64, error) {
	return f.seek(ctx, off, func(p *piece) bool { return p.seg.Slice != 0 })
}

// SeekHole gives the first place from off on where the file has no data, at the latest
// its end. ENXIO when off is behind that.
func (f *File) SeekHole(ctx context.Context, off int64) (int64, error) {
	return f.seek(ctx, off, func(p *piece) bool { return p.seg.Slice == 0 })
}

// seek finds the first piece that is wanted; the end of the file is a hole.
func (f *File) seek(ctx context.Context, off int64, wanted func(*piece) bool) (int64, error) {
	fs, in := f.fs, f.in
	size := uint64(f.Size())
	if off < 0 || uint64(off) >= size {
		return 0, refuse("lseek", in.ino, "", syscall.ENXIO)
	}
	hole := wanted(&piece{})
	at := uint64(off)
	for tries := 0; at < size; {
		n := min(size-at, chunk.Bytes-at%chunk.Bytes)
		pieces, missing, ok := in.plan(nil, at, int(n))
		if !ok {
			if !hole && at > uint64(off) { // nothing so far: there may be nothing for long
				next, err := fs.nextChunk(ctx, in, missing)
				if err != nil {
					return 0, err
				}
				if next > missing {
					at = uint64(next) * chunk.Bytes
					continue
				}
			}
			if tries++; tries > maxReplans+int(size/chunk.Bytes) {
				return 0, refuse("lseek", in.ino, "", errMoving)
			}
			if err := fs.load(ctx, in, missing); err != nil {
				return 0, err
			}
			continue
		}
		for i := range pieces {
			if wanted(&pieces[i]) {
				return int64(at), nil
			}
			at += uint64(pieces[i].seg.Len)
		}
		if len(pieces) == 0 { // cut off meanwhile
			break
		}
	}
	if hole {
		return int64(size), nil
	}
	return 0, refuse("lseek", in.ino, "", syscall.ENXIO)
}

// nextChunk gives the first chunk from one on that may hold data: it looks at
// MaxExtentChunks of them, without keeping what it finds.
func (fs *FS) nextChunk(ctx context.Context, in *inode, first uint32) (uint32, error) {
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	_, lists, err := fs.engine.Extents(ctx, in.ino, first, meta.MaxExtentChunks)
	if err != nil {
		return 0, err
	}
	next := first + meta.MaxExtentChunks
	if len(lists) > 0 {
		next = lists[0].Index
	}
	in.mu.RLock()
	defer in.mu.RUnlock()
	for _, p := range in.generations() {
		if p == nil {
			continue
		}
		for index := range p.chunks {
			if index >= first {
				next = min(next, index)
			}
		}
	}
	return next, nil
}
