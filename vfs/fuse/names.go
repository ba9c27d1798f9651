package fuse

import (
	"context"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mirrorfs/meta"
)

// Lookup finds a name. One that does not exist may be remembered as such by the
// kernel: node ID 0 with a timeout.
func (r *raw) Lookup(cancel <-chan struct{}, h *gofuse.InHeader, name string, out *gofuse.EntryOut) gofuse.Status {
	defer r.metrics.observe(opLookup, r.metrics.now())
	ctx := r.asking(cancel, h)
	defer ctx.finish()
	node, err := r.fs.Lookup(ctx, r.ino(h.NodeId), name)
	r.retries.lookedUp(h.Pid, node.Ino)
	if err != nil {
		if r.opts.NegativeTimeout > 0 && meta.Errno(err) == syscall.ENOENT {
			out.SetEntryTimeout(r.opts.NegativeTimeout)
			return gofuse.OK
		}
		return r.status("lookup", err)
	}
	r.fillEntry(out, &node)
	return gofuse.OK
}

// GetAttr gives attributes.
func (r *raw) GetAttr(cancel <-chan struct{}, in *gofuse.GetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	defer r.metrics.observe(opGetAttr, r.metrics.now())
	ctx := r.asking(cancel, &in.InHeader)
	defer ctx.finish()
	node, err := r.fs.GetAttr(ctx, r.ino(in.NodeId))
	if err != nil {
		return r.inodeStatus("getattr", err)
	}
	r.fillAttrOut(out, &node)
	return gofuse.OK
}

// SetAttr changes attributes: chmod, chown, utimensat, truncate.
func (r *raw) SetAttr(cancel <-chan struct{}, in *gofuse.SetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	defer r.metrics.observe(opSetAttr, r.metrics.now())
	c := setAttrOf(r.ino(in.NodeId), &in.SetAttrInCommon)
	uid := in.InHeader.Uid
	node, err := run(r.request(cancel, &in.InHeader), func(ctx context.Context) (meta.Node, error) {
		if c.Set == 0 {
			return r.touch(ctx, c.Ino, uid)
		}
		return r.fs.SetAttr(ctx, c)
	}, nil)
	if err != nil {
		return r.inodeStatus("setattr", err)
	}
	r.fillAttrOut(out, &node)
	return gofuse.OK
}

// touch does what comes with chown(-1, -1): a new ctime, and setuid and setgid are
// cleared. The kernel asks for the same before a write to a file with such bits, by
// whomever; Write clears them then, so only who may change the mode has it changed here.
func (r *raw) touch(ctx context.Context, ino meta.Ino, uid uint32) (meta.Node, error) {
	n, err := r.fs.GetAttr(ctx, ino)
	if err != nil {
		return n, err
	}
	const groupExecutes = 0o010
	mode := n.Attr.Mode
	cleared := n.Attr.IsFile() && (mode&meta.ModeSetUID != 0 || mode&meta.ModeSetGID != 0 && mode&groupExecutes != 0)
	if cleared && uid != 0 && uid != n.Attr.UID {
		return n, nil
	}
	return r.fs.SetAttr(ctx, meta.SetAttr{Ino: ino, Set: meta.ClearSetID})
}

// make answers mknod, mkdir and symlink.
func (r *raw) make(o op, c meta.Make, cancel <-chan struct{}, h *gofuse.InHeader, out *gofuse.EntryOut) gofuse.Status {
	defer r.metrics.observe(o, r.metrics.now())
	c.Parent, c.UID, c.GID = r.ino(h.NodeId), h.Uid, h.Gid
	node, err := run(r.request(cancel, h), func(ctx context.Context) (meta.Node, error) { return r.fs.Make(ctx, c) }, nil)
	if err != nil {
		return r.status(o.String(), err)
	}
	r.fillEntry(out, &node)
	return gofuse.OK
}

// Mknod makes a file, fifo, socket or device.
func (r *raw) Mknod(cancel <-chan struct{}, in *gofuse.MknodIn, name string, out *gofuse.EntryOut) gofuse.Status {
	return r.make(opMknod, meta.Make{Name: name, Mode: in.Mode, Umask: in.Umask, Rdev: in.Rdev}, cancel, &in.InHeader, out)
}

// Mkdir makes a directory.
func (r *raw) Mkdir(cancel <-chan struct{}, in *gofuse.MkdirIn, name string, out *gofuse.EntryOut) gofuse.Status {
	return r.make(opMkdir, meta.Make{Name: name, Mode: in.Mode&0o7777 | meta.TypeDir, Umask: in.Umask}, cancel, &in.InHeader, out)
}

