package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// lockSlots is how many lock calls of a session are under way at a time at most. An
// owner's calls go through one slot: a call of which nobody knows what became is too late
// once the owner's next one has been made.
const lockSlots = 256

// locks is what an engine knows of its lock calls.
type locks struct {
	slots [lockSlots]lockSlot
	news  *lockNews

	mu    sync.Mutex
	began string // when the server began that wants to be told our locks
}

// lockSlot is held during a call.
type lockSlot struct {
	token  chan struct{}
	number uint32
}

func newLocks(s *server) *locks {
	l := &locks{news: newLockNews(s)}
	for i := range l.slots {
		l.slots[i].token = make(chan struct{}, 1)
	}
	return l
}

func (l *locks) doubt(began string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = began
}

func (l *locks) close() { l.news.close() }

// lockCall calls a function of an owner's, exactly once although it may be sent again. As a
// change, it runs to its end whatever becomes of ctx. It returns the answer.
func (e *Engine) lockCall(ctx context.Context, owner meta.LockOwner, function string, body []byte, rest ...any) (string, error) {
	session := e.current()
	if session == 0 {
		return "", &meta.Error{Errno: syscall.ESTALE, Err: meta.ErrSessionEnded}
	}
	index := uint64(owner) % lockSlots
	slot := &e.locks.slots[index]
	select {
	case slot.token <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-slot.token }()
	slot.number++
	head := binary.BigEndian.AppendUint64(make([]byte, 0, 14+len(body)), uint64(session))
	head = binary.BigEndian.AppendUint16(head, uint16(index))
	head = binary.BigEndian.AppendUint32(head, slot.number)
	args := append([]any{append(head, body...)}, rest...)
	reply, err := e.invoke(ctx, &call{function: function, whole: true, args: append(args, e.lifeClock())})
	if err != nil {
		return "", err
	}
	text, _ := reply.(string)
	if text == "" {
		return "", errMalformed
	}
	return text, nil
}

// lockFailed makes the error of a lock call.
func (e *Engine) lockFailed(ctx context.Context, about meta.Error, err error) error {
	var made *meta.Error
	if errors.As(err, &made) {
		about.Errno, about.Err = made.Errno, made.Err
		return &about
	}
	return e.fail(ctx, about, err)
}

// SetLock implements meta.Locker.
func (e *Engine) SetLock(ctx context.Context, q meta.LockRequest) (meta.LockAnswer, error) {
	about := meta.Error{Op: "setlock", Ino: q.Ino}
	if about.Errno = meta.CheckLock(&q); about.Errno != 0 {
		return meta.LockAnswer{}, &about
	}
	if err := ctx.Err(); err != nil {
		return meta.LockAnswer{}, e.fail(ctx, about, err)
	}
	w := e.locks.news.add()
	defer e.locks.news.remove(w)
	var started time.Time
	for attempt := 0; ; attempt++ {
		answer, err := e.lockCall(ctx, q.Owner, "lock_set", appendRequest(nil, &q, w.id, attempt > 0))
		if err != nil {
			return meta.LockAnswer{}, e.lockFailed(ctx, about, err)
		}
		switch answer[0] {
		case 'G':
			ans, err := decodeGranted(answer[1:], q.Ino)
			if err != nil {
				return ans, e.fail(ctx, about, err)
			}
			return ans, nil
		case 'D':
			about.Errno = syscall.EDEADLK
			return meta.LockAnswer{}, &about
		case 'F':
			about.Errno = syscall.ENOLCK
			return meta.LockAnswer{}, &about
		case 'H':
			if q.Wait {
				break
			}
			about.Errno = syscall.EAGAIN
			held, err := e.decodeHeld(answer[1:], q.Ino, q.Kind)
			if err != nil {
				return meta.LockAnswer{}, e.fail(ctx, about, err)
			}
			return meta.LockAnswer{Holder: held}, &about
		case 'T': // nobody can say yet; this ends soon
			if attempt == 0 {
				started = time.Now()
			} else if !q.Wait && time.Since(started) > e.opts.ChangeTimeout {
				about.Errno, about.Err = syscall.EAGAIN, meta.ErrLocksInDoubt
				return meta.LockAnswer{}, &about
			}
		}
		if err := e.awaitNews(ctx, w, attempt, answer[0]); err != nil {
			e.cancelWait(ctx, &q, w.id)
			return meta.LockAnswer{}, e.fail(ctx, about, err)
		}
	}
}

