package model

import (
	"maps"
	"slices"

	"mirrorfs/meta"
)

// staged is a change under way: the rows that it will write. Nothing else
// sees them before commit, so a change may fail at any point.
type staged struct {
	v        *volume
	now      int64  // of the change, ns
	seq      uint64 // of the record it will make
	counters meta.Counters
	// freedFrom is when the trash time of what it frees begins, ms.
	freedFrom int64

	inodes map[meta.Ino]*meta.Attr  // nil: the inode goes
	order  []meta.Ino               // keys of inodes; the one the change is about comes first
	rest   []meta.Effect            // of all other tables
	quotas map[meta.Ino]*meta.Quota // set by this change; nil: it goes
}

func (v *volume) stage(now int64) *staged {
	return &staged{
		v: v, now: now, seq: v.state.Position.Seq + 1, counters: v.state.Counters, freedFrom: now / 1e6,
		inodes: map[meta.Ino]*meta.Attr{}, quotas: map[meta.Ino]*meta.Quota{},
	}
}

func (s *staged) add(e meta.Effect) { s.rest = append(s.rest, e) }

// setEntry stages an entry, or that it goes; the last word on a name counts.
func (s *staged) setEntry(e meta.Effect) {
	for i := range s.rest {
		if r := &s.rest[i]; (r.Kind == meta.EffectEntry || r.Kind == meta.EffectEntryGone) && r.Parent == e.Parent && r.Name == e.Name {
			*r = e
			return
		}
	}
	s.add(e)
}

// inode gives an existing inode's attributes, to be changed.
func (s *staged) inode(ino meta.Ino) *meta.Attr {
	if a, ok := s.inodes[ino]; ok {
		return a
	}
	a := s.v.tables.inodes[ino]
	s.inodes[ino] = &a
	s.order = append(s.order, ino)
	return &a
}

// create makes a new inode.
func (s *staged) create(a meta.Attr) meta.Ino {
	ino := s.counters.NextIno
	s.counters.NextIno++
	s.counters.Usage.Inodes++
	s.inodes[ino] = &a
	s.order = append(s.order, ino)
	return ino
}

// destroy deletes an orphan's inode and all that hangs on it.
func (s *staged) destroy(ino meta.Ino) {
	attr := s.inode(ino)
	if attr.IsFile() {
		s.setContent(ino, content{}, nil)
	}
	if _, ok := s.v.tables.targets[ino]; ok {
		s.add(meta.Effect{Kind: meta.EffectTargetGone, Ino: ino})
	}
	for _, name := range slices.Sorted(maps.Keys(s.v.tables.xattrs[ino])) {
		s.add(meta.Effect{Kind: meta.EffectXattrGone, Ino: ino, Name: name})
	}
	s.inodes[ino] = nil
}

// link enters a name in a directory and unlink takes one out; both change the
// directory's times, and its count of entries and, for a directory, of links.
func (s *staged) link(parent meta.Ino, name string, ino meta.Ino) {
	kind := s.inode(ino).Type()
	s.setEntry(meta.Effect{Kind: meta.EffectEntry, Parent: parent, Name: name, Type: kind, Ino: ino})
	s.inode(ino).Parent = parent
	dir := s.inode(parent)
	dir.Size++
	if kind == meta.TypeDir {
		dir.Nlink++
	}
	s.touch(parent)
}

func (s *staged) unlink(parent meta.Ino, name string, kind uint32) {
	s.setEntry(meta.Effect{Kind: meta.EffectEntryGone, Parent: parent, Name: name})
	dir := s.inode(parent)
	dir.Size--
	if kind == meta.TypeDir {
		dir.Nlink--
	}
	s.touch(parent)
}

// touch notes that a directory's entries changed.
func (s *staged) touch(dir meta.Ino) {
	a := s.inode(dir)
	a.Mtime, a.Ctime = s.now, s.now
}

