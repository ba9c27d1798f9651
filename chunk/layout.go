package chunk

import (
	"container/heap"
	"slices"
	"strconv"
	"strings"
)

// Bytes is the length of a chunk, and the most that a slice may hold.
const Bytes = 64 << 20

// Extent maps Len bytes at Pos of a chunk to the bytes at Off of a slice. Slice
// 0 is a hole. It has the fields of meta.Extent, so that one converts to the
// other.
type Extent struct {
	Pos   uint32 // first byte, from the chunk's start
	Len   uint32 // bytes
	Slice uint64
	Home  uint8  // site whose bucket the slice was first written to
	Size  uint32 // bytes of the whole slice
	Off   uint32 // first byte in the slice
}

// Segment is a part of a read: Len bytes at Off of a slice. Slice 0 is zeros.
type Segment struct {
	Slice uint64
	Home  uint8  // site whose bucket the slice was first written to
	Size  uint32 // bytes of the whole slice
	Off   uint32 // first byte in the slice
	Len   uint32 // bytes
}

// Resolve gives the segments that cover the n bytes at pos of a chunk exactly
// and in order. Where extents overlap, the later in the list wins; where there
// is none, the segment is a hole. Neighbours that continue each other are
// joined. It takes O(len(extents)), and O(k log k) for the k in range.
func Resolve(extents []Extent, pos, n uint32) []Segment {
	if n == 0 {
		return nil
	}
	end := uint64(pos) + uint64(n)
	var hits []int
	for i := range extents {
		e := &extents[i]
		if e.Len > 0 && uint64(e.Pos) < end && uint64(e.Pos)+uint64(e.Len) > uint64(pos) {
			hits = append(hits, i)
		}
	}
	out := make([]Segment, 0, 2*len(hits)+1)
	at := uint64(pos)
	if len(hits) == 1 { // nearly always
		at, out = emit(out, &extents[hits[0]], at, end)
		return appendHole(out, at, end)
	}
	slices.SortFunc(hits, func(a, b int) int { return int(int64(extents[a].Pos) - int64(extents[b].Pos)) })
	var open latest // those that may cover the byte at, the latest on top
	for at < end {
		for len(hits) > 0 && uint64(extents[hits[0]].Pos) <= at {
			heap.Push(&open, hits[0])
			hits = hits[1:]
		}
		for len(open) > 0 && stop(&extents[open[0]]) <= at {
			heap.Pop(&open)
		}
		limit := end
		if len(hits) > 0 { // it may hide the rest of the one on top
			limit = min(limit, uint64(extents[hits[0]].Pos))
		}
		if len(open) == 0 {
			out = appendHole(out, at, limit)
			at = limit
			continue
		}
		at, out = emit(out, &extents[open[0]], at, limit)
	}
	return out
}

// emit appends what e covers of [at, limit), and a hole before it, and returns
// where it ends.
func emit(out []Segment, e *Extent, at, limit uint64) (uint64, []Segment) {
	if from := uint64(e.Pos); from > at {
		out = appendHole(out, at, from)
		at = from
	}
	to := min(stop(e), limit)
	if e.Slice == 0 {
		return to, appendHole(out, at, to)
	}
	s := Segment{
		Slice: e.Slice, Home: e.Home, Size: e.Size,
		Off: e.Off + uint32(at-uint64(e.Pos)), Len: uint32(to - at),
	}
	if l := len(out) - 1; l >= 0 && out[l].Slice == s.Slice && out[l].Home == s.Home &&
		out[l].Size == s.Size && out[l].Off+out[l].Len == s.Off {
		out[l].Len += s.Len
		return to, out
	}
	return to, append(out, s)
}

func appendHole(out []Segment, from, to uint64) []Segment {
	if from >= to {
		return out
	}
	if l := len(out) - 1; l >= 0 && out[l].Slice == 0 {
		out[l].Len += uint32(to - from)
		return out
	}
	return append(out, Segment{Len: uint32(to - from)})
}

func stop(e *Extent) uint64 { return uint64(e.Pos) + uint64(e.Len) }

// latest is a heap of places in the extent list, the largest on top.
type latest []int

func (h latest) Len() int           { return len(h) }
func (h latest) Less(i, j int) bool { return h[i] > h[j] }
func (h latest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for package heap.
func (h *latest) Push(x any) { *h = append(*h, x.(int)) }

// Pop is for package heap.
func (h *latest) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// Key is the name of the object that holds a block of a slice:
// data/<home>/<slice mod 256 in hex, 2 digits>/<slice>-<block>. The directory
// of two digits keeps directories of a file store small and spreads keys.
func Key(home uint8, slice uint64, block int) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 48)
	b = append(b, "data/"...)
	b = strconv.AppendUint(b, uint64(home), 10)
	b = append(b, '/', digits[slice>>4&15], digits[slice&15], '/')
	b = strconv.AppendUint(b, slice, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(block), 10)
	return string(b)
}

// ParseKey takes a name made by Key apart. ok is false for every other name.
func ParseKey(key string) (home uint8, slice uint64, block int, ok bool) {
	part := strings.Split(key, "/")
	if len(part) != 4 {
		return 0, 0, 0, false
	}
	h, err := strconv.ParseUint(part[1], 10, 8)
	if err != nil {
		return 0, 0, 0, false
	}
	id, number, found := strings.Cut(part[3], "-")
	if !found {
		return 0, 0, 0, false
	}
	if slice, err = strconv.ParseUint(id, 10, 64); err != nil {
		return 0, 0, 0, false
	}
	if block, err = strconv.Atoi(number); err != nil || block < 0 {
		return 0, 0, 0, false
	}
	if Key(uint8(h), slice, block) != key { // leading zeros, signs, a wrong directory
		return 0, 0, 0, false
	}
	return uint8(h), slice, block, true
}

// blockID names a block.
type blockID struct {
	slice uint64
	index uint32
	home  uint8
}

func (id blockID) key() string { return Key(id.home, id.slice, int(id.index)) }

// piece is a part of a read that lies in one block.
type piece struct {
	id  blockID
	raw uint32 // bytes of the whole block
	off uint32 // first byte in the block
	n   uint32 // bytes
}

// pieceAt gives the first piece of what a segment still has from done bytes on.
func pieceAt(s *Segment, done, blockBytes uint32) piece {
	at := s.Off + done
	index := at / blockBytes
	start := index * blockBytes
	raw := min(blockBytes, s.Size-start)
	off := at - start
	return piece{
		id:  blockID{slice: s.Slice, index: index, home: s.Home},
		raw: raw, off: off, n: min(raw-off, s.Len-done),
	}
}