// doubtPoll is how often a server is asked again that does not know all locks yet.
const doubtPoll = 200 * time.Millisecond

// awaitNews waits until it is worth asking again.
func (e *Engine) awaitNews(ctx context.Context, w *lockWaiter, attempt int, answer byte) error {
	poll := e.opts.LockPoll
	if answer == 'T' {
		poll = doubtPoll
	} else if attempt == 0 {
		// What happens before we listen is not told: ask once more when we do.
		return e.locks.news.listen(ctx, e.current())
	}
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-w.news:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cancelTimeout bounds how long a waiter that gives up tells the server. When that fails, its
// place is empty soon.
const cancelTimeout = time.Second

func (e *Engine) cancelWait(ctx context.Context, q *meta.LockRequest, id uint32) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer cancel()
	b := sessionBytes(e.current())
	b = append48(binary.BigEndian.AppendUint64(append(b, byte(q.Kind)), uint64(q.Owner)), uint64(q.Ino))
	b = binary.BigEndian.AppendUint32(b, id)
	if _, err := e.invoke(ctx, &call{function: "lock_cancel", args: []any{b, e.lifeClock()}}); err != nil {
		e.opts.Logger.DebugContext(ctx, "a waiter for a lock could not say that it gave up", logError(err))
	}
}

// GetLock implements meta.Locker.
func (e *Engine) GetLock(ctx context.Context, q meta.LockRequest) (meta.HeldLock, error) {
	about := meta.Error{Op: "getlock", Ino: q.Ino}
	if about.Errno = meta.CheckLock(&q); about.Errno != 0 {
		return meta.HeldLock{}, &about
	}
	b := sessionBytes(e.current())
	b = append48(binary.BigEndian.AppendUint64(append(b, byte(q.Kind)), uint64(q.Owner)), uint64(q.Ino))
	reply, err := e.invoke(ctx, &call{function: "lock_get", readOnly: true, args: []any{appendRange(b, q.LockedRange), e.lifeClock()}})
	if err != nil {
		return meta.HeldLock{}, e.fail(ctx, about, err)
	}
	text, _ := reply.(string)
	if text == "" {
		return meta.HeldLock{}, nil
	}
	held, err := e.decodeHeld(text, q.Ino, q.Kind)
	if err != nil {
		return held, e.fail(ctx, about, err)
	}
	return held, nil
}

// AssertLocks implements meta.Locker.
func (e *Engine) AssertLocks(ctx context.Context, o meta.OwnerLocks) error {
	about := meta.Error{Op: "assertlocks", Ino: o.Ino}
	if about.Errno = meta.CheckOwnerLocks(&o); about.Errno != 0 {
		return &about
	}
	b := binary.BigEndian.AppendUint64([]byte{byte(o.Kind)}, uint64(o.Owner))
	b = binary.BigEndian.AppendUint32(append48(b, uint64(o.Ino)), o.PID)
	ranges := make([]byte, 0, len(o.Ranges)*rangeBytes)
	for _, r := range o.Ranges {
		ranges = appendRange(ranges, r)
	}
	answer, err := e.lockCall(ctx, o.Owner, "lock_assert", b, ranges)
	if err != nil {
		return e.lockFailed(ctx, about, err)
	}
	if answer[0] != 'G' {
		about.Errno = syscall.EAGAIN
		return &about
	}
	return nil
}

// ConfirmLocks implements meta.Locker.
func (e *Engine) ConfirmLocks(ctx context.Context) error {
	e.locks.mu.Lock()
	began := e.locks.began
	e.locks.mu.Unlock()
	if _, err := e.invoke(ctx, &call{function: "lock_confirm", args: []any{sessionBytes(e.current()), began}}); err != nil {
		return e.fail(ctx, meta.Error{Op: "confirmlocks"}, err)
	}
	return nil
}