// Symlink makes a symbolic link.
func (r *raw) Symlink(cancel <-chan struct{}, h *gofuse.InHeader, target, name string, out *gofuse.EntryOut) gofuse.Status {
	return r.make(opSymlink, meta.Make{Name: name, Mode: 0o777 | meta.TypeSymlink, Target: target}, cancel, h, out)
}

// Readlink gives a symbolic link's target. It never changes, so the kernel asks
// once.
func (r *raw) Readlink(cancel <-chan struct{}, h *gofuse.InHeader) ([]byte, gofuse.Status) {
	defer r.metrics.observe(opReadlink, r.metrics.now())
	ctx := r.asking(cancel, h)
	defer ctx.finish()
	target, err := r.fs.ReadLink(ctx, r.ino(h.NodeId))
	if err != nil {
		return nil, r.inodeStatus("readlink", err)
	}
	return []byte(target), gofuse.OK
}

// Link gives a file another name.
func (r *raw) Link(cancel <-chan struct{}, in *gofuse.LinkIn, name string, out *gofuse.EntryOut) gofuse.Status {
	defer r.metrics.observe(opLink, r.metrics.now())
	c := meta.Link{Ino: r.ino(in.Oldnodeid), Parent: r.ino(in.NodeId), Name: name}
	node, err := run(r.request(cancel, &in.InHeader), func(ctx context.Context) (meta.Node, error) { return r.fs.Link(ctx, c) }, nil)
	if err != nil {
		return r.status("link", err)
	}
	r.fillEntry(out, &node)
	return gofuse.OK
}

// Unlink removes the name of a file.
func (r *raw) Unlink(cancel <-chan struct{}, h *gofuse.InHeader, name string) gofuse.Status {
	defer r.metrics.observe(opUnlink, r.metrics.now())
	c := meta.Unlink{Parent: r.ino(h.NodeId), Name: name}
	return r.status("unlink", run0(r.request(cancel, h), func(ctx context.Context) error { return r.fs.Unlink(ctx, c) }))
}

// Rmdir removes an empty directory.
func (r *raw) Rmdir(cancel <-chan struct{}, h *gofuse.InHeader, name string) gofuse.Status {
	defer r.metrics.observe(opRmdir, r.metrics.now())
	c := meta.Rmdir{Parent: r.ino(h.NodeId), Name: name}
	return r.status("rmdir", run0(r.request(cancel, h), func(ctx context.Context) error { return r.fs.Rmdir(ctx, c) }))
}

// Rename moves a name. The flags of renameat2(2) have the numbers of meta's;
// RENAME_WHITEOUT is refused.
func (r *raw) Rename(cancel <-chan struct{}, in *gofuse.RenameIn, oldName, newName string) gofuse.Status {
	defer r.metrics.observe(opRename, r.metrics.now())
	flags := meta.RenameFlags(in.Flags)
	if flags&^(meta.RenameNoReplace|meta.RenameExchange) != 0 {
		return gofuse.EINVAL
	}
	c := meta.Rename{
		OldParent: r.ino(in.NodeId), OldName: oldName,
		NewParent: r.ino(in.Newdir), NewName: newName,
		Flags: flags,
	}
	return r.status("rename", run0(r.request(cancel, &in.InHeader), func(ctx context.Context) error { return r.fs.Rename(ctx, c) }))
}

// fsBlock is the unit in which sizes of the volume are told.
const fsBlock = 4096

// StatFs says how much room there is at an inode: quotas limit directories.
func (r *raw) StatFs(cancel <-chan struct{}, h *gofuse.InHeader, out *gofuse.StatfsOut) gofuse.Status {
	defer r.metrics.observe(opStatFS, r.metrics.now())
	ctx := r.asking(cancel, h)
	defer ctx.finish()
	st, err := r.fs.StatFS(ctx, r.ino(h.NodeId))
	if err != nil {
		return r.inodeStatus("statfs", err)
	}
	out.Bsize, out.Frsize, out.NameLen = fsBlock, fsBlock, meta.MaxNameBytes
	out.Blocks = st.Total.Bytes / fsBlock
	out.Bfree = (st.Total.Bytes - st.Used.Bytes) / fsBlock
	out.Bavail = st.Avail.Bytes / fsBlock
	out.Files = st.Total.Inodes
	out.Ffree = st.Total.Inodes - st.Used.Inodes
	return gofuse.OK
}
