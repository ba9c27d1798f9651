package fuse

import (
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
func (r *raw) Fallocate(_ <-chan struct{}, in *gofuse.FallocateIn) gofuse.Status {
	defer r.metrics.observe(opFallocate, r.metrics.now())
	f := r.files.get(in.Fh)
	if f == nil {
		return gofuse.EBADF
	}
	clearSetIDOf(f, in.Uid)
	off, n := int64(in.Offset), int64(in.Length)
	switch in.Mode {
	case 0:
		return r.status("fallocate", f.Allocate(changing(), off, n))
	case unix.FALLOC_FL_KEEP_SIZE: // nothing is set aside
		return gofuse.OK
	case unix.FALLOC_FL_ZERO_RANGE:
		return r.status("fallocate", f.ZeroRange(changing(), off, n))
	case unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE:
		return r.status("fallocate", f.Punch(changing(), off, n))
	default:
		return gofuse.Status(unix.EOPNOTSUPP)
	}
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
func (r *raw) CopyFileRange(_ <-chan struct{}, in *gofuse.CopyFileRangeIn) (uint32, gofuse.Status) {
	defer r.metrics.observe(opCopy, r.metrics.now())
	src, dst := r.files.get(in.FhIn), r.files.get(in.FhOut)
	if src == nil || dst == nil {
		return 0, gofuse.EBADF
	}
	clearSetIDOf(dst, in.Uid)
	n, err := src.CopyRange(changing(), int64(in.OffIn), dst, int64(in.OffOut), int64(min(in.Len, maxCopyBytes)))
	return uint32(n), r.status("copy_file_range", err)
}
