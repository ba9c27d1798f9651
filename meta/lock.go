package meta

import (
	"context"
	"slices"
	"syscall"
)

// Locker keeps locks on files, the same for all clients of a volume wherever they
// are. They are facts of the source and belong to sessions: no record is made of
// them, no mirror has them, and they end with their session.
//
// A session whose heartbeat ran out keeps its locks until somebody asks for
// something that they forbid. From then on the session is over for everything:
// its lock calls, changes and heartbeats give ErrSessionEnded, so that nothing
// written under a lost lock can be committed.
//
// The calls of one owner on one file are made one after the other. Errors are
// *Error; under ErrUnreachable it is not known what became of the call, and
// AssertLocks makes it known again.
type Locker interface {
	// GetLock says which lock is in the way of a request, the one that begins
	// first; Type is LockNone when there is none.
	GetLock(ctx context.Context, q LockRequest) (HeldLock, error)
	// SetLock sets, changes or releases locks of an owner as fcntl(2) and flock(2)
	// say. Each attempt is one round trip. When another's lock is in the way it
	// fails with EAGAIN and says which, or waits for it if the request says so:
	// then it fails with EINTR when ctx ends, having got nothing, and with EDEADLK
	// when owners would wait for each other (LockRange only). ENOLCK when the file
	// has too many. A LockFile that is converted is given up first, as flock(2) has it.
	SetLock(ctx context.Context, q LockRequest) (LockAnswer, error)
	// AssertLocks makes an owner's locks on a file exactly these, or leaves them and
	// fails with EAGAIN when others have something that forbids them. It is how a
	// client claims what it holds from a server that may have forgotten it, and
	// how all is released.
	AssertLocks(ctx context.Context, o OwnerLocks) error
	// ConfirmLocks says that this session has asserted all its locks, after
	// Heartbeat gave ErrLocksInDoubt.
	ConfirmLocks(ctx context.Context) error
	// SessionLocks returns the locks of a session, at most limit owners and files.
	SessionLocks(ctx context.Context, id SessionID, limit int) ([]HeldLock, error)
	// SweepLocks removes what is left of the locks of ended sessions, and wakes those
	// who wait for them. It looks at limit files at most and returns how many it
	// found; any client may call it, also several at once.
	SweepLocks(ctx context.Context, limit int) (int, error)
}

// LockKind tells the two families of locks apart. They do not see each other.
type LockKind byte

// The kinds of locks.
const (
	LockRange LockKind = 'p' // of bytes, by fcntl(2): of a process, or of an open file
	LockFile  LockKind = 'w' // of a whole file, by flock(2)
)

// LockType is what a lock is, or what a request wants.
type LockType byte

// The types of locks. Two shared ones go together.
const (
	LockNone LockType = iota // a release
	LockShared
	LockExclusive
)

// LockOwner names who of a session holds a lock. The client chooses the number and
// never uses it for somebody else in the same session. Not zero.
type LockOwner uint64

// Limits of locks.
const (
	// MaxLockByte is the last byte that can be locked: a lock to the end of the
	// file, wherever that will be, ends there.
	MaxLockByte = 1<<63 - 1
	// MaxLockOwners is how many owners can hold locks of one kind on one file.
	MaxLockOwners = 4096
	// MaxLockRanges is how many separate ranges one owner can hold on one file.
	MaxLockRanges = 16384
)

// LockedRange is a range of bytes, both ends included, and how it is locked.
type LockedRange struct {
	Type        LockType
	First, Last uint64
}

// LockRequest asks for a lock, or to release one.
type LockRequest struct {
	Ino   Ino
	Kind  LockKind
	Owner LockOwner
	PID   uint32 // of the process, for people to read
	LockedRange
	// Wait waits for locks that are in the way.
	Wait bool
	// Polite says that the owner holds no lock of any file. When others wait for
	// a lock already, such a request waits behind them for a while.
	Polite bool
}

// OwnerLocks is all that an owner holds on a file.
type OwnerLocks struct {
	Ino    Ino
	Kind   LockKind
	Owner  LockOwner
	PID    uint32
	Ranges []LockedRange // sorted, apart from each other
}

// HeldLock is a lock and who has it.
type HeldLock struct {
	Ino     Ino
	Kind    LockKind
	Session SessionID
	Mine    bool // the session is that of the engine that was asked
	Owner   LockOwner
	PID     uint32
	LockedRange
}

// LockAnswer is what SetLock tells.
type LockAnswer struct {
	// Holder is the lock in the way, with EAGAIN.
	Holder HeldLock
	// Position and Node are of a lock that was set: where the source stood, and
	// the file as it was then (Ino 0 when there is no such file). What others did
	// under locks before is part of it: reads that follow must not be older.
	Position Position
	Node     Node
}

// WholeFile is the range of a lock on everything.
func WholeFile(t LockType) LockedRange { return LockedRange{Type: t, Last: MaxLockByte} }

// CheckLock says what is wrong with a request whatever is locked, 0 when nothing is.
func CheckLock(q *LockRequest) syscall.Errno {
	switch {
	case q.Owner == 0, q.Type > LockExclusive, q.First > q.Last:
		return syscall.EINVAL
	case q.Last > MaxLockByte:
		return syscall.EOVERFLOW
	case q.Kind == LockFile && q.LockedRange != WholeFile(q.Type):
		return syscall.EINVAL
	case q.Kind != LockFile && q.Kind != LockRange:
		return syscall.EINVAL
	}
	return 0
}

// CheckOwnerLocks is CheckLock for AssertLocks.
func CheckOwnerLocks(o *OwnerLocks) syscall.Errno {
	if len(o.Ranges) > MaxLockRanges {
		return syscall.ENOLCK
	}
	q := LockRequest{Owner: o.Owner, Kind: o.Kind, LockedRange: WholeFile(LockNone)}
	if errno := CheckLock(&q); errno != 0 {
		return errno
	}
	for i, r := range o.Ranges {
		q.LockedRange = r
		if errno := CheckLock(&q); errno != 0 {
			return errno
		}
		if r.Type == LockNone || i > 0 && r.First <= o.Ranges[i-1].Last {
			return syscall.EINVAL
		}
	}
	return 0
}

// Conflicts reports whether two owners cannot have these locks at once.
func (r LockedRange) Conflicts(o LockedRange) bool {
	return r.First <= o.Last && o.First <= r.Last && r.Type != LockNone && o.Type != LockNone &&
		(r.Type == LockExclusive || o.Type == LockExclusive)
}

// WithLock gives an owner's ranges after it has locked or released one: what was
// there is split, and neighbours of one type become one range. The list is sorted,
// its ranges apart from each other; it is not modified.
func WithLock(list []LockedRange, r LockedRange) []LockedRange {
	out := make([]LockedRange, 0, len(list)+2)
	var after []LockedRange
	for _, o := range list {
		switch {
		case o.Last < r.First && (o.Type != r.Type || o.Last+1 < r.First):
			out = append(out, o)
		case o.First > r.Last && (o.Type != r.Type || o.First-1 > r.Last):
			after = append(after, o)
		case o.Type == r.Type:
			r.First, r.Last = min(r.First, o.First), max(r.Last, o.Last)
		default:
			if o.First < r.First {
				out = append(out, LockedRange{Type: o.Type, First: o.First, Last: r.First - 1})
			}
			if o.Last > r.Last {
				after = append(after, LockedRange{Type: o.Type, First: r.Last + 1, Last: o.Last})
			}
		}
	}
	if r.Type != LockNone {
		out = append(out, r)
	}
	return slices.Concat(out, after)
}
