package meta

import (
	"context"
	"time"
)

// LogEntry is one record as it stands in the log.
type LogEntry struct {
	Position Position
	Raw      []byte // encoded Record, checksum chain included
}

// Cursor is a place in a Scan, opaque to the caller; nil starts one.
type Cursor []byte

// Batch is part of a Scan: encoded effects that load into a replica.
type Batch struct {
	Effects []byte
	// Next continues the scan; nil when this was the last batch.
	Next Cursor
	// Done and Total count inodes, to show progress.
	Done, Total uint64
}

// MirrorState is what a site tells the others of itself.
type MirrorState struct {
	Site    uint8     `json:"site_id"`
	Name    string    `json:"site"`
	State   string    `json:"state"` // bootstrapping, following, stalled, fenced
	Reason  string    `json:"reason,omitempty"`
	Applied Position  `json:"applied"`
	Seen    time.Time `json:"seen"`
	Mode    string    `json:"mode"` // demand, keep, full
	// CompleteTo is the position up to which all data that the site promises to hold is
	// there; zero while its first look at what there is goes on, and of a site that
	// promises none. The counts are what is known to be missing.
	CompleteTo     Position `json:"complete_to,omitzero"`
	PendingObjects uint64   `json:"pending_objects,omitempty"`
	PendingBytes   uint64   `json:"pending_bytes,omitempty"`
	// Host and PID are of the process that carries the mirror.
	Host string `json:"host,omitempty"`
	PID  int    `json:"pid,omitempty"`
}

// Source is what a mirror reads: the log and a scan of all tables. Both the
// source's engine and a mirror's own (for a mirror fed by a mirror) have it.
type Source interface {
	Comparer
	State(ctx context.Context) (State, error)
	Volume(ctx context.Context) (Volume, error)
	// Tail returns the entries after a position in order: at most limit, at least
	// one unless wait passes without any. ErrGap when the log no longer holds
	// the one that follows after, or ends before after.
	Tail(ctx context.Context, after Position, limit int, wait time.Duration) ([]LogEntry, error)
	// Scan returns the next part of all tables as effects. Rows that change
	// during a scan may be given old or new; rows that exist throughout are
	// given. So: note the State, Scan to the end, and replay the log from there.
	Scan(ctx context.Context, from Cursor, limit int) (Batch, error)
	// Acknowledge stores a mirror's state under its site. The log is not trimmed
	// behind the slowest mirror. It is no change: no record is made.
	Acknowledge(ctx context.Context, s MirrorState) error
	// Mirrors returns what the mirrors acknowledged last.
	Mirrors(ctx context.Context) ([]MirrorState, error)
	// ForgetMirror removes what Acknowledge stored.
	ForgetMirror(ctx context.Context, site uint8) error
	// TrimLog removes entries that are not needed, and returns how many. It keeps the
	// last keep ones and all that a mirror has not acknowledged. A source whose volume keeps
	// its log (Volume.LogKeep) removes none that is not archived; what is archived goes, although
	// it would be kept otherwise, when the log takes more than Volume.LogBytes.
	TrimLog(ctx context.Context, keep int) (int64, error)
	// LogStart returns the oldest entry of the log, ErrGap when there is none.
	LogStart(ctx context.Context) (LogEntry, error)
	// Archived tells up to where the log is kept in segments; the zero value when
	// nothing is.
	Archived(ctx context.Context) (Archived, error)
	// SetArchived moves that from a place to another. ErrMoved when it is not there: somebody
	// else archived. It is a fact of this site that Reset takes away.
	SetArchived(ctx context.Context, from, to Archived) error
}

// Replica is what a mirror writes. Its metadata changes by nothing else.
type Replica interface {
	Comparer
	State(ctx context.Context) (State, error)
	// Reset empties the replica, makes it RoleBootstrapping, and notes from which
	// state of the source the copy begins. It refuses (ErrReadOnly) on a source.
	Reset(ctx context.Context, v Volume, from State) error
	// Rebase is Reset that keeps all rows: what differs from the source's is to be mended by
	// Load, and then the log replayed from the state given. The replica's own log is
	// emptied, as it may not be the source's.
	Rebase(ctx context.Context, from State) error
	// Load writes rows, as Scan and Rows give them, or deletes some. Only between Reset or
	// Rebase and the end of bootstrap.
	Load(ctx context.Context, effects []byte) error
	// Apply replays entries and moves the position, in one step, and returns the
	// new state. It checks that the first follows the state given, which
	// must be the replica's own (else ErrMoved: somebody else applied), that
	// positions are contiguous (ErrGap) and that the checksum chain holds
	// (ErrDiverged). When target is not zero and reached, RoleBootstrapping
	// becomes RoleMirror.
	Apply(ctx context.Context, from State, entries []LogEntry, target Position) (State, error)
	// SetLocal and Local keep facts of this site that are not mirrored: where
	// the source is, the data mode, the runner's state and reason.
	SetLocal(ctx context.Context, values map[string]string) error
	Local(ctx context.Context) (map[string]string, error)
}
