package vfs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"mirrorfs/meta"
)

// errLockLost: the session under which a lock was held is over, or nobody can say
// any more that it is not. Somebody else may have the lock.
var errLockLost = errors.New("the lock on this file was lost: this client was cut off for too long")

// LockCall is one call of fcntl(2) or flock(2).
type LockCall struct {
	Kind meta.LockKind
	// Owner is who the program is to the kernel. The locks of flock(2) belong to the
	// open file instead.
	Owner uint64
	PID   uint32
	meta.LockedRange
	Wait bool
}

// lockKey names what one owner holds of one file.
type lockKey struct {
	ino   meta.Ino
	kind  meta.LockKind
	owner uint64 // the kernel's for LockRange, File.serial for LockFile
}

// lockOwner is an owner as the engine knows it.
type lockOwner struct {
	number meta.LockOwner
	files  int // lockKeys that use it
}

// ownerKey is an owner whatever the file.
type ownerKey struct {
	kind  meta.LockKind
	owner uint64
}

// locks is what programs of this client have locked.
type locks struct {
	mu     sync.Mutex
	all    map[lockKey]*heldLocks
	owners map[ownerKey]*lockOwner
	last   meta.LockOwner
	// sureUntil is when the session may be over without our knowing (ns): its life
	// counted from when the last heartbeat was sent.
	sureUntil int64
	// underway counts locks that a close has left and that are being given up, by file;
	// ended counts those that were.
	underway map[meta.Ino]int
	ended    atomic.Uint64
}

// heldLocks is what an owner holds of a file.
type heldLocks struct {
	key   lockKey
	owner *lockOwner
	pid   uint32
	// busy is held during a call to the engine: an owner's calls are in order.
	busy chan struct{}

	// Guarded by locks.mu.
	users  int // calls under way or waiting for busy
	ranges []meta.LockedRange
	// owed says that the engine may hold something else for this owner: it is told
	// before anything else is asked, and now and then.
	owed bool
	// files are the handles that locked something.
	files map[*File]struct{}
}

func (l *locks) init() {
	l.all = map[lockKey]*heldLocks{}
	l.owners = map[ownerKey]*lockOwner{}
	l.underway = map[meta.Ino]int{}
}

// ending notes that n more locks are being given up that a close has left; -1 that one was.
func (l *locks) ending(ino meta.Ino, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.underway[ino] += n; l.underway[ino] == 0 {
		delete(l.underway, ino)
	}
	if n < 0 {
		l.ended.Add(1)
	}
}

// isEnding reports whether locks of a file are being given up, or some were since ended was read.
func (l *locks) isEnding(ino meta.Ino, ended uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.underway[ino] > 0 || l.ended.Load() != ended
}

// owe notes that the engine may hold something else than this client believes.
func (l *locks) owe(h *heldLocks) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.owed = true
}

// use gives an owner's locks of a file, to be given back by done.
func (l *locks) use(key lockKey) *heldLocks {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.all[key]
	if h == nil {
		who := ownerKey{key.kind, key.owner}
		o := l.owners[who]
		if o == nil {
			l.last++
			o = &lockOwner{number: l.last}
			l.owners[who] = o
		}
		o.files++
		h = &heldLocks{key: key, owner: o, busy: make(chan struct{}, 1), files: map[*File]struct{}{}}
		l.all[key] = h
	}
	h.users++
	return h
}

func (l *locks) done(h *heldLocks) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.users--
	l.tidy(h)
}

// tidy forgets what holds nothing. mu is held.
func (l *locks) tidy(h *heldLocks) {
	if h.users > 0 || len(h.ranges) > 0 || h.owed || l.all[h.key] != h {
		return
	}
	delete(l.all, h.key)
	if h.owner.files--; h.owner.files == 0 {
		delete(l.owners, ownerKey{h.key.kind, h.key.owner})
	}
}

// set notes what an owner holds now. mu is held.
func (l *locks) set(h *heldLocks, ranges []meta.LockedRange) {
	h.ranges = ranges
	if len(ranges) == 0 {
		for f := range h.files {
			f.locked.Add(-1)
		}
		clear(h.files)
	}
}

// add notes that a handle has locked something. mu is held.
func (h *heldLocks) add(f *File) {
	if _, ok := h.files[f]; !ok {
		h.files[f] = struct{}{}
		f.locked.Add(1)
	}
}

// holdsNothing reports whether an owner has no lock of any file. Most have one file.
func (l *locks) holdsNothing(h *heldLocks) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(h.ranges) == 0 && h.owner.files == 1
}

// has reports whether an owner may have locks on a file.
func (l *locks) has(key lockKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[key] != nil
}

// beaten notes a heartbeat that was sent at a time (ns).
func (l *locks) beaten(at, ttl int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sureUntil = max(l.sureUntil, at+ttl)
}

// everything lists what is held or owed.
func (l *locks) everything() []*heldLocks {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*heldLocks, 0, len(l.all))
	for _, h := range l.all {
		h.users++
		list = append(list, h)
	}
	return list
}

// mayUse refuses the use of a handle whose lock is lost, or may be.
func (f *File) mayUse(op string) error {
	if f.lost.Load() {
		return refuse(op, f.in.ino, "", errLockLost)
	}
	if f.locked.Load() == 0 {
		return nil
	}
	l := &f.fs.locks
	l.mu.Lock()
	sure := f.fs.now() < l.sureUntil
	l.mu.Unlock()
	if !sure {
		return refuse(op, f.in.ino, "", errLockLost)
	}
	return nil
}

// forfeitWrites gives up what is buffered, at its next flush.
func (in *inode) forfeitWrites() {
	in.mu.RLock()
	defer in.mu.RUnlock()
	if in.buffering() {
		in.forfeit.Store(true)
	}
}

// loseLocks notes that the session is over under which everything was locked: its handles
// are of no more use, and what was written under an exclusive lock and is not committed is
// not to be.
func (fs *FS) loseLocks(ctx context.Context) {
	l := &fs.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.all {
		lost := len(h.ranges) > 0
		for f := range h.files {
			f.lost.Store(true)
			f.in.forfeitWrites()
		}
		l.set(h, nil)
		h.owed = false
		if lost {
			fs.log.ErrorContext(ctx, "a lock was lost; who held it gets errors from now on", inoAttr(h.key.ino), slog.Uint64("pid", uint64(h.pid)))
		}
		l.tidy(h)
	}
}

// GetLock says which lock is in the way of a call; Type is LockNone when there is none.
// PID is that of a process of this client, or 0.
func (f *File) GetLock(ctx context.Context, c LockCall) (meta.HeldLock, error) {
	fs := f.fs
	if c.Type == meta.LockNone {
		return meta.HeldLock{}, refuse("getlock", f.in.ino, "", syscall.EINVAL)
	}
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	h := fs.locks.use(f.lockKey(&c))
	defer fs.locks.done(h)
	held, err := fs.engine.GetLock(ctx, f.request(&c, h))
	if !held.Mine {
		held.PID = 0
	}
	return held, err
}

func (f *File) lockKey(c *LockCall) lockKey {
	if c.Kind == meta.LockFile {
		return lockKey{f.in.ino, c.Kind, f.serial}
	}
	return lockKey{f.in.ino, c.Kind, c.Owner}
}

func (f *File) request(c *LockCall, h *heldLocks) meta.LockRequest {
	return meta.LockRequest{Ino: f.in.ino, Kind: c.Kind, Owner: h.owner.number, PID: c.PID, LockedRange: c.LockedRange, Wait: c.Wait}
}