// SessionLocks implements meta.Locker.
func (e *Engine) SessionLocks(ctx context.Context, id meta.SessionID, limit int) ([]meta.HeldLock, error) {
	about := meta.Error{Op: "sessionlocks"}
	reply, err := e.invoke(ctx, &call{function: "lock_list", readOnly: true, args: []any{sessionBytes(id), limit}})
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	rows, err := texts(reply, 2)
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	var all []meta.HeldLock
	for ; len(rows) > 0; rows = rows[2:] {
		if len(rows[0]) != 15 || len(rows[1]) < 4 {
			return nil, e.fail(ctx, about, fmt.Errorf("lock %q: %w", rows[0], errMalformed))
		}
		h := meta.HeldLock{
			Kind: meta.LockKind(rows[0][0]), Session: id, Owner: meta.LockOwner(binary.BigEndian.Uint64([]byte(rows[0][1:]))),
			Ino: meta.Ino(uint48(rows[0][9:])), PID: binary.BigEndian.Uint32([]byte(rows[1])),
		}
		for b := []byte(rows[1][4:]); len(b) >= rangeBytes; b = b[rangeBytes:] {
			h.LockedRange = decodeRange(b)
			all = append(all, h)
		}
	}
	return all, nil
}

// SweepLocks implements meta.Locker.
func (e *Engine) SweepLocks(ctx context.Context, limit int) (int, error) {
	reply, err := e.invoke(ctx, &call{function: "lock_sweep", args: []any{limit, e.lifeClock()}})
	if err != nil {
		return 0, e.fail(ctx, meta.Error{Op: "sweeplocks"}, err)
	}
	n, _ := reply.(int64)
	return int(n), nil
}

// rangeBytes is the length of a range: first 8, last 8, type 1.
const rangeBytes = 17

func appendRange(b []byte, r meta.LockedRange) []byte {
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, r.First), r.Last)
	return append(b, byte(r.Type))
}

func decodeRange(b []byte) meta.LockedRange {
	return meta.LockedRange{First: binary.BigEndian.Uint64(b), Last: binary.BigEndian.Uint64(b[8:]), Type: meta.LockType(b[16])}
}

// appendRequest is what lock_set wants after the head.
func appendRequest(b []byte, q *meta.LockRequest, id uint32, again bool) []byte {
	flags := byte(0)
	if q.Wait {
		flags |= 1
	}
	if q.Polite {
		flags |= 2
	}
	if again {
		flags |= 4
	}
	b = binary.BigEndian.AppendUint64(append(b, flags, byte(q.Kind)), uint64(q.Owner))
	b = binary.BigEndian.AppendUint32(append48(b, uint64(q.Ino)), q.PID)
	return binary.BigEndian.AppendUint32(appendRange(b, q.LockedRange), id)
}

// decodeHeld reads a lock in the way: session 8, owner 8, process 4, range.
func (e *Engine) decodeHeld(text string, ino meta.Ino, kind meta.LockKind) (meta.HeldLock, error) {
	b := []byte(text)
	if len(b) != 20+rangeBytes {
		return meta.HeldLock{}, errMalformed
	}
	session := meta.SessionID(binary.BigEndian.Uint64(b))
	return meta.HeldLock{
		Ino: ino, Kind: kind, Session: session, Mine: session == e.current(), Owner: meta.LockOwner(binary.BigEndian.Uint64(b[8:])),
		PID: binary.BigEndian.Uint32(b[16:]), LockedRange: decodeRange(b[20:]),
	}, nil
}

// decodeGranted reads what comes with a lock: nothing when it was a release, else the position
// and the inode's value.
func decodeGranted(text string, ino meta.Ino) (meta.LockAnswer, error) {
	var ans meta.LockAnswer
	if len(text) < 12 {
		return ans, nil
	}
	if ans.Position = decodePosition(text); len(text) == 12 {
		return ans, nil
	}
	attr, err := decodeAttr(text[12:])
	ans.Node = meta.Node{Ino: ino, Attr: attr}
	return ans, err
}
