package vfs_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/vfs"
)

// segmentsOf names the byte of the slice that each byte of segments is.
func segmentsOf(segs []chunk.Segment) []uint64 {
	var bytes []uint64
	for _, s := range segs {
		for i := range s.Len {
			if s.Slice == 0 {
				bytes = append(bytes, 0)
			} else {
				bytes = append(bytes, s.Slice<<32|uint64(s.Off+i))
			}
		}
	}
	return bytes
}

// FuzzExtentMap compares the map with chunk.Resolve, which is pure and tested by
// itself, over writes and cuts decoded from the input.
func FuzzExtentMap(f *testing.F) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		p := make([]byte, 4*rng.IntN(60))
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		const room = 600
		var m, upper vfs.ExtentMap
		var list, upperList []chunk.Extent
		next := map[uint64]uint32{}
		for ; len(p) >= 4; p = p[4:] {
			pos, n, slice := uint32(binary.LittleEndian.Uint16(p))%512, uint32(p[2]%80), uint64(p[3]%4)
			if p[3] >= 250 {
				m.Cut(pos)
				list = append(list, chunk.Extent{Pos: pos, Len: room - pos}) // a hole hides the rest
				continue
			}
			e := chunk.Extent{Pos: pos, Len: n, Slice: slice, Size: 1 << 20, Off: next[slice]}
			next[slice] += n
			if p[3] >= 200 {
				upper.Put(e)
				upperList = append(upperList, e)
				continue
			}
			m.Put(e)
			list = append(list, e)
			if !m.Sorted() {
				t.Fatal("pieces are out of order")
			}
		}
		want := segmentsOf(chunk.Resolve(list, 0, room))
		if got := segmentsOf(vfs.Cover(0, room, &m)); !slices.Equal(got, want) {
			t.Fatalf("map says\n%v, want\n%v", got, want)
		}
		want = segmentsOf(chunk.Resolve(append(list, upperList...), 0, room))
		if got := segmentsOf(vfs.Cover(0, room, &upper, &m)); !slices.Equal(got, want) {
			t.Fatalf("two maps say\n%v, want\n%v", got, want)
		}
		if got := segmentsOf(vfs.Cover(123, 300, &upper, &m)); !slices.Equal(got, want[123:423]) {
			t.Fatalf("a part says\n%v, want\n%v", got, want[123:423])
		}
	})
}

// TestSequentialWritesAreOnePiece: the map of a file written in order does not grow.
func TestSequentialWritesAreOnePiece(t *testing.T) {
	var m vfs.ExtentMap
	for i := range uint32(1000) {
		m.Put(chunk.Extent{Pos: i * 4096, Len: 4096, Slice: 9, Off: i * 4096})
	}
	if m.Len() != 1 {
		t.Fatalf("%d pieces, want 1", m.Len())
	}
}
