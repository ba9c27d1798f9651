package vfs

import (
	"sync/atomic"

	"mirrorfs/meta"
)

// moments remembers when something was last seen of inodes: that they had no
// extended attributes, for which programs and the kernel ask at every turn. One slot
// per hash value, the latest wins.
type moments struct{ slots []moment }

// moment is an inode and when it was seen (ns), folded into one word each; a
// torn pair fails the check of sum.
type moment struct{ ino, at, sum atomic.Uint64 }

const momentSlots = 8192

func (m *moments) init() { m.slots = make([]moment, momentSlots) }

func (m *moments) note(ino meta.Ino, now int64) {
	s := &m.slots[ino%momentSlots]
	s.ino.Store(uint64(ino))
	s.at.Store(uint64(now))
	s.sum.Store(uint64(ino) ^ uint64(now))
}

func (m *moments) forget(ino meta.Ino) { m.slots[ino%momentSlots].sum.Store(0) }

// since reports whether the inode was noted after a time.
func (m *moments) since(ino meta.Ino, t int64) bool {
	s := &m.slots[ino%momentSlots]
	at := s.at.Load()
	return s.ino.Load() == uint64(ino) && int64(at) > t && s.sum.Load() == uint64(ino)^at
}
