package fsck

import "mirrorfs/meta"

// sortedExtents is up to how many extents a list is kept sorted and without overlap.
const sortedExtents = 128

// checkSlices counts the extents of each slice and compares that with the references.
func (c *checker) checkSlices() {
	for ino := range c.t.inodes {
		if a, ok := c.t.attr(ino); ok && a.Inline != nil {
			c.use(ino, a.Inline)
		}
	}
	for k, row := range c.t.lists {
		c.checkList(k, row)
	}
	last := uint64(0)
	for id, u := range c.t.slices {
		last = max(last, id)
		if had, want := c.t.refs[id], u.count-1; had != want {
			c.findSlice(id, KindReferences, "it has %d extents, and %d references beyond the first", u.count, had).
				mend("correct the references", c.refsFix(id, had, want))
		}
	}
	if last >= c.t.state.NextSlice {
		c.find(KindNext, 0, "slice %d is in use, and the next is to be %d", last, c.t.state.NextSlice).
			mend("raise the next number", &fix{repair: meta.Repair{NextSlice: last + 1}})
	}
	for id, n := range c.t.refs {
		if _, ok := c.t.slices[id]; !ok {
			c.findSlice(id, KindReferences, "it has no extents, and %d references beyond the first", n).
				mend("remove the references", c.refsFix(id, n, 0))
		}
	}
	c.checkFreed()
}

func (c *checker) findSlice(id uint64, kind, format string, args ...any) *Finding {
	f := c.find(kind, 0, format, args...)
	f.Slice, f.owner = id, c.t.slices[id].owner
	return f
}

// refsFix corrects the references of a slice. Whoever makes or removes an extent of it changes
// the row of a file.
func (c *checker) refsFix(id uint64, was, is uint32) *fix {
	refs := meta.Effect{Kind: meta.EffectRefs, Slice: meta.Slice{ID: id}, Count: was}
	right := refs
	right.Count = is
	x := &fix{repair: meta.Repair{Expect: []meta.Effect{refs}, Effects: []meta.Effect{right}}}
	if owner := c.t.slices[id].owner; owner != 0 {
		x.expect(c.t.inodeEffect(owner))
	}
	return x
}

// checkList looks at one extent list.
func (c *checker) checkList(k listKey, row string) {
	list, err := meta.DecodeExtents([]byte(row))
	if err != nil || len(list) == 0 {
		c.find(KindExtents, k.ino, "the list of chunk %d has %d bytes, which is no list", k.index, len(row))
		return
	}
	a, _ := c.t.attr(k.ino)
	start := uint64(k.index) * meta.ChunkBytes
	end := uint32(0)
	for i := range list {
		e := &list[i]
		switch {
		case e.Len == 0 || uint64(e.Pos)+uint64(e.Len) > meta.ChunkBytes:
			c.find(KindExtents, k.ino, "an extent of chunk %d is at %d and %d long: outside of the chunk", k.index, e.Pos, e.Len)
		case e.Slice != 0 && uint64(e.Off)+uint64(e.Len) > uint64(e.Size):
			c.find(KindExtents, k.ino, "an extent of chunk %d goes to byte %d of slice %d, which has %d", k.index, uint64(e.Off)+uint64(e.Len), e.Slice, e.Size)
		case len(list) <= sortedExtents && e.Slice != 0 && start+uint64(e.Pos)+uint64(e.Len) > a.Size:
			c.find(KindExtents, k.ino, "an extent of chunk %d goes to byte %d of the file, which has %d", k.index, start+uint64(e.Pos)+uint64(e.Len), a.Size)
		case len(list) <= sortedExtents && (e.Pos < end || e.Slice == 0):
			c.find(KindExtents, k.ino, "the list of chunk %d is short and not in order at byte %d", k.index, e.Pos)
		}
		end = e.Pos + e.Len
		c.use(k.ino, e)
	}
}

// use counts an extent.
func (c *checker) use(ino meta.Ino, e *meta.Extent) {
	if e.Slice == 0 {
		return
	}
	u, ok := c.t.slices[e.Slice]
	if !ok {
		u = use{size: e.Size, home: e.Home, owner: ino}
	}
	if u.size != e.Size || u.home != e.Home {
		c.find(KindExtents, ino, "slice %d is of home %d and size %d here, and of home %d and size %d in inode %d", e.Slice, e.Home, e.Size, u.home, u.size, u.owner)
	}
	u.count++
	c.t.slices[e.Slice] = u
}

// checkFreed looks for freed slices that are in use, or freed twice.
func (c *checker) checkFreed() {
	for k, row := range c.t.freed {
		var x *fix
		for _, s := range row.Slices {
			if c.t.slices[s.ID].count > 0 {
				if x == nil {
					x = c.unfree(row)
				}
				c.findSlice(s.ID, KindFreed, "it was freed by record %d, and is in use", k.seq).mend("take it back from what is freed", x)
			}
			if other, twice := c.isFreed[s.ID]; twice {
				c.findSlice(s.ID, KindFreed, "it was freed by records %d and %d", other.Seq, k.seq)
			}
			c.isFreed[s.ID] = row
		}
	}
}

// unfree takes what is in use out of a row of freed slices.
func (c *checker) unfree(row meta.Effect) *fix {
	left := row
	left.Slices = nil
	x := &fix{repair: meta.Repair{
		Expect:  []meta.Effect{row},
		Effects: []meta.Effect{{Kind: meta.EffectFreedGone, Seq: row.Seq, Time: row.Time}},
	}}
	for _, s := range row.Slices {
		if c.t.slices[s.ID].count == 0 {
			left.Slices = append(left.Slices, s)
		}
	}
	if len(left.Slices) > 0 {
		x.add(left)
	}
	for _, s := range row.Slices {
		if u := c.t.slices[s.ID]; u.count > 0 {
			x.expect(c.t.inodeEffect(u.owner))
			x.add(meta.Effect{Kind: meta.EffectSliceWritten, Slice: s})
		}
	}
	return x
}
