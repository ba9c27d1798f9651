package model

import (
	"cmp"
	"slices"

	"mirrorfs/meta"
)

// content is what a file holds: for each chunk its extents, sorted by position,
// without overlap and without holes.
type content map[uint32][]meta.Extent

// write lays an extent over the content.
func (c content) write(index uint32, e meta.Extent) {
	list := c[index]
	if n := len(list); n > 0 && list[n-1].Pos+list[n-1].Len > e.Pos {
		list = cut(list, e.Pos, e.Pos+e.Len)
	}
	if e.Slice != 0 {
		at, _ := slices.BinarySearchFunc(list, e.Pos, func(x meta.Extent, pos uint32) int { return cmp.Compare(x.Pos, pos) })
		list = slices.Insert(list, at, e)
	}
	c.put(index, list)
}

// truncate leaves nothing at and after a size.
func (c content) truncate(size uint64) {
	for index, list := range c {
		start := uint64(index) * meta.ChunkBytes
		switch {
		case start >= size:
			delete(c, index)
		case size-start < meta.ChunkBytes:
			c.put(index, cut(list, uint32(size-start), meta.ChunkBytes))
		}
	}
}

func (c content) put(index uint32, list []meta.Extent) {
	if c[index] = list; len(list) == 0 {
		delete(c, index)
	}
}

// cut gives a list without the bytes from one position to another.
func cut(list []meta.Extent, from, to uint32) []meta.Extent {
	var left []meta.Extent
	for _, e := range list {
		end := e.Pos + e.Len
		if e.Pos < from {
			before := e
			before.Len = min(end, from) - e.Pos
			left = append(left, before)
		}
		if end > to {
			after := e
			after.Pos = max(e.Pos, to)
			after.Len = end - after.Pos
			after.Off += after.Pos - e.Pos
			left = append(left, after)
		}
	}
	return left
}

// clone copies the lists too, for write.
func (c content) clone() content {
	copied := content{}
	for index, list := range c {
		copied[index] = slices.Clone(list)
	}
	return copied
}

// inline gives the only extent of a content that covers a size, if it is like that.
func (c content) inline(size uint64) *meta.Extent {
	if len(c) != 1 || len(c[0]) != 1 {
		return nil
	}
	if e := c[0][0]; e.Pos == 0 && uint64(e.Len) == size {
		return &e
	}
	return nil
}

// count gives the number of extents for each slice, and what the slices are.
func (c content) count() (map[uint64]int, map[uint64]meta.Slice) {
	n, found := map[uint64]int{}, map[uint64]meta.Slice{}
	for _, list := range c {
		for _, e := range list {
			n[e.Slice]++
			found[e.Slice] = meta.Slice{ID: e.Slice, Home: e.Home, Size: e.Size}
		}
	}
	return n, found
}
