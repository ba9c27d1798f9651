package vfs

import (
	"slices"
	"sort"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// extentMap says which bytes of one chunk are where: extents in order of
// position that do not overlap. The nil map is empty.
type extentMap struct{ list []chunk.Extent }

func end(e *chunk.Extent) uint32 { return e.Pos + e.Len }

// joins reports whether b continues a in the chunk and in the slice.
func joins(a, b *chunk.Extent) bool {
	return end(a) == b.Pos && a.Slice == b.Slice && a.Slice != 0 && a.Off+a.Len == b.Off
}

// search finds the first extent that ends after pos.
func (m *extentMap) search(pos uint32) int {
	return sort.Search(len(m.list), func(i int) bool { return end(&m.list[i]) > pos })
}

// insert puts e over what is there.
func (m *extentMap) insert(e chunk.Extent) {
	if e.Len == 0 {
		return
	}
	n := len(m.list)
	if n == 0 || end(&m.list[n-1]) <= e.Pos { // the sequential writer
		if n > 0 && joins(&m.list[n-1], &e) {
			m.list[n-1].Len += e.Len
			return
		}
		m.list = append(m.list, e)
		return
	}
	i := m.search(e.Pos)
	j := i + sort.Search(n-i, func(k int) bool { return m.list[i+k].Pos >= end(&e) })
	// list[i:j] overlap e. At most the first keeps its start, the last its end.
	var with [3]chunk.Extent
	put := with[:0]
	if i < j && m.list[i].Pos < e.Pos {
		left := m.list[i]
		left.Len = e.Pos - left.Pos
		put = append(put, left)
	} else if i > 0 && joins(&m.list[i-1], &e) {
		i--
		put = append(put, m.list[i])
	}
	if k := len(put); k > 0 && joins(&put[k-1], &e) {
		put[k-1].Len += e.Len
	} else {
		put = append(put, e)
	}
	if i < j && end(&m.list[j-1]) > end(&e) {
		right := m.list[j-1]
		cut := end(&e) - right.Pos
		right.Pos, right.Len = right.Pos+cut, right.Len-cut
		if right.Slice != 0 {
			right.Off += cut
		}
		put = append(put, right)
	}
	m.list = slices.Replace(m.list, i, j, put...)
}

// cut forgets everything from pos on.
func (m *extentMap) cut(pos uint32) {
	i := m.search(pos)
	if i < len(m.list) && m.list[i].Pos < pos {
		m.list[i].Len = pos - m.list[i].Pos
		i++
	}
	m.list = m.list[:i]
}

// equal reports whether two maps say the same. Holes may be written or left out,
// and an extent may be in parts.
func (m *extentMap) equal(o *extentMap) bool {
	a := cover(nil, []layer{{m: m}}, 0, chunk.Bytes)
	b := cover(nil, []layer{{m: o}}, 0, chunk.Bytes)
	return slices.EqualFunc(a, b, func(x, y piece) bool {
		return x.seg.Slice == y.seg.Slice && x.seg.Off == y.seg.Off && x.seg.Len == y.seg.Len && x.seg.Home == y.seg.Home
	})
}

// flatten makes a map of a list in which later extents hide earlier ones.
func flatten(list []meta.Extent) *extentMap {
	m := &extentMap{list: make([]chunk.Extent, 0, len(list))}
	for _, e := range list {
		m.insert(chunk.Extent(e))
	}
	return m
}

// layer is what one generation of writes says of a chunk. from holds the
// slices that are still being written; nil for what is committed.
type layer struct {
	m    *extentMap
	from *pending
}

// piece is a part of a read: from a slice still being written when w is not nil.
type piece struct {
	seg chunk.Segment
	w   *chunk.Writer
}

// cover appends to dst the pieces that make up [pos, pos+n) of a chunk. Earlier
// layers hide later ones; what none has is zeros.
func cover(dst []piece, layers []layer, pos, n uint32) []piece {
	if n == 0 {
		return dst
	}
	if len(layers) == 0 {
		return addPiece(dst, piece{seg: chunk.Segment{Len: n}})
	}
	m, below := layers[0].m, layers[1:]
	if m == nil {
		return cover(dst, below, pos, n)
	}
	for i := m.search(pos); n > 0 && i < len(m.list) && m.list[i].Pos < pos+n; i++ {
		e := &m.list[i]
		if e.Pos > pos {
			gap := e.Pos - pos
			dst = cover(dst, below, pos, gap)
			pos, n = pos+gap, n-gap
		}
		k := min(end(e)-pos, n)
		p := piece{seg: chunk.Segment{Len: k}}
		if e.Slice != 0 {
			p.seg = chunk.Segment{Slice: e.Slice, Home: e.Home, Size: e.Size, Off: e.Off + pos - e.Pos, Len: k}
			p.w = layers[0].from.writer(e.Slice)
		}
		dst = addPiece(dst, p)
		pos, n = pos+k, n-k
	}
	return cover(dst, below, pos, n)
}

// addPiece appends p, joined to the piece before it where it continues that.
func addPiece(dst []piece, p piece) []piece {
	if k := len(dst); k > 0 {
		last := &dst[k-1]
		if last.seg.Slice == p.seg.Slice && last.w == p.w && (p.seg.Slice == 0 || last.seg.Off+last.seg.Len == p.seg.Off) {
			last.seg.Len += p.seg.Len
			return dst
		}
	}
	return append(dst, p)
}
