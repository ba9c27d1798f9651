package model

import (
	"encoding/binary"
	"maps"
	"slices"

	"mirrorfs/meta"
)

// tables are the rows of a volume, see docs/format.md.
type tables struct {
	inodes   map[meta.Ino]meta.Attr
	entries  map[meta.Ino]map[string]entry
	chunks   map[meta.Ino]content // extent lists of files without an inline extent
	targets  map[meta.Ino]string
	xattrs   map[meta.Ino]map[string][]byte
	refs     map[uint64]uint32 // references to a slice beyond the first
	freed    map[uint64]meta.Effect
	orphans  map[meta.Ino]meta.Orphan
	sessions map[meta.SessionID][]byte
	replies  map[slot][]byte
	settings map[string][]byte
	quotas   map[meta.Ino]meta.Quota
	// spread counts the names of a file by directory, of those with names in several.
	spread map[meta.Ino]map[meta.Ino]uint32

	// names has the names of each directory in order. It follows from entries.
	names map[meta.Ino][]string
	// places counts the names of each inode by directory. It follows from entries.
	places map[meta.Ino]map[meta.Ino]uint32
	// extents counts the extents that point to a slice. It follows from the rows.
	extents map[uint64]int
	// gone has the slices of freed, with the seq that freed them.
	gone map[uint64]uint64
}

type entry struct {
	ino  meta.Ino
	kind uint32 // type bits of the mode
}

type slot struct {
	session meta.SessionID
	slot    uint16
}

func newTables() tables {
	return tables{
		inodes:   map[meta.Ino]meta.Attr{},
		entries:  map[meta.Ino]map[string]entry{},
		chunks:   map[meta.Ino]content{},
		targets:  map[meta.Ino]string{},
		xattrs:   map[meta.Ino]map[string][]byte{},
		refs:     map[uint64]uint32{},
		freed:    map[uint64]meta.Effect{},
		orphans:  map[meta.Ino]meta.Orphan{},
		sessions: map[meta.SessionID][]byte{},
		replies:  map[slot][]byte{},
		settings: map[string][]byte{},
		quotas:   map[meta.Ino]meta.Quota{},
		spread:   map[meta.Ino]map[meta.Ino]uint32{},
		names:    map[meta.Ino][]string{},
		places:   map[meta.Ino]map[meta.Ino]uint32{},
		extents:  map[uint64]int{},
		gone:     map[uint64]uint64{},
	}
}

// content gives the extent lists of a file, the inline extent's included.
func (t *tables) content(ino meta.Ino) content {
	if e := t.inodes[ino].Inline; e != nil {
		return content{0: {*e}}
	}
	return t.chunks[ino]
}

// apply sets or deletes the row of an effect.
func (t *tables) apply(e *meta.Effect) {
	switch e.Kind {
	case meta.EffectInode:
		t.putInode(e.Ino, e.Attr)
	case meta.EffectInodeGone:
		t.count(t.inodes[e.Ino].Inline, -1)
		delete(t.inodes, e.Ino)
	case meta.EffectEntry:
		if at, found := slices.BinarySearch(t.names[e.Parent], e.Name); !found {
			t.names[e.Parent] = slices.Insert(t.names[e.Parent], at, e.Name)
		}
		t.place(e.Parent, e.Name, -1)
		put(t.entries, e.Parent, e.Name, entry{ino: e.Ino, kind: e.Type})
		t.place(e.Parent, e.Name, 1)
	case meta.EffectEntryGone:
		if at, found := slices.BinarySearch(t.names[e.Parent], e.Name); found {
			t.names[e.Parent] = slices.Delete(t.names[e.Parent], at, at+1)
		}
		if len(t.names[e.Parent]) == 0 {
			delete(t.names, e.Parent)
		}
		t.place(e.Parent, e.Name, -1)
		remove(t.entries, e.Parent, e.Name)
	case meta.EffectChunk, meta.EffectChunkGone:
		t.putChunk(e)
	case meta.EffectTarget:
		t.targets[e.Ino] = string(e.Value)
	case meta.EffectTargetGone:
		delete(t.targets, e.Ino)
	case meta.EffectXattr:
		put(t.xattrs, e.Ino, e.Name, slices.Clone(e.Value))
	case meta.EffectXattrGone:
		remove(t.xattrs, e.Ino, e.Name)
	default:
		t.applyOther(e)
	}
}

