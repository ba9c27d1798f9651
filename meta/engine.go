package meta

import (
	"context"
	"time"
)

// Reader answers questions. Each method is one round trip to the metadata and
// may be called concurrently. Answers belong to the caller. Errors are *Error;
// a missing inode or name is ENOENT, a name under something else than a
// directory ENOTDIR.
type Reader interface {
	// Lookup finds a name in a directory. "." and ".." work.
	Lookup(ctx context.Context, parent Ino, name string) (Node, error)
	// GetAttr returns an inode's attributes, orphans included.
	GetAttr(ctx context.Context, ino Ino) (Node, error)
	// Resolve walks a slash-separated path from dir and returns the node of each
	// component in order. It does not follow symbolic links. When a component is
	// missing, it returns the nodes before it, and ENOENT or ENOTDIR.
	Resolve(ctx context.Context, dir Ino, path string) ([]Node, error)
	// ReadDir returns up to limit entries (at most MaxPageEntries) after the
	// name given, in byte order of names; "" starts at the beginning. "." and
	// ".." are not among them.
	ReadDir(ctx context.Context, dir Ino, after string, limit int) (Page, error)
	// ReadLink returns the target of a symbolic link, EINVAL for anything else.
	ReadLink(ctx context.Context, ino Ino) (string, error)
	// Extents returns the inode and the extent lists of up to count chunks from
	// the one numbered first; chunks without a list are left out. For a file
	// with an inline extent that is the list of chunk 0.
	Extents(ctx context.Context, ino Ino, first uint32, count int) (Node, []ChunkExtents, error)
	// GetXattr returns an extended attribute, ENODATA when there is none.
	GetXattr(ctx context.Context, ino Ino, name string) ([]byte, error)
	// ListXattr returns the names of all extended attributes in byte order.
	ListXattr(ctx context.Context, ino Ino) ([]string, error)
	// StatFS returns what the volume holds.
	StatFS(ctx context.Context) (Usage, error)
	// Quotas returns all quotas, the root's first, by inode number.
	Quotas(ctx context.Context) ([]Quota, error)
	// QuotasAt returns the quotas that what is made in a directory, or is written to
	// a file, counts for: a directory's own first, then outwards. The last one is
	// always the volume's, whether or not it has limits.
	QuotasAt(ctx context.Context, ino Ino) ([]Quota, error)
}

// MaxPageEntries is the most that one ReadDir returns.
const MaxPageEntries = 2048

// MaxExtentChunks is the most that one Extents call returns.
const MaxExtentChunks = 256

// ViewOptions says which state a View answers from. Under any of them, a mirror
// whose first copy is not complete (RoleBootstrapping) has reached nothing:
// ErrBehind.
type ViewOptions struct {
	// AtLeast makes reads fail with ErrBehind (errno EAGAIN) when the engine has
	// not reached it. The zero Position asks for nothing.
	AtLeast Position
	// Observe, if not nil, is called with the position that each answer was
	// read at, before the answer is returned.
	Observe func(Position)
}

// Engine is a volume's metadata: what vfs and the gateway stand on. A mirror's
// engine is a decorator that reads near and writes far.
//
// An Engine is used concurrently. It starts nothing by itself.
type Engine interface {
	Reader
	Locker
	// View returns a Reader of the same volume that answers under the options.
	View(opts ViewOptions) Reader
	// Volume returns the volume's settings, sites included.
	Volume(ctx context.Context) (Volume, error)
	// State returns where the metadata stands.
	State(ctx context.Context) (State, error)
	// Change makes one change, whole or not at all, and returns once it is in
	// the log. It is exactly one round trip unless a reply is lost, and then it is
	// sent again without being made twice. Once sent it runs to its end, also
	// when ctx is cancelled: the outcome of a cancelled change is known.
	Change(ctx context.Context, c Change) (Result, error)
	// StartSession registers this client. Changes need a session; reads do not.
	// It is called before the first Change, and again after ErrSessionEnded: a
	// client that was cut off for long goes on under a new session.
	StartSession(ctx context.Context, info SessionInfo) error
	// Heartbeat tells that the session lives, and which inodes it keeps open: an
	// orphan among them is not purged. A session without a heartbeat for
	// SessionTTL may be ended by any other client. After ErrSessionEnded, no
	// change of this engine succeeds until StartSession. ErrLocksInDoubt means that
	// the session lives, but that the server was started anew and may have lost
	// locks: until this client has asserted its own and confirmed that, nobody
	// gets a new one.
	Heartbeat(ctx context.Context, open []Ino) error
	// EndSession ends this client's session; further changes fail. It is not an
	// error when none was started.
	EndSession(ctx context.Context) error
	// Close ends connections, not the session.
	Close() error
}

// SessionTTL is how long a session lives without a heartbeat, and
// HeartbeatInterval how often a client should give one.
const (
	SessionTTL        = 60 * time.Second
	HeartbeatInterval = 12 * time.Second
)

// SessionID names a session: random, not zero.
type SessionID uint64

// SessionInfo says who a client is, for people to read.
type SessionInfo struct {
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Kind    string    `json:"kind"` // "mount", "gateway", "mirror", "cli"
	Mount   string    `json:"mount,omitempty"`
	Site    string    `json:"site,omitempty"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

// Session is a client as status shows it.
type Session struct {
	ID   SessionID   `json:"id"`
	Info SessionInfo `json:"info"`
	// Expires is when its heartbeat runs out.
	Expires time.Time `json:"expires"`
	// OpenFiles counts the files that it said it has open, Locks the owners and
	// files with locks. Both are known at the source only.
	OpenFiles int `json:"open_files"`
	Locks     int `json:"locks"`
}
