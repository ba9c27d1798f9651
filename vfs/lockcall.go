package vfs

import (
	"context"
	"errors"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// SetLock sets, changes or releases a lock as fcntl(2) and flock(2) say, the same for all
// clients of the volume. A call that waits ends with EINTR when ctx does; others run to
// their end.
//
// A lock that is granted shows what others wrote under it, and one that is given up shows
// others what was written: that is flushed first. changed, if not nil, is called before a
// lock is granted when the kernel's pages of the file may be out of date.
func (f *File) SetLock(ctx context.Context, c LockCall, changed func()) error {
	fs := f.fs
	key := f.lockKey(&c)
	if c.Type == meta.LockNone && !fs.locks.has(key) {
		return nil
	}
	if err := f.mayUse("setlock"); err != nil {
		return err
	}
	_ = fs.flush(ctx, f.in) // a failure is reported by the next write, fsync or close
	h := fs.locks.use(key)
	select {
	case h.busy <- struct{}{}:
	case <-ctx.Done():
		fs.locks.done(h)
		return refuse("setlock", f.in.ino, "", ctx.Err())
	}
	// The call may outlive the program that made it.
	done := make(chan error, 1)
	fs.calls.Go(func() {
		defer fs.locks.done(h)
		defer func() { <-h.busy }()
		done <- f.setLock(ctx, h, &c, changed)
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return refuse("setlock", f.in.ino, "", ctx.Err())
	}
}

// setLock makes a call to the engine, in its turn, and notes what came of it.
func (f *File) setLock(ctx context.Context, h *heldLocks, c *LockCall, changed func()) error {
	fs := f.fs
	bounded, cancel := detached(ctx, fs.opts.MetaTimeout)
	defer cancel()
	if err := fs.ensureSession(bounded); err != nil {
		return err
	}
	if err := fs.settle(bounded, h); err != nil {
		return err
	}
	q := f.request(c, h)
	q.Polite = fs.locks.holdsNothing(h)
	before := fs.learned.Load()
	ans, err := f.ask(ctx, bounded, &q)
	if err == nil && ctx.Err() != nil && c.Type != meta.LockNone {
		err = refuse("setlock", f.in.ino, "", ctx.Err()) // nobody waits for it any more
		fs.locks.owe(h)
	} else {
		fs.noteLock(f, h, c, err)
	}
	switch {
	case err != nil:
		_ = fs.settle(bounded, h) // else the next heartbeat does
	case c.Type != meta.LockNone && fs.sawUnderLock(f.in, &ans, before) && changed != nil:
		changed()
	}
	return err
}

// ask makes a call, under a new session if the old one is over and nothing depended on it. A
// whole-file lock that a close has left behind is still being given up: that is waited for.
func (f *File) ask(ctx, bounded context.Context, q *meta.LockRequest) (meta.LockAnswer, error) {
	fs := f.fs
	era := fs.session.era.Load()
	ended := fs.locks.ended.Load()
	ans, err := fs.engine.SetLock(ctx, *q)
	switch {
	case isSessionEnded(err):
		held := f.locked.Load() > 0
		if err := fs.renewSession(bounded, era); err != nil {
			return ans, err
		}
		if held || q.Type == meta.LockNone {
			return ans, refuse("setlock", f.in.ino, "", errLockLost)
		}
		ans, err = fs.engine.SetLock(ctx, *q)
	case errors.Is(err, syscall.EAGAIN) && q.Kind == meta.LockFile && ans.Holder.Mine && fs.locks.isEnding(f.in.ino, ended):
		again := *q
		again.Wait = true
		short, cancel := context.WithTimeout(ctx, endingPatience)
		defer cancel()
		if ans, err = fs.engine.SetLock(short, again); errors.Is(err, syscall.EINTR) && ctx.Err() == nil {
			err = refuse("setlock", f.in.ino, "", syscall.EAGAIN)
		}
	}
	return ans, err
}

// endingPatience is how long a lock is waited for that a close of this client gives up.
const endingPatience = time.Second

// noteLock notes what came of a call.
func (fs *FS) noteLock(f *File, h *heldLocks, c *LockCall, err error) {
	l := &fs.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		if c.Type != meta.LockNone {
			h.add(f)
			h.pid = c.PID
		}
		l.set(h, meta.WithLock(h.ranges, c.LockedRange))
	case errors.Is(err, meta.ErrUnreachable):
		h.owed = true // of a release too: the program may take it for done
	case c.Kind == meta.LockFile && c.Type != meta.LockNone:
		l.set(h, nil) // what was converted is gone
	}
}

// settle makes the engine hold what this client believes, if that is in doubt. busy is held.
func (fs *FS) settle(ctx context.Context, h *heldLocks) error {
	l := &fs.locks
	l.mu.Lock()
	owed := h.owed
	o := meta.OwnerLocks{Ino: h.key.ino, Kind: h.key.kind, Owner: h.owner.number, PID: h.pid, Ranges: h.ranges}
	l.mu.Unlock()
	if !owed {
		return nil
	}
	return fs.assert(ctx, h, o)
}

func (fs *FS) assert(ctx context.Context, h *heldLocks, o meta.OwnerLocks) error {
	era := fs.session.era.Load()
	err := fs.engine.AssertLocks(ctx, o)
	l := &fs.locks
	switch {
	case isSessionEnded(err):
		if err := fs.renewSession(ctx, era); err != nil {
			return err
		}
		return refuse("setlock", h.key.ino, "", errLockLost)
	case errors.Is(err, syscall.EAGAIN):
		l.mu.Lock()
		for f := range h.files {
			f.lost.Store(true)
			f.in.forfeitWrites()
		}
		l.set(h, nil)
		h.owed = false
		l.mu.Unlock()
		fs.log.ErrorContext(ctx, "the server forgot a lock, and somebody else has it", inoAttr(h.key.ino))
		return refuse("setlock", h.key.ino, "", errLockLost)
	}
	l.mu.Lock()
	h.owed = err != nil
	l.mu.Unlock()
	return err
}

// sawUnderLock takes over what a lock was granted with, asked for when FS.learned was before,
// and reports whether the kernel may know something else of the file.
func (fs *FS) sawUnderLock(in *inode, ans *meta.LockAnswer, before uint64) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	same := in.valid && in.sure && in.pagesOK
	if ans.Node.Ino == 0 || in.learned > before { // none to tell, or an answer older than a change
		in.forget()
		return true
	}
	same = same && in.attr.Version == ans.Node.Attr.Version && in.attr.Size == ans.Node.Attr.Size
	if !in.sure {
		in.forget()
	}
	in.adopt(&ans.Node.Attr, fs.now())
	in.pagesOK = true
	return !same
}

