package model

import (
	"slices"
	"syscall"

	"mirrorfs/meta"
)

// repair stages the rows of a Repair, if those that it expects are there.
func (s *staged) repair(c *meta.Repair) syscall.Errno {
	for i := range c.Expect {
		if !s.v.tables.holds(&c.Expect[i]) {
			return syscall.EAGAIN
		}
	}
	used := &s.counters.Usage
	if int64(used.Bytes)+c.Bytes < 0 || int64(used.Inodes)+c.Inodes < 0 {
		return syscall.EINVAL
	}
	used.Bytes += uint64(c.Bytes)
	used.Inodes += uint64(c.Inodes)
	s.counters.NextIno = max(s.counters.NextIno, c.NextIno)
	s.counters.NextSlice = max(s.counters.NextSlice, c.NextSlice)
	if len(c.Effects)+len(c.Free) == 0 && s.counters == s.v.state.Counters {
		return syscall.EAGAIN
	}
	for _, e := range c.Effects {
		s.add(e)
	}
	if len(c.Free) > 0 {
		s.add(meta.Effect{Kind: meta.EffectFreed, Seq: s.seq, Time: s.now / 1e6, Slices: c.Free})
	}
	return 0
}

// holds reports whether a row is as an effect says.
func (t *tables) holds(e *meta.Effect) bool {
	switch e.Kind {
	case meta.EffectInode:
		a, ok := t.inodes[e.Ino]
		return ok && slices.Equal(meta.AppendInode(nil, &a), meta.AppendInode(nil, &e.Attr))
	case meta.EffectInodeGone:
		_, ok := t.inodes[e.Ino]
		return !ok
	case meta.EffectEntry:
		return t.entries[e.Parent][e.Name] == entry{ino: e.Ino, kind: e.Type}
	case meta.EffectEntryGone:
		_, ok := t.entries[e.Parent][e.Name]
		return !ok
	case meta.EffectRefs:
		return t.refs[e.Slice.ID] == e.Count
	case meta.EffectQuota:
		return t.quotas[e.Quota.Dir] == e.Quota
	case meta.EffectOrphan:
		return t.orphans[e.Ino] == orphanOf(e)
	case meta.EffectOrphanGone:
		_, ok := t.orphans[e.Ino]
		return !ok
	case meta.EffectFreed:
		return slices.Equal(t.freed[e.Seq].Slices, e.Slices)
	case meta.EffectSliceWritten:
		return t.extents[e.Slice.ID] > 0 || t.gone[e.Slice.ID] != 0
	default:
		return false
	}
}
