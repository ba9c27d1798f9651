package meta

import (
	"context"
	"time"
)

// Purger is the optional power of an Engine to say what is left to clean up by
// the Purge and EndOtherSession changes, which any client of the source may
// make. Each method is one round trip.
type Purger interface {
	// Orphans returns up to limit orphans that were unlinked before a time, the
	// oldest first. Some of them may be open in a session: Purge tells.
	Orphans(ctx context.Context, before time.Time, limit int) ([]Orphan, error)
	// Sessions returns all sessions, those whose heartbeat ran out included.
	Sessions(ctx context.Context) ([]Session, error)
}
