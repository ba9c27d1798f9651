package vfs

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/object"
)

const (
	// loadChunks is how many chunks' extents are fetched per round trip.
	loadChunks = 16
	// maxReplans bounds how often a read starts over because the file changed
	// under it.
	maxReplans = 8
)

// Read gives the n bytes at off as spans, fewer at the end of the file and
// none past it. It sees all that was written through this FS before. The caller
// releases each span when it has used it. A block that can be had nowhere is
// EIO, never zeros.
func (f *File) Read(ctx context.Context, off int64, n int) ([]chunk.Span, error) {
	if !f.readable() {
		return nil, refuse("read", f.in.ino, "", syscall.EBADF)
	}
	if off < 0 || n < 0 {
		return nil, refuse("read", f.in.ino, "", syscall.EINVAL)
	}
	if err := f.mayUse("read"); err != nil {
		return nil, err
	}
	fs, in := f.fs, f.in
	var few [8]piece
	var failed []piece // the last attempt, and why
	var cause error
	for try := 0; ; try++ {
		pieces, missing, ok := in.plan(few[:0], uint64(off), n)
		if !ok {
			if try == maxReplans {
				return nil, refuse("read", in.ino, "", errMoving)
			}
			if err := fs.load(ctx, in, missing); err != nil {
				return nil, err
			}
			continue
		}
		if cause != nil && slices.Equal(pieces, failed) { // nothing has changed
			return nil, fs.readFailed(ctx, in, cause)
		}
		f.lookAhead(off, int64(n)) //nolint:contextcheck // read-ahead outlives the read
		spans, err := fs.fetch(ctx, pieces)
		if err == nil {
			fs.accessedFile(in)
			return spans, nil
		}
		if try == maxReplans || !fs.outdated(ctx, in, err) {
			return nil, fs.readFailed(ctx, in, err)
		}
		if failed, cause = slices.Clone(pieces), err; errors.Is(err, chunk.ErrAborted) {
			cause = nil // the pieces that were buffered are found out by themselves
		}
	}
}

// readFailed makes the error of a read, and logs it unless the reader gave up.
func (fs *FS) readFailed(ctx context.Context, in *inode, err error) error {
	err = refuse("read", in.ino, "", err)
	if ctx.Err() == nil {
		fs.log.ErrorContext(ctx, "read failed", inoAttr(in.ino), errAttr(err))
	}
	return err
}

// lookAhead begins to fetch what a sequential reader will want next, as far as
// its extents are known.
func (f *File) lookAhead(off, n int64) {
	f.mu.Lock()
	from, to := f.ahead.Next(off, n)
	f.mu.Unlock()
	if from >= to {
		return
	}
	pieces, _, ok := f.in.plan(nil, uint64(from), int(to-from))
	if !ok {
		return
	}
	segs := make([]chunk.Segment, 0, len(pieces))
	for i := range pieces {
		if pieces[i].w == nil {
			segs = append(segs, pieces[i].seg)
		}
	}
	f.fs.blocks.Prefetch(segs)
}

// errMoving: extents changed faster than they could be fetched.
var errMoving = errors.New("the file changes too fast to be read")

// plan finds where the n bytes at off are. ok is false when the extents of the
// chunk missing must be loaded first.
func (in *inode) plan(dst []piece, off uint64, n int) (pieces []piece, missing uint32, ok bool) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	size := in.size()
	if off >= size {
		return nil, 0, true
	}
	for left := min(uint64(n), size-off); left > 0; {
		index, pos := uint32(off/chunk.Bytes), uint32(off%chunk.Bytes)
		k := min(left, chunk.Bytes-uint64(pos))
		committed, known := in.extents(index)
		if !known {
			return nil, index, false
		}
		var layers [3]layer
		all := layers[:0]
		for _, p := range in.generations() {
			if p != nil && p.chunks[index] != nil {
				all = append(all, layer{m: p.chunks[index], from: p})
			}
		}
		if committed != nil {
			all = append(all, layer{m: committed})
		}
		dst = cover(dst, all, pos, uint32(k))
		off, left = off+k, left-k
	}
	return dst, 0, true
}