// loseName is what happens to an inode whose entry was taken out: it has a name
// less, and without any is an orphan.
func (s *staged) loseName(ino, parent meta.Ino, name string) {
	a := s.inode(ino)
	a.Ctime = s.now
	if a.Nlink--; a.Nlink > 0 && !a.IsDir() {
		return
	}
	if _, ok := s.v.tables.quotas[ino]; ok {
		s.quotas[ino] = nil
	}
	a.Nlink, a.Parent = 0, parent
	s.counters.Usage.Inodes--
	s.counters.Usage.Bytes -= usedBytes(a)
	s.orphan(ino, parent, name)
}

func (s *staged) orphan(ino, parent meta.Ino, name string) {
	s.add(meta.Effect{Kind: meta.EffectOrphan, Time: s.now / 1e6, Ino: ino, Parent: parent, Name: name})
}

// setSize changes a file's size and the volume's used bytes.
func (s *staged) setSize(ino meta.Ino, size uint64) {
	a := s.inode(ino)
	before := usedBytes(a)
	a.Size = size
	if a.Nlink > 0 {
		s.counters.Usage.Bytes += usedBytes(a) - before
	}
}

// usedBytes is what a file counts for in the volume's usage.
func usedBytes(a *meta.Attr) uint64 {
	if !a.IsFile() {
		return 0
	}
	return (a.Size + 4095) &^ 4095
}

// version makes one for a file whose extents are in lists.
func (s *staged) version() uint64 {
	return (s.counters.NextSlice>>19&(1<<16-1)<<32 | s.seq&(1<<32-1)) << 1
}

// setContent writes a file's new extents: inside the inode when one covers the
// whole file, as lists otherwise. It counts references and frees slices that
// have none left. The size must have been set. Named are slices that become known
// by this change, even if nothing of them is left.
func (s *staged) setContent(ino meta.Ino, now content, named map[uint64]meta.Slice) {
	a := s.inode(ino)
	before := s.v.tables.content(ino)
	s.countReferences(before, now, named)
	a.Inline = now.inline(a.Size)
	a.HasChunks = a.Inline == nil && len(now) > 0
	a.Version = s.version()
	if a.Inline != nil {
		a.Version = a.Inline.Slice<<27 | uint64(a.Inline.Off)<<1 | 1
	}
	lists := now
	if a.Inline != nil {
		lists = nil
	}
	old := s.v.tables.chunks[ino]
	for _, index := range slices.Sorted(maps.Keys(lists)) {
		if !slices.Equal(lists[index], old[index]) {
			s.add(meta.Effect{Kind: meta.EffectChunk, Ino: ino, Index: index, Value: meta.AppendExtents(nil, lists[index])})
		}
	}
	for _, index := range slices.Sorted(maps.Keys(old)) {
		if _, ok := lists[index]; !ok {
			s.add(meta.Effect{Kind: meta.EffectChunkGone, Ino: ino, Index: index})
		}
	}
}

// countReferences stages what a file's new extents mean for the slices.
func (s *staged) countReferences(before, now content, named map[uint64]meta.Slice) {
	s.revive(named)
	was, touched := before.count()
	is, found := now.count()
	maps.Copy(touched, found)
	maps.Copy(touched, named)
	var freed []meta.Slice
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		total := s.v.tables.extents[id]
		after := total + is[id] - was[id]
		if refs := max(after-1, 0); refs != max(total-1, 0) {
			s.add(meta.Effect{Kind: meta.EffectRefs, Slice: meta.Slice{ID: id}, Count: uint32(refs)})
		}
		if total == 0 {
			s.add(meta.Effect{Kind: meta.EffectSliceWritten, Slice: touched[id]})
		}
		if after == 0 {
			freed = append(freed, touched[id])
		}
	}
	if len(freed) > 0 {
		s.add(meta.Effect{Kind: meta.EffectFreed, Seq: s.seq, Time: s.freedFrom, Slices: freed})
	}
}

// effects lists all rows that change, inodes first.
func (s *staged) effects() []meta.Effect {
	var effects []meta.Effect
	for _, ino := range s.order {
		if a := s.inodes[ino]; a != nil {
			effects = append(effects, meta.Effect{Kind: meta.EffectInode, Ino: ino, Attr: *a})
		} else {
			effects = append(effects, meta.Effect{Kind: meta.EffectInodeGone, Ino: ino})
		}
	}
	return append(effects, s.rest...)
}