// applyOther sets or deletes rows that are not about one file.
func (t *tables) applyOther(e *meta.Effect) {
	switch e.Kind {
	case meta.EffectRefs:
		t.refs[e.Slice.ID] = e.Count
		if e.Count == 0 {
			delete(t.refs, e.Slice.ID)
		}
	case meta.EffectFreed:
		t.dropFreed(e.Seq)
		t.freed[e.Seq] = *e
		for _, s := range e.Slices {
			t.gone[s.ID] = e.Seq
		}
	case meta.EffectFreedGone:
		t.dropFreed(e.Seq)
	case meta.EffectOrphan:
		t.orphans[e.Ino] = orphanOf(e)
	case meta.EffectOrphanGone:
		delete(t.orphans, e.Ino)
	case meta.EffectSession:
		t.sessions[e.Session] = slices.Clone(e.Value)
	case meta.EffectSessionGone:
		delete(t.sessions, e.Session)
		maps.DeleteFunc(t.replies, func(s slot, _ []byte) bool { return s.session == e.Session })
	case meta.EffectSetting:
		t.settings[e.Name] = slices.Clone(e.Value)
	case meta.EffectSettingGone:
		delete(t.settings, e.Name)
	case meta.EffectQuota:
		t.quotas[e.Quota.Dir] = e.Quota
	case meta.EffectQuotaGone:
		delete(t.quotas, e.Ino)
	case meta.EffectNames:
		if e.Count == 0 {
			remove(t.spread, e.Ino, e.Parent)
		} else {
			put(t.spread, e.Ino, e.Parent, e.Count)
		}
	case meta.EffectReply:
		t.replies[slot{e.Session, e.Slot}] = slices.Clone(e.Value)
		if len(e.Value) == 0 {
			delete(t.replies, slot{e.Session, e.Slot})
		}
	}
}

// place notes that a name came to, or leaves, what it names; it may not exist.
func (t *tables) place(dir meta.Ino, name string, by int) {
	e, ok := t.entries[dir][name]
	if !ok {
		return
	}
	if n := int(t.places[e.ino][dir]) + by; n > 0 {
		put(t.places, e.ino, dir, uint32(n))
	} else {
		remove(t.places, e.ino, dir)
	}
}

func (t *tables) dropFreed(seq uint64) {
	for _, s := range t.freed[seq].Slices {
		delete(t.gone, s.ID)
	}
	delete(t.freed, seq)
}

func (t *tables) putInode(ino meta.Ino, a meta.Attr) {
	t.count(t.inodes[ino].Inline, -1)
	t.count(a.Inline, 1)
	t.inodes[ino] = a
}

func (t *tables) putChunk(e *meta.Effect) {
	old := t.chunks[e.Ino][e.Index]
	for i := range old {
		t.count(&old[i], -1)
	}
	if e.Kind == meta.EffectChunkGone {
		remove(t.chunks, e.Ino, e.Index)
		return
	}
	// A list that came by a fuzzy copy may be newer, and shorter, than the effect knew.
	kept := meta.AppendExtents(nil, old)
	keep := min(int(e.Keep), len(kept))
	list, err := meta.DecodeExtents(append(kept[:keep:keep], e.Value...))
	if err != nil {
		panic("model: " + err.Error()) // effects were decoded, or are our own
	}
	for i := range list {
		t.count(&list[i], 1)
	}
	put(t.chunks, e.Ino, e.Index, list)
}

// count notes that an extent (nil: none) came or went.
func (t *tables) count(e *meta.Extent, by int) {
	if e == nil || e.Slice == 0 {
		return
	}
	if t.extents[e.Slice] += by; t.extents[e.Slice] == 0 {
		delete(t.extents, e.Slice)
	}
}

func orphanOf(e *meta.Effect) meta.Orphan {
	return meta.Orphan{UnlinkedMs: e.Time, Ino: e.Ino, Parent: e.Parent, Name: e.Name}
}

// put and remove write to a map of maps without leaving empty ones behind.
func put[M ~map[K]V, K2, K comparable, V any](m map[K2]M, outer K2, inner K, v V) {
	if m[outer] == nil {
		m[outer] = M{}
	}
	m[outer][inner] = v
}

func remove[M ~map[K]V, K2, K comparable, V any](m map[K2]M, outer K2, inner K) {
	if delete(m[outer], inner); len(m[outer]) == 0 {
		delete(m, outer)
	}
}

// keptReply is the value of a row that keeps a reply.
func keptReply(number uint32, reply []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, number), reply...)
}