// fetch reads pieces: committed ones through the cache, together where they
// follow each other, uncommitted ones from their writers.
func (fs *FS) fetch(ctx context.Context, pieces []piece) (spans []chunk.Span, err error) {
	var few [8]chunk.Segment
	for len(pieces) > 0 {
		segs := few[:0]
		for len(pieces) > 0 && pieces[0].w == nil {
			segs = append(segs, pieces[0].seg)
			pieces = pieces[1:]
		}
		var got []chunk.Span
		if len(segs) > 0 {
			got, err = fs.blocks.Read(ctx, segs)
		} else {
			p := &pieces[0]
			pieces = pieces[1:]
			buf := make([]byte, p.seg.Len)
			err = p.w.ReadAt(ctx, buf, p.seg.Off)
			got = []chunk.Span{{Data: buf, Len: len(buf)}}
		}
		if err != nil {
			chunk.ReleaseAll(spans)
			return nil, err
		}
		if spans == nil {
			spans = got
		} else {
			spans = append(spans, got...)
		}
	}
	return spans, nil
}

// outdated reports whether a read may have failed because it went by extents that are
// not those of the file any more: then it tries again by what they are now.
func (fs *FS) outdated(ctx context.Context, in *inode, err error) bool {
	switch {
	case errors.Is(err, chunk.ErrAborted): // cut off or given up meanwhile
		return true
	case errors.Is(err, object.ErrNotExist): // perhaps freed since
		in.mu.Lock()
		in.forgetExtents()
		in.mu.Unlock()
		return fs.refresh(ctx, in) == nil
	}
	return false
}

// load fetches the extents of some chunks from first on, unless somebody else
// just did. One at a time does so per inode.
func (fs *FS) load(ctx context.Context, in *inode, first uint32) error {
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	select {
	case in.loading <- struct{}{}:
	case <-ctx.Done():
		return refuse("read", in.ino, "", ctx.Err())
	}
	defer func() { <-in.loading }()
	in.mu.RLock()
	_, known := in.extents(first)
	known = known && in.sure
	in.mu.RUnlock()
	if known {
		return nil
	}
	before := fs.learned.Load()
	node, lists, err := fs.engine.Extents(ctx, in.ino, first, loadChunks)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.learned > before && in.valid && node.Attr.Version != in.attr.Version {
		return nil // the answer is older than a change of this client: ask again if need be
	}
	in.loaded(&node.Attr, first, lists, fs.now())
	fs.noteLists(in.ino, lists)
	return nil
}

// loaded takes over extents that were asked for. mu is held.
func (in *inode) loaded(a *meta.Attr, first uint32, lists []meta.ChunkExtents, now int64) {
	got := make(map[uint32]*extentMap, len(lists))
	for _, l := range lists {
		got[l.Index] = flatten(l.Extents)
	}
	if in.valid && !in.sure && in.matches(a, first, got) {
		in.sure = true
	} else if !in.sure {
		in.forget()
	}
	in.adopt(a, now)
	all := (a.Size + chunk.Bytes - 1) / chunk.Bytes
	if first == 0 && all <= loadChunks {
		in.chunks, in.complete = got, true
		return
	}
	if in.chunks == nil {
		in.chunks = make(map[uint32]*extentMap, loadChunks)
	}
	for index := first; index < first+loadChunks && uint64(index) < all; index++ {
		m := got[index]
		if m == nil {
			m = &extentMap{}
		}
		in.chunks[index] = m
	}
}

// matches reports whether the whole file is as this client believed. mu is held.
func (in *inode) matches(a *meta.Attr, first uint32, got map[uint32]*extentMap) bool {
	if first != 0 || !in.complete || a.Version != in.attr.Version || a.Size != in.attr.Size || a.Size > loadChunks*chunk.Bytes {
		return false
	}
	empty := &extentMap{}
	for index := uint32(0); uint64(index)*chunk.Bytes < a.Size; index++ {
		x, y := in.chunks[index], got[index]
		if x == nil {
			x = empty
		}
		if y == nil {
			y = empty
		}
		if !x.equal(y) {
			return false
		}
	}
	return true
}
