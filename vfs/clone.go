package vfs

import (
	"context"
	"errors"
	"syscall"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// copyBytes is how much is copied byte by byte when the extents of a range are too many
// to be shared in one call.
const copyBytes = 1 << 20

// CopyRange makes n bytes at dstOff of dst hold what n bytes at srcOff of f hold, and
// tells how many it did: fewer at the end of f, and when a file is very fragmented. No
// bytes are copied: both refer to the same slices. What is buffered of both files is flushed
// first, then it is one round trip. EINVAL when the ranges overlap in one file.
func (f *File) CopyRange(ctx context.Context, srcOff int64, dst *File, dstOff, n int64) (int64, error) {
	const op = "copy"
	switch {
	case !f.readable() || !dst.writable():
		return 0, refuse(op, dst.in.ino, "", syscall.EBADF)
	case srcOff < 0 || dstOff < 0 || n < 0:
		return 0, refuse(op, dst.in.ino, "", syscall.EINVAL)
	case dstOff >= meta.MaxFileBytes && n > 0:
		return 0, refuse(op, dst.in.ino, "", syscall.EFBIG)
	}
	if err := dst.report(op); err != nil {
		return 0, err
	}
	n = min(n, meta.MaxFileBytes-dstOff, meta.MaxCloneBytes)
	ctx, cancel := detached(ctx, f.fs.opts.FlushTimeout)
	defer cancel()
	for try := 0; ; try++ {
		done, err := f.clone(ctx, srcOff, dst, dstOff, n)
		var e *meta.Error
		switch {
		case errors.Is(err, meta.ErrTooMuch) && n > copyBytes:
			n = max(n/2, copyBytes)
		case errors.Is(err, meta.ErrTooMuch):
			return f.copy(ctx, srcOff, dst, dstOff, n)
		case errors.As(err, &e) && e.Op == meta.OpClone.String() && e.Errno == syscall.EINVAL && try < maxReplans:
			if err := f.fs.refresh(ctx, f.in); err != nil { // cut off meanwhile
				return 0, err
			}
		default:
			return done, err
		}
	}
}

// clone is CopyRange once.
func (f *File) clone(ctx context.Context, srcOff int64, dst *File, dstOff, n int64) (int64, error) {
	fs := f.fs
	if err := fs.flush(ctx, f.in); err != nil {
		return 0, err
	}
	if err := fs.freshSize(ctx, f.in); err != nil {
		return 0, err
	}
	n = min(n, f.Size()-srcOff)
	if n <= 0 {
		return 0, nil
	}
	if f.in == dst.in && srcOff < dstOff+n && dstOff < srcOff+n {
		return 0, refuse("copy", f.in.ino, "", syscall.EINVAL)
	}
	if err := dst.in.hold(ctx); err != nil {
		return 0, err
	}
	defer dst.in.letGo()
	if err := fs.flushHeld(ctx, dst.in); err != nil {
		return 0, err
	}
	res, err := fs.send(ctx, meta.Clone{
		Src: f.in.ino, Dst: dst.in.ino, SrcOff: uint64(srcOff), DstOff: uint64(dstOff), Len: uint64(n),
		ClearSetID: dst.clearSetID.Load(),
	})
	if err != nil {
		return 0, err
	}
	fs.learn(&res, 0)
	return n, nil
}

// copy copies bytes.
func (f *File) copy(ctx context.Context, srcOff int64, dst *File, dstOff, n int64) (int64, error) {
	spans, err := f.Read(ctx, srcOff, int(n))
	if err != nil {
		return 0, err
	}
	defer chunk.ReleaseAll(spans)
	done := int64(0)
	for i := range spans {
		p, err := spans[i].Bytes()
		if err != nil {
			return done, refuse("copy", f.in.ino, "", err)
		}
		k, err := dst.Write(ctx, p, dstOff+done)
		done += int64(k)
		if err != nil {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
	}
	return done, nil
}
