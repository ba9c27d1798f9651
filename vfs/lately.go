package vfs

import (
	"sync/atomic"

	"mirrorfs/meta"
)

// lately remembers the attributes of directories as this client's own changes
// left them. The kernel forgets a directory's attributes with every change
// below it and asks for them before the next one; the answer came with the
// reply to the change. One slot per hash value, the latest change wins.
type lately struct{ slots []atomic.Pointer[changedDir] }

type changedDir struct {
	node meta.Node
	pos  meta.Position // of the change
	at   int64         // ns, when its reply came
}

const latelySlots = 1024

func (l *lately) init() { l.slots = make([]atomic.Pointer[changedDir], latelySlots) }

func (l *lately) slot(ino meta.Ino) *atomic.Pointer[changedDir] { return &l.slots[ino%latelySlots] }

// note keeps what a change at pos did to a directory, unless a later one is known.
func (l *lately) note(ino meta.Ino, attr *meta.Attr, pos meta.Position, now int64) {
	slot := l.slot(ino)
	d := &changedDir{node: meta.Node{Ino: ino, Attr: *attr}, pos: pos, at: now}
	for {
		old := slot.Load()
		if old != nil && old.node.Ino == ino && !old.pos.Before(pos) || slot.CompareAndSwap(old, d) {
			return
		}
	}
}

// since gives the directory if this client changed it after a time (ns).
func (l *lately) since(ino meta.Ino, t int64) (meta.Node, bool) {
	d := l.slot(ino).Load()
	if d == nil || d.node.Ino != ino || d.at <= t {
		return meta.Node{}, false
	}
	return d.node, true
}

// forget drops what is remembered of a directory, because something newer was seen.
func (l *lately) forget(ino meta.Ino) {
	slot := l.slot(ino)
	if d := slot.Load(); d != nil && d.node.Ino == ino {
		slot.CompareAndSwap(d, nil)
	}
}
