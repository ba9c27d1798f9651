package model

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// trash is how long the volume keeps what was deleted.
func (v *volume) trash() time.Duration {
	var settings meta.Volume
	if err := json.Unmarshal(v.tables.settings[volumeSetting], &settings); err != nil {
		panic("model: " + err.Error()) // our own encoding
	}
	return settings.Trash
}

// keepContent makes an orphan of all that a file holds, which leaves the file empty,
// and reports whether it did.
func (s *staged) keepContent(ino meta.Ino) bool {
	t := &s.v.tables
	old, held := t.inodes[ino], t.content(ino)
	extents, xattrBytes := 0, 0
	for _, list := range held {
		extents += len(list)
	}
	for name, value := range t.xattrs[ino] {
		xattrBytes += len(name) + len(value)
	}
	lists := len(t.chunks[ino])
	if old.Nlink == 0 || extents == 0 || s.v.trash() == 0 || lists > meta.MaxKeptLists ||
		lists > 0 && len(meta.AppendExtents(nil, slices.Concat(slices.Collect(maps.Values(held))...))) > meta.MaxKeptBytes ||
		xattrBytes > meta.MaxKeptXattrBytes {
		return false
	}
	s.setSize(ino, 0)
	a := s.inode(ino)
	a.Inline, a.HasChunks, a.Version = nil, false, s.version()
	kept := s.counters.NextIno
	s.counters.NextIno++
	old.Nlink, old.Parent, old.Spread = 0, ino, false
	s.inodes[kept], s.order = &old, append(s.order, kept)
	for _, index := range slices.Sorted(maps.Keys(t.chunks[ino])) {
		s.add(meta.Effect{Kind: meta.EffectChunkGone, Ino: ino, Index: index})
		s.add(meta.Effect{Kind: meta.EffectChunk, Ino: kept, Index: index, Value: meta.AppendExtents(nil, t.chunks[ino][index])})
	}
	for _, name := range slices.Sorted(maps.Keys(t.xattrs[ino])) {
		s.add(meta.Effect{Kind: meta.EffectXattr, Ino: kept, Name: name, Value: t.xattrs[ino][name]})
	}
	s.orphan(kept, ino, "")
	return true
}

func (s *staged) purge(c *meta.Purge) syscall.Errno {
	if t := &s.v.tables; t.orphans[c.Orphan.Ino] != c.Orphan || c.Orphan.Ino == 0 {
		return syscall.ENOENT
	}
	for id, open := range s.v.open {
		if open[c.Orphan.Ino] && s.v.isAlive(id, s.now) {
			return syscall.EBUSY
		}
	}
	s.freedFrom = max(s.freedFrom-s.v.trash().Milliseconds(), 0)
	s.destroy(c.Orphan.Ino)
	s.dropOrphan(c.Orphan)
	return 0
}

func (s *staged) dropOrphan(o meta.Orphan) {
	s.add(meta.Effect{Kind: meta.EffectOrphanGone, Time: o.UnlinkedMs, Ino: o.Ino, Parent: o.Parent, Name: o.Name})
}

func (s *staged) restore(c *meta.Restore) syscall.Errno {
	t := &s.v.tables
	if c.Orphan.UnlinkedMs == 0 || t.orphans[c.Orphan.Ino] != c.Orphan {
		return syscall.ENOENT
	}
	if _, errno := t.dir(c.Parent); errno != 0 {
		return errno
	}
	if _, taken := t.entries[c.Parent][c.Name]; taken {
		return syscall.EEXIST
	}
	a := s.inode(c.Orphan.Ino)
	a.Nlink, a.Ctime = 1, s.now
	if a.IsDir() {
		a.Nlink = 2
	}
	s.counters.Usage.Inodes++
	s.counters.Usage.Bytes += usedBytes(a)
	s.dropOrphan(c.Orphan)
	s.link(c.Parent, c.Name, c.Orphan.Ino)
	return 0
}

func (s *staged) reclaim(c *meta.Reclaim) syscall.Errno {
	gone := map[uint64]bool{}
	for _, row := range c.Rows {
		if f, ok := s.v.tables.freed[row.Seq]; ok && f.Time == row.Ms && !gone[row.Seq] {
			gone[row.Seq] = true
			s.add(meta.Effect{Kind: meta.EffectFreedGone, Seq: row.Seq, Time: row.Ms})
		}
	}
	if len(gone) == 0 {
		return syscall.ENOENT
	}
	return 0
}

// Orphans implements meta.Purger.
func (e *Engine) Orphans(ctx context.Context, after meta.Orphan, before time.Time, limit int) ([]meta.Orphan, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	order := func(a, b meta.Orphan) int {
		return cmp.Or(cmp.Compare(a.UnlinkedMs, b.UnlinkedMs), cmp.Compare(a.Ino, b.Ino))
	}
	var old []meta.Orphan
	for _, o := range e.v.tables.orphans {
		if o.UnlinkedMs < before.UnixMilli() && order(o, after) > 0 {
			old = append(old, o)
		}
	}
	slices.SortFunc(old, order)
	return old[:min(len(old), limit, meta.MaxPageEntries)], ctx.Err()
}

// Orphan implements meta.Purger.
func (e *Engine) Orphan(ctx context.Context, ino meta.Ino) (meta.Orphan, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	o, ok := e.v.tables.orphans[ino]
	if !ok {
		return o, &meta.Error{Op: "orphan", Ino: ino, Errno: syscall.ENOENT}
	}
	return o, ctx.Err()
}

// knows reports whether a slice is referenced, or freed and not reclaimed.
func (t *tables) knows(slice uint64) bool { return t.extents[slice] > 0 || t.gone[slice] > 0 }

// revive takes slices off what was freed.
func (s *staged) revive(slices map[uint64]meta.Slice) {
	t, rows := &s.v.tables, map[uint64][]meta.Slice{}
	for id := range slices {
		if seq := t.gone[id]; seq > 0 {
			rows[seq] = nil
		}
	}
	for seq := range rows {
		row := t.freed[seq]
		for _, slice := range row.Slices {
			if _, named := slices[slice.ID]; !named {
				rows[seq] = append(rows[seq], slice)
			}
		}
		if row.Slices = rows[seq]; len(row.Slices) > 0 {
			s.add(row)
		} else {
			s.add(meta.Effect{Kind: meta.EffectFreedGone, Seq: seq, Time: row.Time})
		}
	}
}

// Freed implements meta.Reclaimer.
func (e *Engine) Freed(ctx context.Context, after meta.Freed, before time.Time, limit int) ([]meta.Freed, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	order := func(a, b meta.Freed) int { return cmp.Or(cmp.Compare(a.Ms, b.Ms), cmp.Compare(a.Seq, b.Seq)) }
	var rows []meta.Freed
	for _, f := range e.v.tables.freed {
		row := meta.Freed{Seq: f.Seq, Ms: f.Time, Slices: slices.Clone(f.Slices)}
		if row.Ms < before.UnixMilli() && order(row, after) > 0 {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, order)
	return rows[:min(len(rows), limit, meta.MaxPageEntries)], ctx.Err()
}

// Known implements meta.Reclaimer.
func (e *Engine) Known(ctx context.Context, ids []uint64) ([]bool, error) {
	if len(ids) > meta.MaxKnown {
		return nil, &meta.Error{Op: "known", Errno: syscall.EINVAL}
	}
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	known := make([]bool, len(ids))
	for i, id := range ids {
		known[i] = e.v.tables.knows(id)
	}
	return known, ctx.Err()
}
