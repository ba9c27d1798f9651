package meta

import (
	"context"
	"time"
)

// Promotion is a change of the source: the beginning of an epoch.
type Promotion struct {
	Epoch uint64    `json:"epoch"`
	Time  time.Time `json:"time"`
	// Site became the source, From was it before.
	Site uint8 `json:"site_id"`
	From uint8 `json:"from_site_id"`
	// After is where Site stood, with the checksum over all records up to there. What
	// From acknowledged after it is not part of the volume.
	After Position `json:"after"`
	Chain string   `json:"chain"`
	// NextSlice is the first slice number of the new epoch when From may have given out
	// numbers after After, else 0. Data below it that the metadata does not know may be
	// what was lost.
	NextSlice uint64 `json:"next_slice,omitempty"`
	// Rejoined is when From wrote down what was lost and became a mirror; zero before.
	Rejoined time.Time `json:"rejoined,omitzero"`
}

// SourceSite is the number of the site that is the source.
func (v *Volume) SourceSite() uint8 {
	if v.Source == 0 {
		return v.FirstSite()
	}
	return v.Source
}

// PromotedAfter gives the first promotion that somebody who stands at a position has not
// seen.
func (v *Volume) PromotedAfter(at Position) (Promotion, bool) {
	for i := range v.Promotions {
		if v.Promotions[i].Epoch > at.Epoch {
			return v.Promotions[i], true
		}
	}
	return Promotion{}, false
}

// Skip is how many numbers a promotion passes over when the old source may have given some
// out that nobody knows of here: clients of both sites may use them, and no number is ever
// used twice.
type Skip struct {
	Inodes Ino
	Slices uint64
}

// SkipOf is what to pass over when records were lost, as far as is known. A record makes one
// inode at most, and a scan goes through all numbers; a slice number costs nothing.
func SkipOf(records uint64) Skip { return Skip{Inodes: 1<<20 + Ino(records), Slices: 1 << 32} }

// Failover is what makes the metadata of a site give up the part of the source, or take
// it over. Each method is one step, and may be repeated: what is done already stays.
type Failover interface {
	// Fence makes a source RoleFenced: it refuses every change with ErrFenced from then
	// on, and answers questions, and resends of changes that it has made, as before. No
	// record is made, so that its log ends with the last change. It returns where that
	// is. note, for those who ask why, becomes the fact LocalFence of the site in the
	// same step. seen is the note that the caller found there, empty when there was none:
	// EBUSY when a source that is fenced has another one, for somebody else is at it.
	Fence(ctx context.Context, note, seen string) (State, error)
	// Unfence makes a fenced source one that takes changes again, if it stands at a
	// state and its note is the one given: ErrMoved otherwise. Nobody must have been
	// promoted in its place.
	Unfence(ctx context.Context, at State, note string) error
	// Promote makes a mirror that stands at a state the source of a new epoch: ErrMoved
	// when it stands elsewhere. Its first record sets the volume's settings, which must
	// name the promotion, and moves the next numbers of inodes and slices by skip. All
	// sessions that it knows live for SessionTTL from then, so that their locks are
	// waited for.
	Promote(ctx context.Context, at State, v Volume, skip Skip) (State, error)
	// Demote makes a fenced source a mirror without a copy, if it stands at a state:
	// ErrMoved otherwise. What mirrors acknowledged to it is forgotten.
	Demote(ctx context.Context, at State) error
}

// LocalFence is the fact of a site (Replica.Local) that says why it is fenced.
const LocalFence = "fence"

// Mover is the optional power of a client's Engine to go on at another server that is
// now the source of the same volume.
type Mover interface {
	// MoveTo makes the engine use the connections of another one, which must not be used
	// any more, not even closed. Session and numbers stay: a change under way is asked for
	// there, and made once.
	MoveTo(to Engine) error
}
