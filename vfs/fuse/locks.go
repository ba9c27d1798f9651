package fuse

import (
	"context"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// lockCall reads a request for a lock.
func lockCall(in *gofuse.LkIn) (vfs.LockCall, bool) {
	c := vfs.LockCall{
		Kind: meta.LockRange, Owner: in.Owner, PID: in.Lk.Pid,
		LockedRange: meta.LockedRange{First: in.Lk.Start, Last: in.Lk.End},
	}
	if in.LkFlags&gofuse.FUSE_LK_FLOCK != 0 {
		c.Kind, c.LockedRange = meta.LockFile, meta.WholeFile(meta.LockNone)
	}
	switch in.Lk.Typ {
	case unix.F_RDLCK:
		c.Type = meta.LockShared
	case unix.F_WRLCK:
		c.Type = meta.LockExclusive
	case unix.F_UNLCK:
	default:
		return c, false
	}
	return c, true
}

// GetLk is F_GETLK: it tells the first lock in the way.
func (r *raw) GetLk(cancel <-chan struct{}, in *gofuse.LkIn, out *gofuse.LkOut) gofuse.Status {
	f := r.files.get(in.Fh)
	c, ok := lockCall(in)
	if f == nil || !ok {
		return gofuse.EBADF
	}
	ctx := r.asking(cancel, &in.InHeader)
	defer ctx.finish()
	held, err := f.GetLock(ctx, c)
	if err != nil {
		return r.status("getlk", err)
	}
	out.Lk = in.Lk
	switch held.Type {
	case meta.LockNone:
		out.Lk.Typ = unix.F_UNLCK
		return gofuse.OK
	case meta.LockShared:
		out.Lk.Typ = unix.F_RDLCK
	case meta.LockExclusive:
		out.Lk.Typ = unix.F_WRLCK
	}
	out.Lk.Start, out.Lk.End, out.Lk.Pid = held.First, held.Last, held.PID
	return gofuse.OK
}

// SetLk is F_SETLK, and flock(2) with LOCK_NB or LOCK_UN. It is given up only when the program
// is being killed.
func (r *raw) SetLk(cancel <-chan struct{}, in *gofuse.LkIn) gofuse.Status {
	ctx := r.reading(cancel, &in.InHeader)
	defer ctx.finish()
	c, ok := lockCall(in)
	if !ok {
		return gofuse.EINVAL
	}
	return r.setLock(ctx, in, c)
}

// SetLkw is F_SETLKW, and flock(2): it waits. Any signal ends the wait, and the kernel asks again
// if that is what the program's handler wants.
func (r *raw) SetLkw(cancel <-chan struct{}, in *gofuse.LkIn) gofuse.Status {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		select {
		case <-cancel:
			stop()
		case <-ctx.Done():
		}
	}()
	c, ok := lockCall(in)
	if !ok {
		return gofuse.EINVAL
	}
	c.Wait = c.Type != meta.LockNone
	return r.setLock(ctx, in, c)
}

func (r *raw) setLock(ctx context.Context, in *gofuse.LkIn, c vfs.LockCall) gofuse.Status {
	f := r.files.get(in.Fh)
	if f == nil {
		return gofuse.EBADF
	}
	err := f.SetLock(ctx, c, func() {
		// Before the program has the lock: it must not read what was before.
		if st := r.server.InodeNotify(in.NodeId, 0, 0); st != gofuse.OK && st != gofuse.ENOENT {
			r.log.WarnContext(ctx, "the kernel keeps pages that are out of date", inoAttr(f.Ino()), errnoAttr(st))
		}
	})
	if errno := meta.Errno(err); errno == unix.EAGAIN || errno == unix.EINTR || errno == unix.EDEADLK {
		return gofuse.Status(errno)
	}
	return r.status("setlk", err)
}
