package vfs

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"time"

	"mirrorfs/meta"
	"mirrorfs/object"
)

// The wait before a commit that failed is tried again behind.
const (
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// Flush is what close(2) does: when it returns nil, what was written to the file
// before is durable and everyone who opens the file sees it. A handle that
// cannot write, and a file without a name, have nothing to flush. It costs no
// round trip when nothing is buffered, and one Commit otherwise.
func (f *File) Flush(ctx context.Context) error {
	if !f.writable() {
		return nil
	}
	f.in.mu.RLock()
	unlinked := f.in.valid && f.in.attr.Nlink == 0
	f.in.mu.RUnlock()
	if unlinked {
		return f.report("close")
	}
	return f.sync(ctx, "close")
}

// FlushWaits reports whether a Flush, and a ReleaseLocks for an owner, have to wait for anything.
func (f *File) FlushWaits(owner uint64) bool {
	f.in.mu.RLock()
	buffering := f.writable() && f.in.buffering()
	f.in.mu.RUnlock()
	return buffering || f.fs.locks.has(lockKey{f.in.ino, meta.LockRange, owner})
}

// Fsync is Flush for every kind of handle and file.
func (f *File) Fsync(ctx context.Context) error { return f.sync(ctx, "fsync") }

func (f *File) sync(ctx context.Context, op string) error {
	if err := f.mayUse(op); err != nil {
		return err
	}
	err := f.fs.flush(ctx, f.in)
	if failure := f.report(op); failure != nil {
		return failure
	}
	return err
}

// flush commits what is buffered of a file. Callers at the same time share the
// work: the second finds nothing left to do.
func (fs *FS) flush(ctx context.Context, in *inode) error {
	in.mu.RLock()
	clean := !in.buffering()
	in.mu.RUnlock()
	if clean {
		return nil
	}
	ctx, cancel := detached(ctx, fs.opts.FlushTimeout)
	defer cancel()
	if err := in.hold(ctx); err != nil {
		return err
	}
	defer in.letGo()
	return fs.flushHeld(ctx, in)
}

// hold takes the flushing semaphore.
func (in *inode) hold(ctx context.Context) error {
	select {
	case in.flushing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return refuse("flush", in.ino, "", ctx.Err())
	}
}

func (in *inode) letGo() { <-in.flushing }

// flushHeld is flush for who holds in.flushing.
func (fs *FS) flushHeld(ctx context.Context, in *inode) error {
	if in.forfeit.Swap(false) {
		err := refuse("flush", in.ino, "", errLockLost)
		in.write.Lock()
		defer in.write.Unlock()
		fs.giveUp(ctx, in, err)
		return err
	}
	for {
		p, left := in.sealActive()
		if p == nil {
			return nil
		}
		if err := fs.publish(ctx, in, p); err != nil || !left {
			return err
		}
	}
}

// publish commits a generation that takes no more. in.flushing is held.
func (fs *FS) publish(ctx context.Context, in *inode, p *pending) error {
	if err := p.finish(ctx); err != nil {
		return fs.uploadFailed(ctx, in, p, refuse("upload", in.ino, "", err))
	}
	if err := p.check(ctx, fs); errors.Is(err, object.ErrNotExist) {
		return fs.uploadFailed(ctx, in, p, &meta.Error{Op: "commit", Ino: in.ino, Errno: syscall.EIO, Err: err})
	} else if err != nil {
		return fs.commitFailed(ctx, in, p, refuse("commit", in.ino, "", err))
	}
	commit := fs.commitPlain
	if p.isAppend() {
		commit = fs.commitAppend
	}
	if err := commit(ctx, in, p); err != nil {
		return fs.commitFailed(ctx, in, p, err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.sealed, in.retryAt, in.backoff = nil, 0, 0
	if in.active == nil {
		fs.dirty.remove(fs, in)
	}
	fs.metrics.flushes.Inc()
	return nil
}

const (
	// maxCompactTries bounds how often one commit makes room in a list for itself.
	maxCompactTries = 8
	// maxPieces is how many extents fit into any list that was compacted, to 1,024: each can
	// cut one of those in two.
	maxPieces = (meta.MaxChunkExtents - 1024) / 2
)

// commit makes a commit, in parts when it is too much for one call. in.flushing is held.
func (fs *FS) commit(ctx context.Context, in *inode, c meta.Commit) error {
	for try := 0; ; try++ {
		res, err := fs.send(ctx, c)
		switch {
		case err == nil:
			in.mu.Lock()
			in.learned = fs.learned.Add(1)
			in.committed(&res.Node.Attr, c.Chunks, fs.now())
			in.mu.Unlock()
			fs.noteCommit(&c, &res)
			return nil
		case !errors.Is(err, meta.ErrTooMuch) || try == maxCompactTries:
			return err
		case len(c.Chunks) > 1 || len(c.Chunks[0].Extents) > maxPieces:
			first, rest := halves(c)
			if err := fs.commit(ctx, in, first); err != nil {
				return err
			}
			c, try = rest, -1
		default: // the chunk's list is full
			if err := fs.compactNow(ctx, in, c.Chunks[0].Index); err != nil {
				return err
			}
		}
	}
}

// halves cuts a commit in two: by chunks, or by the extents of the only one, which do not overlap.
func halves(c meta.Commit) (first, rest meta.Commit) {
	first, rest = c, c
	first.Size = 0
	if half := len(c.Chunks) / 2; half > 0 {
		first.Chunks, rest.Chunks = c.Chunks[:half], c.Chunks[half:]
		return first, rest
	}
	only := c.Chunks[0]
	half := len(only.Extents) / 2
	first.Chunks = []meta.ChunkExtents{{Index: only.Index, Extents: only.Extents[:half]}}
	rest.Chunks = []meta.ChunkExtents{{Index: only.Index, Extents: only.Extents[half:]}}
	return first, rest
}

// sealActive makes what is buffered the sealed generation, or returns nil. One that is left
// from before comes first; then there is more to do.
func (in *inode) sealActive() (p *pending, left bool) {
	in.write.Lock()
	defer in.write.Unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.sealed != nil {
		return in.sealed, true
	}
	if p = in.active; p == nil {
		return nil, false
	}
	p.seal()
	in.sealed, in.active = p, nil
	return p, false
}

// uploadFailed gives up what is buffered, unless a write that failed did so.
func (fs *FS) uploadFailed(ctx context.Context, in *inode, p *pending, err error) error {
	in.write.Lock()
	defer in.write.Unlock()
	in.mu.RLock()
	mine := in.sealed == p
	in.mu.RUnlock()
	if mine {
		fs.giveUp(ctx, in, err)
	}
	return err
}

// commitFailed keeps what could not be committed for another attempt, or gives
// it up when no attempt can succeed.
func (fs *FS) commitFailed(ctx context.Context, in *inode, p *pending, err error) error {
	in.write.Lock()
	defer in.write.Unlock()
	if !mayPass(err) {
		fs.giveUp(ctx, in, err)
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.sealed != p { // a write that failed gave it up
		return err
	}
	if p.isAppend() {
		p.again = true
	} else {
		if in.active != nil {
			p.over(in.active)
		}
		in.sealed, in.active = nil, p
	}
	in.backoff = min(max(2*in.backoff, int64(minBackoff)), int64(maxBackoff))
	in.retryAt = fs.now() + in.backoff
	fs.dirty.later(in, fs.now())
	fs.log.WarnContext(ctx, "commit failed and will be tried again", inoAttr(in.ino), errAttr(err))
	return err
}

func inoAttr(ino meta.Ino) slog.Attr { return slog.Uint64("inode", uint64(ino)) }

func errAttr(err error) slog.Attr { return slog.Any("error", err) }
