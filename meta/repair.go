package meta

import "syscall"

// Repair writes rows as they should be, if those that it was worked out from are still as they
// were: EAGAIN otherwise, and nothing is done. It makes sure of nothing else. It is
// for administration and needs no session. A record is made like that of any change, so
// that mirrors are mended too.
type Repair struct {
	// Expect are rows that must be as given, at most MaxRepairEffects, of the kinds
	// EffectInode, EffectInodeGone, EffectEntry, EffectEntryGone, EffectRefs (of 0: no row),
	// EffectOrphan, EffectOrphanGone, EffectFreed, EffectSliceWritten and EffectQuota.
	Expect []Effect
	// Effects are rows to set and delete, at most MaxRepairEffects, those of inodes
	// first. Of kept replies and marks there is none, and whoever sets or deletes an entry sets or
	// expects the inode of its directory.
	Effects []Effect
	// Free are slices to be freed by this change.
	Free []Slice
	// Bytes and Inodes are added to what the volume uses. What is used is kept by adding
	// and taking away, so an error stays the same whatever else changes.
	Bytes, Inodes int64
	// NextIno and NextSlice are the least that the next numbers must be; 0 asks for nothing.
	NextIno   Ino
	NextSlice uint64
}

// MaxRepairEffects bounds each list of a Repair, and so how long it takes.
const MaxRepairEffects = 1000

// maxRepairBytes bounds the encoded form of a Repair's rows.
const maxRepairBytes = 256 << 10

// Op is OpRepair.
func (Repair) Op() Op { return OpRepair }

// checkRepair says what is wrong with a repair: EINVAL, E2BIG.
func checkRepair(c *Repair) syscall.Errno {
	if max(len(c.Expect), len(c.Effects), len(c.Free)) > MaxRepairEffects {
		return syscall.E2BIG
	}
	if len(c.Effects)+len(c.Free) == 0 && c.Bytes == 0 && c.Inodes == 0 && c.NextIno == 0 && c.NextSlice == 0 {
		return syscall.EINVAL
	}
	if c.NextIno > MaxIno || c.NextSlice > MaxSlice {
		return syscall.EINVAL
	}
	known := map[Ino]bool{}
	bytes := 0
	for i := range c.Expect {
		e := &c.Expect[i]
		switch e.Kind {
		case EffectInode:
			known[e.Ino] = true
		case EffectInodeGone, EffectEntry, EffectEntryGone, EffectRefs, EffectOrphan, EffectOrphanGone, EffectFreed, EffectSliceWritten, EffectQuota:
		default:
			return syscall.EINVAL
		}
		bytes += len(AppendEffect(nil, e))
	}
	inodes := true
	for i := range c.Effects {
		e := &c.Effects[i]
		switch e.Kind {
		case EffectInode, EffectInodeGone:
			if !inodes {
				return syscall.EINVAL
			}
			known[e.Ino] = e.Kind == EffectInode
		case EffectEntry, EffectEntryGone:
			inodes = false
			if !known[e.Parent] {
				return syscall.EINVAL
			}
		case EffectReply, EffectMarks:
			return syscall.EINVAL
		default:
			inodes = false
		}
		bytes += len(AppendEffect(nil, e))
	}
	if bytes > maxRepairBytes {
		return syscall.E2BIG
	}
	return 0
}
