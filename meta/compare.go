package meta

import (
	"context"
	"encoding/binary"
)

// Place is a place in the order of all rows of a volume: places compare as strings do. A
// row has one whatever the engine, so that ranges of rows can be compared between two
// sites. All that hangs on an inode but the entries of a directory has the same place.
// See docs/format.md, "Places".
type Place string

// The ends of the order. The row of an inode is after PlaceStart, the last row of all before
// PlaceEnd.
const (
	PlaceStart Place = ""
	PlaceEnd   Place = "9"
)

// The tables in the order of their rows.
const (
	placeInodes   = '1'
	placeRefs     = '2'
	placeQuotas   = '3'
	placeFreed    = '4'
	placeSessions = '5'
	placeSettings = '6'
	placeMarks    = '7'
)

// PlaceOfInode is the place of what hangs on an inode, PlaceOfEntries the one from which on
// the entries of a directory are, before those of the next inode.
func PlaceOfInode(ino Ino) Place { return Place(append48([]byte{placeInodes}, uint64(ino))) }

// PlaceOfEntries is documented at PlaceOfInode.
func PlaceOfEntries(dir Ino) Place { return PlaceOfInode(dir) + "\x00" }

// PlaceOf is the place of the row that an effect sets or deletes; of one that sets no row
// PlaceEnd.
func PlaceOf(e *Effect) Place {
	switch e.Kind {
	case EffectInode, EffectInodeGone, EffectOrphan, EffectOrphanGone, EffectTarget, EffectTargetGone,
		EffectNames, EffectXattr, EffectXattrGone, EffectChunk, EffectChunkGone:
		return PlaceOfInode(e.Ino)
	case EffectEntry, EffectEntryGone:
		return PlaceOfInode(e.Parent) + Place(e.Name)
	case EffectRefs:
		return Place(append48([]byte{placeRefs}, e.Slice.ID))
	case EffectQuota, EffectQuotaGone:
		return Place(placeQuotas)
	case EffectFreed, EffectFreedGone:
		return Place(append48(append48([]byte{placeFreed}, uint64(e.Time)), e.Seq)) //nolint:gosec // 6 bytes
	case EffectSession, EffectSessionGone, EffectReply:
		return Place(placeSessions)
	case EffectSetting, EffectSettingGone:
		return Place(placeSettings)
	case EffectMarks:
		return Place(append48([]byte{placeMarks}, e.Seq))
	default:
		return PlaceEnd
	}
}

// RowKey names the row that an effect sets or deletes, one name for both. Empty for an effect
// of no row.
func RowKey(e *Effect) string {
	number := func(kind EffectKind, n ...uint64) []byte {
		b := []byte{byte(kind)}
		for _, n := range n {
			b = binary.BigEndian.AppendUint64(b, n)
		}
		return b
	}
	var key []byte
	switch e.Kind {
	case EffectInode, EffectInodeGone:
		key = number(EffectInode, uint64(e.Ino))
	case EffectOrphan, EffectOrphanGone:
		key = number(EffectOrphan, uint64(e.Ino))
	case EffectTarget, EffectTargetGone:
		key = number(EffectTarget, uint64(e.Ino))
	case EffectNames:
		key = number(EffectNames, uint64(e.Ino), uint64(e.Parent))
	case EffectXattr, EffectXattrGone:
		key = append(number(EffectXattr, uint64(e.Ino)), e.Name...)
	case EffectChunk, EffectChunkGone:
		key = number(EffectChunk, uint64(e.Ino), uint64(e.Index))
	case EffectEntry, EffectEntryGone:
		key = append(number(EffectEntry, uint64(e.Parent)), e.Name...)
	case EffectRefs:
		key = number(EffectRefs, e.Slice.ID)
	case EffectQuota:
		key = number(EffectQuota, uint64(e.Quota.Dir))
	case EffectQuotaGone:
		key = number(EffectQuota, uint64(e.Ino))
	case EffectFreed, EffectFreedGone:
		key = number(EffectFreed, uint64(e.Time), e.Seq) //nolint:gosec // 6 bytes
	case EffectSession, EffectSessionGone:
		key = number(EffectSession, uint64(e.Session))
	case EffectReply:
		key = number(EffectReply, uint64(e.Session), uint64(e.Slot))
	case EffectSetting, EffectSettingGone:
		key = append(number(EffectSetting), e.Name...)
	case EffectMarks:
		key = number(EffectMarks, e.Seq)
	default:
	}
	return string(key)
}

// Gone gives the effect that deletes the row which e sets.
func Gone(e Effect) Effect {
	switch e.Kind {
	case EffectNames, EffectRefs:
		e.Count = 0
	case EffectReply, EffectMarks:
		e.Value = nil
	case EffectQuota:
		e.Ino = e.Quota.Dir
		e.Kind = EffectQuotaGone
	default:
		e.Kind += 'a' - 'A'
	}
	return e
}

// IsGone tells whether an effect deletes a row.
func IsGone(e *Effect) bool {
	switch e.Kind {
	case EffectNames, EffectRefs:
		return e.Count == 0
	case EffectReply, EffectMarks:
		return len(e.Value) == 0
	default:
		return e.Kind >= 'a'
	}
}

// Part is a range of rows and a sum of them.
type Part struct {
	// End is where the part ends; it begins where the one before ends.
	End Place
	// Rows counts them.
	Rows int
	// Sum is 12 bytes that depend on all bytes of all rows, and on nothing else: the rows'
	// order in a server and its paging do not matter. Empty when the part has more than one
	// call may read: such parts are compared row by row.
	Sum string
}

// Digest is a run of parts as they are in one state.
type Digest struct {
	State State
	Parts []Part
}

// MaxDigestRows bounds how many rows one Digest reads, and so how long it takes.
const MaxDigestRows = 4000

// Comparer is what two sites are compared by. It writes nothing.
type Comparer interface {
	// Digest sums up rows from a place on, of about limit rows, at most MaxDigestRows. Without
	// ends, the engine chooses the parts, at least one, of some hundred rows each; the
	// last one of all ends at PlaceEnd. With ends, which ascend, the parts are up to those,
	// as many as fit into a call: maybe none, when there is more in the first than the limit
	// lets expect.
	Digest(ctx context.Context, from Place, ends []Place, limit int) (Digest, error)
	// Rows returns the rows from a place up to another, in no order. Rows that change between
	// the calls may be given old or new, and some twice, as by Scan. cursor is nil, or what the
	// call before returned as Next.
	Rows(ctx context.Context, from, to Place, cursor Cursor, limit int) (Batch, error)
}
