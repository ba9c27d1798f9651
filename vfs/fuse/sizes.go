package fuse

import (
	"sync"
	"time"

	"mirrorfs/meta"
)

// sizes remembers which size of a file the kernel was told last. It goes by that
// size when it reads, for as long as it keeps attributes, and an open does not
// bring it a new one: so an open has to find out whether it is right.
//
// It holds one file per slot, the latest wins. Not to know is safe and costs the
// kernel a question.
type sizes struct {
	// unsure is for how long after a change the kernel may go by either size,
	// because answers can overtake each other on their way.
	unsure time.Duration
	slots  []sizeSlot
}

type sizeSlot struct {
	mu      sync.Mutex
	ino     meta.Ino
	size    uint64
	changed time.Time
}

const sizeSlots = 1 << 14

func newSizes(attrTimeout time.Duration) sizes {
	return sizes{unsure: attrTimeout, slots: make([]sizeSlot, sizeSlots)}
}

// note is called before the kernel is told a size.
func (s *sizes) note(ino meta.Ino, size uint64) {
	slot := &s.slots[ino%sizeSlots]
	slot.mu.Lock()
	defer slot.mu.Unlock()
	switch {
	case slot.ino != ino:
		slot.ino, slot.size, slot.changed = ino, size, time.Time{}
	case slot.size != size:
		slot.size, slot.changed = size, time.Now()
	}
}

// agrees reports whether the kernel goes by this size for sure.
func (s *sizes) agrees(ino meta.Ino, size uint64) bool {
	slot := &s.slots[ino%sizeSlots]
	slot.mu.Lock()
	defer slot.mu.Unlock()
	return slot.ino == ino && slot.size == size && (slot.changed.IsZero() || time.Since(slot.changed) > s.unsure)
}
