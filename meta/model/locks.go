package model

import (
	"cmp"
	"context"
	"slices"
	"syscall"

	"mirrorfs/meta"
)

// lockFile is a file and a kind of locks.
type lockFile struct {
	ino  meta.Ino
	kind meta.LockKind
}

// holder is who holds locks.
type holder struct {
	session meta.SessionID
	owner   meta.LockOwner
}

// held is what a holder has of a file.
type held struct {
	pid    uint32
	ranges []meta.LockedRange
}

// lockTable is all locks of a volume. Nothing of it is in the log.
type lockTable struct {
	files map[lockFile]map[holder]held
	// lost are sessions whose locks were taken from them.
	lost map[meta.SessionID]bool
	// waits says what a holder waits for.
	waits map[holder]waiter
	// tickets counts those who have begun to wait.
	tickets uint64
	// changed is closed and replaced when a lock is released.
	changed chan struct{}
}

// waiter is a request that waits, and its place in the queue.
type waiter struct {
	meta.LockRequest
	ticket uint64
}

func newLockTable() lockTable {
	return lockTable{
		files: map[lockFile]map[holder]held{}, lost: map[meta.SessionID]bool{},
		waits: map[holder]waiter{}, changed: make(chan struct{}),
	}
}

// hasSession reports whether a session is one that can do anything.
func (v *volume) hasSession(id meta.SessionID) bool {
	return v.tables.sessions[id] != nil && !v.locks.lost[id]
}

// inTheWay finds the first lock that a request cannot go with. When the request is to be
// granted, those who were away for too long lose theirs.
func (v *volume) inTheWay(who holder, q *meta.LockRequest, take bool) meta.HeldLock {
	now := v.clock().UnixNano()
	var all []meta.HeldLock
	for h, has := range v.locks.files[lockFile{q.Ino, q.Kind}] {
		for _, r := range has.ranges {
			if h == who || !r.Conflicts(q.LockedRange) || !v.hasSession(h.session) {
				continue
			}
			if h.session == who.session || v.isAlive(h.session, now) {
				all = append(all, meta.HeldLock{Ino: q.Ino, Kind: q.Kind, Session: h.session, Mine: h.session == who.session, Owner: h.owner, PID: has.pid, LockedRange: r})
			} else if take {
				v.locks.lost[h.session] = true
			}
		}
	}
	if len(all) == 0 {
		return meta.HeldLock{}
	}
	return slices.MinFunc(all, func(a, b meta.HeldLock) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Owner, b.Owner))
	})
}

// setRanges writes what a holder has of a file.
func (v *volume) setRanges(f lockFile, who holder, has held) {
	if v.locks.files[f] == nil {
		v.locks.files[f] = map[holder]held{}
	}
	if v.locks.files[f][who] = has; len(has.ranges) == 0 {
		delete(v.locks.files[f], who)
	}
	v.locksChanged()
}

func (v *volume) locksChanged() {
	close(v.locks.changed)
	v.locks.changed = make(chan struct{})
}

// mayLock refuses lock calls as changes are refused.
func (v *volume) mayLock(session meta.SessionID, op string) error {
	if err := v.isSource(meta.OpSessionStart); err != nil {
		return err
	}
	if !v.hasSession(session) {
		return &meta.Error{Op: op, Errno: syscall.ESTALE, Err: meta.ErrSessionEnded}
	}
	return nil
}

