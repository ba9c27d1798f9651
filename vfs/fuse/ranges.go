package fuse

import (
	"context"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mirrorfs/vfs"
)

// Requests about ranges of files. The kernel has written dirty pages of the range back
// before it sends one, and drops its pages of a range that changed afterwards.

// maxCopyBytes is the most that the answer to a copy can tell of, in whole pages.
const maxCopyBytes = 1<<32 - 4096

// Fallocate makes a file longer or takes bytes away. What it has no room for, vfs says
// when it is written.
func (r *raw) Fallocate(cancel <-chan struct{}, in *gofuse.FallocateIn) gofuse.Status {
	defer r.metrics.observe(opFallocate, r.metrics.now())
	f := r.files.get(in.Fh)
	if f == nil {
		return gofuse.EBADF
	}
	clearSetIDOf(f, in.Uid)
	off, n := int64(in.Offset), int64(in.Length)
	var change func(ctx context.Context, off, n int64) error
	switch in.Mode {
	case 0:
		change = f.Allocate
	case unix.FALLOC_FL_KEEP_SIZE: // nothing is set aside
		return gofuse.OK
	case unix.FALLOC_FL_ZERO_RANGE:
		change = f.ZeroRange
	case unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE:
		change = f.Punch
	default:
		return gofuse.Status(unix.EOPNOTSUPP)
	}
	return r.status("fallocate", run0(r.request(cancel, &in.InHeader, f), func(ctx context.Context) error { return change(ctx, off, n) }))
}

// clearSetIDOf makes what root did not write clear setuid and setgid: the kernel says so
// only of writes.
func clearSetIDOf(f *vfs.File, uid uint32) {
	if uid != 0 {
		f.ClearSetID()
	}
}

// Lseek finds data or a hole.
func (r *raw) Lseek(cancel <-chan struct{}, in *gofuse.LseekIn, out *gofuse.LseekOut) gofuse.Status {
	defer r.metrics.observe(opLseek, r.metrics.now())
	f := r.files.get(in.Fh)
	if f == nil {
		return gofuse.EBADF
	}
	ctx := r.asking(cancel, &in.InHeader)
	defer ctx.finish()
	seek := f.SeekData
	switch in.Whence {
	case unix.SEEK_DATA:
	case unix.SEEK_HOLE:
		seek = f.SeekHole
	default:
		return gofuse.EINVAL
	}
	off, err := seek(ctx, int64(in.Offset))
	out.Offset = uint64(off)
	return r.status("lseek", err)
}

// CopyFileRange makes a range of one file share the bytes of another.
func (r *raw) CopyFileRange(cancel <-chan struct{}, in *gofuse.CopyFileRangeIn) (uint32, gofuse.Status) {
	defer r.metrics.observe(opCopy, r.metrics.now())
	src, dst := r.files.get(in.FhIn), r.files.get(in.FhOut)
	if src == nil || dst == nil {
		return 0, gofuse.EBADF
	}
	clearSetIDOf(dst, in.Uid)
	from, to, length := int64(in.OffIn), int64(in.OffOut), int64(min(in.Len, maxCopyBytes))
	n, err := run(r.request(cancel, &in.InHeader, src, dst), func(ctx context.Context) (int64, error) {
		return src.CopyRange(ctx, from, dst, to, length)
	}, nil)
	return uint32(n), r.status("copy_file_range", err)
}
