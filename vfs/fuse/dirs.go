package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mirrorfs/vfs"
)

// OpenDir opens a directory stream.
func (r *raw) OpenDir(cancel <-chan struct{}, in *gofuse.OpenIn, out *gofuse.OpenOut) gofuse.Status {
	defer r.metrics.observe(opOpenDir, r.metrics.now())
	ctx := r.asking(cancel, &in.InHeader)
	defer ctx.finish()
	d, err := r.fs.OpenDir(ctx, r.ino(in.NodeId))
	if err != nil {
		return r.status("opendir", err)
	}
	out.Fh = r.dirs.add(d)
	return gofuse.OK
}

// ReadDir gives names.
func (r *raw) ReadDir(cancel <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return r.readDir(cancel, in, func(e vfs.DirEntry) bool {
		return out.AddDirEntry(dirEntry(&e))
	})
}

// ReadDirPlus gives names with attributes, which the kernel keeps as if it had
// looked each one up. Not so "." and "..": node ID 0 tells it that.
func (r *raw) ReadDirPlus(cancel <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return r.readDir(cancel, in, func(e vfs.DirEntry) bool {
		entry := out.AddDirLookupEntry(dirEntry(&e))
		if entry == nil {
			return false
		}
		if e.Name != "." && e.Name != ".." {
			r.fillEntry(entry, &e.Node)
		}
		return true
	})
}

func (r *raw) readDir(cancel <-chan struct{}, in *gofuse.ReadIn, emit func(vfs.DirEntry) bool) gofuse.Status {
	defer r.metrics.observe(opReadDir, r.metrics.now())
	d := r.dirs.get(in.Fh)
	if d == nil {
		return gofuse.EBADF
	}
	ctx := r.asking(cancel, &in.InHeader)
	defer ctx.finish()
	return r.status("readdir", d.Read(ctx, in.Offset, emit))
}

func dirEntry(e *vfs.DirEntry) gofuse.DirEntry {
	return gofuse.DirEntry{Name: e.Name, Ino: uint64(e.Node.Ino), Mode: e.Node.Attr.Mode, Off: e.Next}
}

// ReleaseDir ends a directory stream.
func (r *raw) ReleaseDir(in *gofuse.ReleaseIn) { r.dirs.remove(in.Fh) }