// SetLock implements meta.Locker.
func (e *Engine) SetLock(ctx context.Context, q meta.LockRequest) (meta.LockAnswer, error) {
	if errno := meta.CheckLock(&q); errno != 0 {
		return meta.LockAnswer{}, &meta.Error{Op: "setlock", Ino: q.Ino, Errno: errno}
	}
	for {
		if err := ctx.Err(); err != nil {
			e.stopWaiting(q.Owner)
			return meta.LockAnswer{}, &meta.Error{Op: "setlock", Ino: q.Ino, Errno: syscall.EINTR, Err: err}
		}
		ans, changed, err := e.tryLock(&q)
		if meta.Errno(err) != syscall.EAGAIN || !q.Wait {
			return ans, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (e *Engine) stopWaiting(owner meta.LockOwner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	delete(e.v.locks.waits, holder{e.session, owner})
	e.v.locksChanged()
}

// tryLock makes one attempt. When it fails with EAGAIN, the channel is closed once there
// is reason for another.
func (e *Engine) tryLock(q *meta.LockRequest) (meta.LockAnswer, <-chan struct{}, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.mayLock(e.session, "setlock"); err != nil {
		return meta.LockAnswer{}, nil, err
	}
	f, who := lockFile{q.Ino, q.Kind}, holder{e.session, q.Owner}
	waited := v.locks.waits[who]
	delete(v.locks.waits, who)
	has, mine := v.locks.files[f][who]
	if q.Kind == meta.LockFile && mine && has.ranges[0].Type != q.Type {
		v.setRanges(f, who, held{})
		has, mine = held{}, false
	}
	other := v.inTheWay(who, q, true)
	if other.Type != meta.LockNone || q.Wait && q.Polite && v.mustQueue(who, q, waited.ticket) {
		errno := syscall.EAGAIN
		if q.Wait {
			other = meta.HeldLock{}
			if waited.ticket == 0 {
				v.locks.tickets++
				waited.ticket = v.locks.tickets
			}
			if v.locks.waits[who] = (waiter{*q, waited.ticket}); q.Kind == meta.LockRange && v.waitsFor(who, who, map[holder]bool{}) {
				delete(v.locks.waits, who)
				v.locksChanged()
				errno = syscall.EDEADLK
			}
		}
		return meta.LockAnswer{Holder: other}, v.locks.changed, &meta.Error{Op: "setlock", Ino: q.Ino, Errno: errno}
	}
	ranges := meta.WithLock(has.ranges, q.LockedRange)
	tooMany := !mine && len(v.locks.files[f]) >= meta.MaxLockOwners || len(ranges) > meta.MaxLockRanges
	if q.Type != meta.LockNone && tooMany {
		v.locksChanged() // who queued behind it
		return meta.LockAnswer{}, nil, &meta.Error{Op: "setlock", Ino: q.Ino, Errno: syscall.ENOLCK}
	}
	if q.Type != meta.LockNone {
		has.pid = q.PID
	}
	v.setRanges(f, who, held{has.pid, ranges})
	if q.Type == meta.LockNone {
		return meta.LockAnswer{}, nil, nil
	}
	ans := meta.LockAnswer{Position: v.state.Position}
	if n, errno := v.tables.node(q.Ino); errno == 0 {
		ans.Node = n
	}
	return ans, nil, nil
}

// mustQueue reports whether others wait for what a request cannot go with, and came first;
// ticket is 0 for one that does not wait yet.
func (v *volume) mustQueue(who holder, q *meta.LockRequest, ticket uint64) bool {
	now := v.clock().UnixNano()
	for other, w := range v.locks.waits {
		first := ticket == 0 || w.ticket < ticket
		if first && other != who && w.Ino == q.Ino && w.Kind == q.Kind && w.Conflicts(q.LockedRange) && v.hasSession(other.session) && v.isAlive(other.session, now) {
			return true
		}
	}
	return false
}

// waitsFor reports whether one waits for what another has, directly or by others.
func (v *volume) waitsFor(one, other holder, seen map[holder]bool) bool {
	q, waits := v.locks.waits[one]
	if !waits || seen[one] {
		return false
	}
	seen[one] = true
	now := v.clock().UnixNano()
	for h, has := range v.locks.files[lockFile{q.Ino, q.Kind}] {
		blocks := slices.ContainsFunc(has.ranges, q.Conflicts) && h != one && v.hasSession(h.session) && v.isAlive(h.session, now)
		if blocks && (h == other || v.waitsFor(h, other, seen)) {
			return true
		}
	}
	return false
}

// Waiting tells how many owners wait for a lock.
func (e *Engine) Waiting() int {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	return len(e.v.locks.waits)
}

// GetLock implements meta.Locker.
func (e *Engine) GetLock(ctx context.Context, q meta.LockRequest) (meta.HeldLock, error) {
	if errno := meta.CheckLock(&q); errno != 0 {
		return meta.HeldLock{}, &meta.Error{Op: "getlock", Ino: q.Ino, Errno: errno}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	return e.v.inTheWay(holder{e.session, q.Owner}, &q, false), ctx.Err()
}

// AssertLocks implements meta.Locker.
func (e *Engine) AssertLocks(ctx context.Context, o meta.OwnerLocks) error {
	if errno := meta.CheckOwnerLocks(&o); errno != 0 {
		return &meta.Error{Op: "assertlocks", Ino: o.Ino, Errno: errno}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	if err := e.v.mayLock(e.session, "assertlocks"); err != nil {
		return err
	}
	who := holder{e.session, o.Owner}
	for _, r := range o.Ranges {
		q := meta.LockRequest{Ino: o.Ino, Kind: o.Kind, Owner: o.Owner, LockedRange: r}
		if e.v.inTheWay(who, &q, true).Type != meta.LockNone {
			return &meta.Error{Op: "assertlocks", Ino: o.Ino, Errno: syscall.EAGAIN}
		}
	}
	e.v.setRanges(lockFile{o.Ino, o.Kind}, who, held{o.PID, slices.Clone(o.Ranges)})
	return ctx.Err()
}

// ConfirmLocks implements meta.Locker. The model forgets nothing.
func (e *Engine) ConfirmLocks(ctx context.Context) error { return ctx.Err() }

// countLocks counts the files and owners of a session with locks.
func (v *volume) countLocks(id meta.SessionID) int {
	n := 0
	for _, holders := range v.locks.files {
		for who := range holders {
			if who.session == id {
				n++
			}
		}
	}
	return n
}

// SessionLocks implements meta.Locker.
func (e *Engine) SessionLocks(ctx context.Context, id meta.SessionID, limit int) ([]meta.HeldLock, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	var all []meta.HeldLock
	for f, holders := range e.v.locks.files {
		for who, has := range holders {
			if who.session != id || limit == 0 {
				continue
			}
			limit--
			for _, r := range has.ranges {
				all = append(all, meta.HeldLock{Ino: f.ino, Kind: f.kind, Session: id, Owner: who.owner, PID: has.pid, LockedRange: r})
			}
		}
	}
	return all, ctx.Err()
}

// SweepLocks implements meta.Locker.
func (e *Engine) SweepLocks(ctx context.Context, limit int) (int, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	found := 0
	for f, holders := range e.v.locks.files {
		for who := range holders {
			if found < limit && !e.v.hasSession(who.session) {
				e.v.setRanges(f, who, held{})
				found++
			}
		}
	}
	return found, ctx.Err()
}
