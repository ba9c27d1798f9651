package model

import (
	"maps"
	"slices"

	"mirrorfs/meta"
)

// content is what a file holds: for each chunk its extents, sorted by position,
// without overlap and without holes.
type content map[uint32][]meta.Extent

// write gives the content with an extent laid over it.
func (c content) write(index uint32, e meta.Extent) {
	list := cut(c[index], e.Pos, e.Pos+e.Len)
	if e.Slice != 0 {
		list = append(list, e)
		slices.SortFunc(list, func(a, b meta.Extent) int { return int(a.Pos) - int(b.Pos) })
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

// clone copies the map; lists are never written to.
func (c content) clone() content {
	if c == nil {
		return content{}
	}
	return maps.Clone(c)
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