// ReleaseLocks releases what an owner has locked in this file by fcntl(2): what close(2) of any
// of its descriptors does. What was written is flushed before.
func (f *File) ReleaseLocks(ctx context.Context, owner uint64) {
	key := lockKey{f.in.ino, meta.LockRange, owner}
	if f.fs.locks.has(key) {
		f.fs.release(ctx, key)
	}
}

// release gives up all that an owner holds of a file. When that fails, it is owed.
func (fs *FS) release(ctx context.Context, key lockKey) {
	h := fs.locks.use(key)
	defer fs.locks.done(h)
	ctx, cancel := detached(ctx, fs.opts.MetaTimeout)
	defer cancel()
	select {
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	case <-ctx.Done():
	}
	l := &fs.locks
	l.mu.Lock()
	held := len(h.ranges) > 0 || h.owed
	l.set(h, nil)
	h.owed = held
	l.mu.Unlock()
	_ = fs.settle(ctx, h)
}

// releaseHandle gives up what belongs to a handle that is closed for good: its whole-file
// lock, and the ranges of an owner that is the open file itself.
func (f *File) releaseHandle() {
	if f.locked.Load() == 0 {
		return
	}
	l := &f.fs.locks
	l.mu.Lock()
	var keys []lockKey
	for key, h := range l.all {
		if _, ok := h.files[f]; ok {
			keys = append(keys, key)
		}
	}
	l.mu.Unlock()
	l.ending(f.in.ino, len(keys))
	for _, key := range keys {
		f.fs.release(context.Background(), key)
		l.ending(f.in.ino, -1)
	}
}

// claimLocks tells a server that may have lost locks what is held, and that this is all.
func (fs *FS) claimLocks(ctx context.Context) error {
	for _, h := range fs.locks.everything() {
		if err := fs.claim(ctx, h, true); err != nil && !errors.Is(err, errLockLost) {
			return err
		}
	}
	return fs.engine.ConfirmLocks(ctx)
}

// settleLocks tells the engine what it is owed.
func (fs *FS) settleLocks(ctx context.Context) {
	for _, h := range fs.locks.everything() {
		_ = fs.claim(ctx, h, false) // again at the next heartbeat
	}
}

// claim asserts what an owner holds of a file; when it is not in doubt, only if all.
func (fs *FS) claim(ctx context.Context, h *heldLocks, all bool) error {
	defer fs.locks.done(h)
	select {
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	default: // a call is under way: it will see for itself, unless the server asks
		if !all {
			return nil
		}
	}
	fs.locks.mu.Lock()
	h.owed = h.owed || all && len(h.ranges) > 0
	fs.locks.mu.Unlock()
	return fs.settle(ctx, h)
}
