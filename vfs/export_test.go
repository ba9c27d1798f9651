package vfs

import (
	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// ExtentMap gives tests what one chunk's map says: put and cut are applied in
// order, then every byte is looked up.
type ExtentMap struct{ m extentMap }

// Put is insert.
func (e *ExtentMap) Put(x chunk.Extent) { e.m.insert(x) }

// Cut is cut.
func (e *ExtentMap) Cut(pos uint32) { e.m.cut(pos) }

// Len counts the pieces.
func (e *ExtentMap) Len() int { return len(e.m.list) }

// Sorted reports whether pieces are in order, not empty and do not overlap.
func (e *ExtentMap) Sorted() bool {
	for i := range e.m.list {
		if e.m.list[i].Len == 0 || i > 0 && end(&e.m.list[i-1]) > e.m.list[i].Pos {
			return false
		}
	}
	return true
}

// Cover gives what lies over each other in the maps, the first on top.
func Cover(pos, n uint32, maps ...*ExtentMap) []chunk.Segment {
	var layers []layer
	for _, e := range maps {
		layers = append(layers, layer{m: &e.m})
	}
	var segs []chunk.Segment
	for _, p := range cover(nil, layers, pos, n) {
		segs = append(segs, p.seg)
	}
	return segs
}

// Held is what the next heartbeat tells.
func (fs *FS) Held() []meta.Ino { return fs.table.held() }

// Known counts inodes in use and remembered.
func (fs *FS) Known() int {
	n := 0
	for i := range fs.table.shards {
		s := &fs.table.shards[i]
		s.mu.RLock()
		n += len(s.inodes)
		s.mu.RUnlock()
	}
	return n
}

// Buffered is the memory that partial blocks are counted to hold.
func (fs *FS) Buffered() int64 { return fs.buffered.Load() }

// Dirty counts files with buffered data.
func (fs *FS) Dirty() int { return fs.dirty.len() }

// LimitExtents makes commits smaller than they may be.
func (fs *FS) LimitExtents(n int) { fs.maxExtents = n }
