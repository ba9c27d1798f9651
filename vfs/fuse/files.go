package fuse

import (
	"bytes"
	"context"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// openFlags are those of open(2) that vfs is told. O_APPEND is not among them:
// the kernel writes dirty pages of a mapping through the same handle, at their
// place, so Write tells the two apart by request.
const openFlags = syscall.O_ACCMODE

// Create makes a file and opens it.
func (r *raw) Create(cancel <-chan struct{}, in *gofuse.CreateIn, name string, out *gofuse.CreateOut) gofuse.Status {
	defer r.metrics.observe(opCreate, r.metrics.now())
	c := meta.Make{Parent: r.ino(in.NodeId), Name: name, Mode: in.Mode&0o7777 | meta.TypeFile, Umask: in.Umask, UID: in.Uid, GID: in.Gid}
	flags := in.Flags & (openFlags | syscall.O_EXCL | syscall.O_TRUNC)
	made, err := run(r.request(cancel, &in.InHeader), func(ctx context.Context) (m created, err error) {
		m.node, m.file, err = r.fs.Create(ctx, c, flags)
		return m, err
	}, func(m created) { m.file.Release() })
	if err != nil {
		return r.status("create", err)
	}
	r.fillEntry(&out.EntryOut, &made.node)
	r.fillOpen(&out.OpenOut, made.file)
	return gofuse.OK
}

// created is what Create makes.
type created struct {
	node meta.Node
	file *vfs.File
}

// Open opens a file, and with O_TRUNC cuts it off.
//
// The kernel may have found the inode by a name that it believed in, and which
// another client has taken away or given to another file since. Then it is told
// ESTALE, looks the path up anew and opens what is there now, or was when it looked.
func (r *raw) Open(cancel <-chan struct{}, in *gofuse.OpenIn, out *gofuse.OpenOut) gofuse.Status {
	defer r.metrics.observe(opOpen, r.metrics.now())
	ctx := r.asking(cancel, &in.InHeader)
	defer ctx.finish()
	f, err := r.fs.Open(ctx, r.ino(in.NodeId), in.Flags&openFlags)
	again := r.retries.again(in.Pid, r.ino(in.NodeId), time.Now())
	if err != nil {
		st := r.inodeStatus("open", err)
		if st == gofuse.Status(syscall.ESTALE) && !again {
			r.retries.stale(in.Pid, time.Now())
		}
		return st
	}
	if !again && f.Stale() {
		f.Release()
		r.retries.stale(in.Pid, time.Now())
		return gofuse.Status(syscall.ESTALE)
	}
	if in.Flags&syscall.O_TRUNC != 0 { // not before, for the file may be another's
		c := meta.SetAttr{Ino: f.Ino(), Set: meta.SetSize}
		if in.Mode&gofuse.OPEN_KILL_SUIDGID != 0 {
			c.Set |= meta.ClearSetID
		}
		err := run0(r.request(cancel, &in.InHeader, f), func(ctx context.Context) error {
			_, err := r.fs.SetAttr(ctx, c)
			return err
		})
		if err != nil {
			r.left.release(f)
			return r.status("open", err)
		}
	} else if !r.sizes.agrees(f.Ino(), uint64(f.Size())) {
		r.outdated(f.Ino())
	}
	r.fillOpen(out, f)
	return gofuse.OK
}

// outdated makes the kernel forget the attributes of an inode, whose size it goes
// by when it reads. It is safe while the kernel waits for an answer about the
// inode, as no pages are dropped.
func (r *raw) outdated(ino meta.Ino) {
	const attributesOnly = -1
	if st := r.server.InodeNotify(r.node(ino), attributesOnly, 0); st != gofuse.OK && st != gofuse.ENOENT {
		r.log.Warn("the kernel keeps attributes that are out of date", inoAttr(ino), errnoAttr(st))
	}
}

func (r *raw) fillOpen(out *gofuse.OpenOut, f *vfs.File) {
	out.Fh = r.files.add(f)
	if f.KeepCache() {
		out.OpenFlags |= gofuse.FOPEN_KEEP_CACHE
	}
	if r.opts.LocalLocks && f.Flags()&syscall.O_ACCMODE == syscall.O_RDONLY {
		out.OpenFlags |= gofuse.FOPEN_NOFLUSH // there is nothing that its close could write
	}
}

// Write puts data into a file. Data is the kernel's order of bytes at an offset,
// except that an append goes to the end of the file as vfs knows it, which
// another client may have moved.
func (r *raw) Write(cancel <-chan struct{}, in *gofuse.WriteIn, data []byte) (uint32, gofuse.Status) {
	defer r.metrics.observe(opWrite, r.metrics.now())
	f := r.files.get(in.Fh)
	if f == nil {
		return 0, gofuse.EBADF
	}
	if in.WriteFlags&gofuse.WRITE_KILL_SUIDGID != 0 {
		f.ClearSetID()
	}
	off := int64(in.Offset)
	appends := in.Flags&syscall.O_APPEND != 0 && in.WriteFlags&gofuse.WRITE_CACHE == 0
	put := func(ctx context.Context) (w written, err error) {
		if !appends {
			w.n, err = f.Write(ctx, data, off)
			return w, err
		}
		w.off, w.n, err = f.Append(ctx, data)
		return w, err
	}
	var w written
	var err error
	if appends || r.fs.WriteWaits() {
		data = bytes.Clone(data)
		w, err = run(r.request(cancel, &in.InHeader, f), put, nil)
	} else {
		w, err = put(context.Background())
	}
	if err != nil {
		return 0, r.status("write", err)
	}
	if appends && w.off != off {
		r.misplaced(in, w.off)
	}
	return uint32(w.n), gofuse.OK
}

// written is where bytes were put, and how many.
type written struct {
	off int64 // of an append
	n   int
}

// misplaced drops the pages in which the kernel keeps appended data at an offset
// where it is not. The kernel holds their locks until the write is answered, so
// they are dropped behind.
func (r *raw) misplaced(in *gofuse.WriteIn, off int64) {
	node, from := in.NodeId, min(int64(in.Offset), off)
	go func() {
		if st := r.server.InodeNotify(node, from, 0); st != gofuse.OK && st != gofuse.ENOENT {
			r.log.Warn("the kernel keeps pages that are out of date", inoAttr(r.ino(node)), errnoAttr(st))
		}
	}()
}

// Flush is close(2) of a descriptor: what was written becomes durable, or the
// program learns that it did not.
func (r *raw) Flush(cancel <-chan struct{}, in *gofuse.FlushIn) gofuse.Status {
	defer r.metrics.observe(opFlush, r.metrics.now())
	f := r.files.get(in.Fh)
	if f == nil {
		return gofuse.EBADF
	}
	owner := in.LockOwner
	if !f.FlushWaits(owner) {
		return r.status("flush", f.Flush(context.Background()))
	}
	q := r.request(cancel, &in.InHeader, f)
	q.closing = true
	return r.status("flush", run0(q, func(ctx context.Context) error {
		err := f.Flush(ctx)
		f.ReleaseLocks(ctx, owner)
		return err
	}))
}

// Fsync makes what was written durable.
func (r *raw) Fsync(cancel <-chan struct{}, in *gofuse.FsyncIn) gofuse.Status {
	defer r.metrics.observe(opFsync, r.metrics.now())
	f := r.files.get(in.Fh)
	if f == nil {
		return gofuse.EBADF
	}
	return r.status("fsync", run0(r.request(cancel, &in.InHeader, f), f.Fsync))
}

// Release ends a handle. The program that closed it does not wait for this.
func (r *raw) Release(_ <-chan struct{}, in *gofuse.ReleaseIn) {
	defer r.metrics.observe(opRelease, r.metrics.now())
	if f := r.files.remove(in.Fh); f != nil {
		r.left.release(f)
	}
}
