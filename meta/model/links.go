package model

import (
	"maps"
	"slices"

	"mirrorfs/meta"
)

// settleNames stages where the files of a change have their names now: rows for
// those that have some in several directories, and the parent of those that have
// none left in the one that was it.
func (s *staged) settleNames() {
	now := map[meta.Ino]map[meta.Ino]uint32{}
	move := func(dir meta.Ino, name string, e entry, by int) {
		if e.kind == meta.TypeDir {
			return
		}
		if now[e.ino] == nil {
			now[e.ino] = maps.Clone(s.v.tables.places[e.ino])
		}
		if n := int(now[e.ino][dir]) + by; n > 0 {
			put(now, e.ino, dir, uint32(n))
		} else {
			delete(now[e.ino], dir)
		}
	}
	for _, e := range s.rest {
		switch e.Kind {
		case meta.EffectEntry, meta.EffectEntryGone:
			if old, ok := s.v.tables.entries[e.Parent][e.Name]; ok {
				move(e.Parent, e.Name, old, -1)
			}
			if e.Kind == meta.EffectEntry {
				move(e.Parent, e.Name, entry{ino: e.Ino, kind: e.Type}, 1)
			}
		}
	}
	for _, ino := range slices.Sorted(maps.Keys(now)) {
		s.settleFile(ino, now[ino])
	}
}

// settleFile stages where one file has its names.
func (s *staged) settleFile(ino meta.Ino, dirs map[meta.Ino]uint32) {
	a := s.inode(ino)
	if len(dirs) > 0 && dirs[a.Parent] == 0 {
		a.Parent = slices.Min(slices.Collect(maps.Keys(dirs)))
	}
	if a.Spread = len(dirs) > 1; !a.Spread {
		dirs = nil
	}
	old := s.v.tables.spread[ino]
	for dir, n := range dirs {
		if old[dir] != n {
			s.add(meta.Effect{Kind: meta.EffectNames, Ino: ino, Parent: dir, Count: n})
		}
	}
	for dir := range old {
		if dirs[dir] == 0 {
			s.add(meta.Effect{Kind: meta.EffectNames, Ino: ino, Parent: dir})
		}
	}
}
