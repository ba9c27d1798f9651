package meta

import (
	"context"
	"time"
)

// Orphan is an inode without a name: something deleted, kept until Purge. The
// volume's orphans are its trash.
type Orphan struct {
	// UnlinkedMs is when it lost its last name, in milliseconds since the Unix
	// epoch; 0 when a purge of it has begun.
	UnlinkedMs int64
	Ino        Ino
	// Parent is the directory where the last name was, and Name that name. For
	// content that a file had before it was cut to nothing, Parent is the file and
	// Name is empty.
	Parent Ino
	Name   string
}

// Freed is what one change left unreferenced. Its blocks are still there.
type Freed struct {
	// Seq is that of the change's record: a site that has not applied it may
	// still read the slices.
	Seq uint64
	// Ms is when the trash time of the slices began, in milliseconds since the
	// Unix epoch. Of a purge it is by Volume.Trash before the purge: what it frees
	// has been in the trash.
	Ms     int64
	Slices []Slice
}

// Purge removes an orphan's inode, unless a session has it open (EBUSY) or it
// has got a name again (ENOENT), and frees the slices that only it used. A very large
// file goes in several purges: it is listed as an orphan until the last, with
// UnlinkedMs 0 from the first on.
type Purge struct{ Orphan Orphan }

// Op is OpPurge.
func (Purge) Op() Op { return OpPurge }

// Restore gives an orphan a name: ENOENT when it is none (any more) or its purge has
// begun, EEXIST when the name is taken. A file has one name then, however many it
// had.
type Restore struct {
	Orphan Orphan
	Parent Ino
	Name   string
}

// Op is OpRestore.
func (Restore) Op() Op { return OpRestore }

// Reclaim forgets freed slices, whose blocks were deleted: ENOENT when none of the rows
// is there. Those that went are in Result.Effects, as EffectFreedGone. Only Seq and Ms
// of a row are looked at.
type Reclaim struct{ Rows []Freed }

// MaxReclaimRows bounds one Reclaim, and callers should not pass more than
// MaxReclaimSlices in rows that have fewer.
const (
	MaxReclaimRows   = 256
	MaxReclaimSlices = 4096
)

// Op is OpReclaim.
func (Reclaim) Op() Op { return OpReclaim }

// Purger is the optional power of an Engine to say what is left to clean up by
// the Purge and EndOtherSession changes, which any client of the source may
// make. Each method is one round trip.
type Purger interface {
	// Orphans returns up to limit (at most MaxPageEntries) orphans that were unlinked before a time and
	// come after one, in order of UnlinkedMs and Ino; the zero Orphan comes before
	// all. Some of them may be open in a session: Purge tells.
	Orphans(ctx context.Context, after Orphan, before time.Time, limit int) ([]Orphan, error)
	// Orphan returns the orphan of a number, ENOENT when there is none.
	Orphan(ctx context.Context, ino Ino) (Orphan, error)
	// Sessions returns all sessions, those whose heartbeat ran out included.
	Sessions(ctx context.Context) ([]Session, error)
}

// Reclaimer is the optional power of a source's Engine to say which slices are not in
// use. Each method is one round trip.
type Reclaimer interface {
	// Freed returns up to limit (at most MaxPageEntries) rows whose time is before a time and that come
	// after one, in order of Ms and Seq; the zero Freed comes before all.
	Freed(ctx context.Context, after Freed, before time.Time, limit int) ([]Freed, error)
	// Known reports of each slice (at most MaxKnown) whether it is referenced, or
	// freed and not reclaimed. What is not is either still to be committed by who
	// writes it, or garbage.
	Known(ctx context.Context, slices []uint64) ([]bool, error)
	// Mirrors returns what the mirrors acknowledged last.
	Mirrors(ctx context.Context) ([]MirrorState, error)
}

// AsReclaimer gives the Reclaimer of an engine: itself, or, of one that only sometimes stands at
// the source, what its method Reclaimer gives at the moment.
func AsReclaimer(e Engine) (Reclaimer, bool) {
	if r, ok := e.(Reclaimer); ok {
		return r, true
	}
	if m, ok := e.(interface{ Reclaimer() (Reclaimer, bool) }); ok {
		return m.Reclaimer()
	}
	return nil, false
}

// MaxKnown is the most that one Known asks for.
const MaxKnown = 4096
