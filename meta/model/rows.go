package model

import (
	"encoding/binary"
	"slices"
	"strings"

	"mirrorfs/meta"
)

// row is a row of the tables as an effect, with a key that is unique and does not
// depend on the rest of the row.
type row struct {
	key    string
	effect meta.Effect
}

// rows gives all rows in the order of their keys.
func (t *tables) rows() []row {
	var rows []row
	add := func(first, second uint64, name string, e meta.Effect) {
		key := binary.BigEndian.AppendUint64([]byte{byte(e.Kind)}, first)
		key = binary.BigEndian.AppendUint64(key, second)
		rows = append(rows, row{key: string(key) + name, effect: e})
	}
	for ino, attr := range t.inodes {
		add(uint64(ino), 0, "", meta.Effect{Kind: meta.EffectInode, Ino: ino, Attr: attr})
	}
	for parent, dir := range t.entries {
		for name, e := range dir {
			add(uint64(parent), 0, name, meta.Effect{Kind: meta.EffectEntry, Parent: parent, Name: name, Type: e.kind, Ino: e.ino})
		}
	}
	for ino, c := range t.chunks {
		for index, list := range c {
			add(uint64(ino), uint64(index), "", meta.Effect{Kind: meta.EffectChunk, Ino: ino, Index: index, Value: meta.AppendExtents(nil, list)})
		}
	}
	for ino, target := range t.targets {
		add(uint64(ino), 0, "", meta.Effect{Kind: meta.EffectTarget, Ino: ino, Value: []byte(target)})
	}
	for ino, xattrs := range t.xattrs {
		for name, value := range xattrs {
			add(uint64(ino), 0, name, meta.Effect{Kind: meta.EffectXattr, Ino: ino, Name: name, Value: value})
		}
	}
	for id, count := range t.refs {
		add(id, 0, "", meta.Effect{Kind: meta.EffectRefs, Slice: meta.Slice{ID: id}, Count: count})
	}
	for seq, e := range t.freed {
		add(seq, 0, "", e)
	}
	for _, o := range t.orphans {
		add(uint64(o.Ino), 0, "", meta.Effect{Kind: meta.EffectOrphan, Time: o.UnlinkedMs, Ino: o.Ino, Parent: o.Parent, Name: o.Name})
	}
	for id, value := range t.sessions {
		add(uint64(id), 0, "", meta.Effect{Kind: meta.EffectSession, Session: id, Value: value})
	}
	for s, value := range t.replies {
		add(uint64(s.session), uint64(s.slot), "", meta.Effect{Kind: meta.EffectReply, Session: s.session, Slot: s.slot, Value: value})
	}
	for dir, q := range t.quotas {
		add(uint64(dir), 0, "", meta.Effect{Kind: meta.EffectQuota, Quota: q})
	}
	for ino, dirs := range t.spread {
		for dir, count := range dirs {
			add(uint64(ino), uint64(dir), "", meta.Effect{Kind: meta.EffectNames, Ino: ino, Parent: dir, Count: count})
		}
	}
	for name, value := range t.settings {
		add(0, 0, name, meta.Effect{Kind: meta.EffectSetting, Name: name, Value: value})
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.key, b.key) })
	return rows
}
