package vfs

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

const (
	// maxStreams is how many sequences of writes to one file get a slice each.
	maxStreams = 4
	// streamBytes is the least write that begins a sequence of its own;
	// smaller ones gather in one slice in the order written.
	streamBytes = 128 << 10
	// alignBytes is how long a slice must be for the next chunk to begin a new
	// one, so that long files have slices that match their chunks.
	alignBytes = 4 << 20
	// leastBuffer is what the first bytes of a slice take in memory.
	leastBuffer = 16 << 10
)

// pending is what was written to a file and not committed: one generation,
// from a flush to the next. Its fields are guarded by inode.mu except streams.
type pending struct {
	chunks  map[uint32]*extentMap
	slices  map[uint64]*slice
	streams []*slice // those that take more, the gathering one first; guarded by inode.write
	extents int      // pieces, about
	end     uint64   // of the furthest write
	size    uint64   // end as of the last hole, which may have taken the furthest write away
	since   int64    // ns, of the first write
	changed int64    // ns, of the last write or SetAttr
	mtime   int64    // ns, to commit
	atime   int64    // ns, to commit; 0 leaves it
	// clearSetID: a write by others than root was among them.
	clearSetID bool
	// base is where appended data is believed to begin; notAppended of other writes.
	base int64
	// again: it is appended data that could not be committed, and is to be sent again
	// just as it is.
	again bool
}

func newPending(now int64) *pending {
	return &pending{chunks: map[uint32]*extentMap{}, slices: map[uint64]*slice{}, since: now, base: notAppended}
}

// slice is a slice that is written.
type slice struct {
	fs   *FS
	id   uint64
	home uint8
	w    *chunk.Writer
	end  uint64 // place in the file after the last write; guarded by inode.write
	// weight is what it adds to FS.buffered, until it is done.
	weight atomic.Int64

	finishing atomic.Bool   // somebody closes or has closed it
	done      chan struct{} // closed when all is uploaded, or err is set
	err       error
	doneAt    int64 // ns
}

// writer finds the slice that holds uncommitted bytes, nil when it is none of these.
func (p *pending) writer(id uint64) *chunk.Writer {
	if p == nil {
		return nil
	}
	if s := p.slices[id]; s != nil {
		return s.w
	}
	return nil
}

// choose picks the slice for n bytes at off of the file, or nil when a new one
// is due. inode.write is held.
func (p *pending) choose(ctx context.Context, off uint64, n int) *slice {
	for i, s := range p.streams {
		if s.end != off {
			continue
		}
		if s.w.Len() == chunk.Bytes || off%chunk.Bytes == 0 && s.w.Len() >= alignBytes {
			p.retire(ctx, i)
			return nil
		}
		return s
	}
	if len(p.streams) == 0 || n >= streamBytes && len(p.streams) < maxStreams {
		return nil
	}
	if p.streams[0].w.Len() == chunk.Bytes {
		p.retire(ctx, 0)
		return nil
	}
	return p.streams[0]
}

// retire begins the upload of the rest of a stream, which gets no more.
func (p *pending) retire(ctx context.Context, i int) {
	s := p.streams[i]
	p.streams = slices.Delete(p.streams, i, i+1)
	go s.finish(ctx)
}

// grown accounts for the memory that the slice holds: that of its last, partial
// block. inode.write is held.
func (s *slice) grown(blockBytes int) {
	weight := int64(s.w.Len()) % int64(blockBytes)
	if weight > 0 {
		weight = max(weight, leastBuffer)
	}
	s.fs.buffered.Add(weight - s.weight.Swap(weight))
}

// finish uploads the rest, which done tells, unless somebody does. It is for a
// slice that gets no more.
func (s *slice) finish(ctx context.Context) {
	if s.finishing.CompareAndSwap(false, true) {
		ctx, cancel := detached(ctx, s.fs.opts.FlushTimeout)
		defer cancel()
		s.finished(s.w.Close(ctx))
	}
}

// abort gives the slice up.
func (s *slice) abort() {
	s.w.Abort()
	if s.finishing.CompareAndSwap(false, true) {
		s.finished(chunk.ErrAborted)
	}
}

func (s *slice) finished(err error) {
	s.err, s.doneAt = err, s.fs.now()
	s.fs.buffered.Add(-s.weight.Load())
	close(s.done)
}

// seal makes the generation take no more. inode.write is held.
func (p *pending) seal() { p.streams = nil }

// finish uploads all that was not and returns when all slices are durable, or
// with the first failure. The generation is sealed.
func (p *pending) finish(ctx context.Context) error {
	var last *slice // done here: most files have but one
	for _, s := range p.slices {
		if s.finishing.Load() {
			continue
		}
		if last != nil {
			go last.finish(ctx)
		}
		last = s
	}
	if last != nil {
		last.finish(ctx)
	}
	var first error
	for _, s := range p.slices {
		<-s.done // finish has a deadline
		if first == nil {
			first = s.err
		}
	}
	return first
}

// surelyThere is how long uploaded blocks need no look whether they are still there: less
// than any grace, after which blocks may be deleted that are not referenced any more.
const surelyThere = 5 * time.Minute

// check looks whether the blocks of slices that were uploaded long ago are still there. While
// this client was cut off, a commit of them may have been made that it was not told of,
// others may have written over the file, and the blocks may have been deleted since;
// or they were taken for leaked. The generation is finished.
func (p *pending) check(ctx context.Context, fs *FS) error {
	for _, s := range p.slices {
		if fs.now()-s.doneAt < int64(surelyThere) {
			continue
		}
		if err := fs.blocks.Check(ctx, s.home, s.w.Slice(), s.w.Len()); err != nil {
			return err
		}
	}
	return nil
}

// abort gives all slices up.
func (p *pending) abort() {
	for _, s := range p.slices {
		s.abort()
	}
}

// put records a write of n bytes at off of the file, which lie at at in a slice.
func (p *pending) put(s *slice, off uint64, n int, at uint32, home uint8) {
	p.insert(uint32(off/chunk.Bytes), chunk.Extent{Pos: uint32(off % chunk.Bytes), Len: uint32(n), Slice: s.id, Home: home, Off: at})
	p.end = max(p.end, off+uint64(n))
}

// insert lays an extent over a chunk.
func (p *pending) insert(index uint32, e chunk.Extent) {
	m := p.chunks[index]
	if m == nil {
		m = &extentMap{}
		p.chunks[index] = m
	}
	before := len(m.list)
	m.insert(e)
	p.extents += len(m.list) - before
}

// cut forgets what was written from size on. Slices that nothing refers to any
// more are given up. inode.write is held too.
func (p *pending) cut(size uint64) {
	p.extents, p.end, p.size = 0, min(p.end, size), min(p.size, size)
	last := uint32(size / chunk.Bytes)
	for index, m := range p.chunks {
		if index > last {
			m.list = nil
		} else if index == last {
			m.cut(uint32(size % chunk.Bytes))
		}
		if len(m.list) == 0 {
			delete(p.chunks, index)
		}
		p.extents += len(m.list)
	}
	used := p.used()
	for id, s := range p.slices {
		if !used[id] {
			s.abort()
			delete(p.slices, id)
			p.streams = slices.DeleteFunc(p.streams, func(o *slice) bool { return o == s })
		}
	}
}

// used tells which slices extents refer to.
func (p *pending) used() map[uint64]bool {
	used := make(map[uint64]bool, len(p.slices))
	for _, m := range p.chunks {
		for i := range m.list {
			used[m.list[i].Slice] = true
		}
	}
	return used
}

// over lays a newer generation over this one, which could not be committed.
func (p *pending) over(newer *pending) {
	for index, m := range newer.chunks {
		old := p.chunks[index]
		if old == nil {
			p.chunks[index] = m
			p.extents += len(m.list)
			continue
		}
		before := len(old.list)
		for _, e := range m.list {
			old.insert(e)
		}
		p.extents += len(old.list) - before
	}
	for id, s := range newer.slices {
		p.slices[id] = s
	}
	p.streams = newer.streams
	p.end, p.size = max(p.end, newer.end), max(p.size, newer.size)
	p.changed, p.mtime = newer.changed, newer.mtime
	if newer.atime != 0 {
		p.atime = newer.atime
	}
	p.clearSetID = p.clearSetID || newer.clearSetID
}

// commits makes the changes that publish the generation: one, unless it has more
// pieces than limit. All slices are finished.
func (p *pending) commits(ino meta.Ino, limit int) []meta.Commit {
	indexes := make([]uint32, 0, len(p.chunks))
	for index := range p.chunks {
		indexes = append(indexes, index)
	}
	slices.Sort(indexes)
	var all []meta.Commit
	next := meta.Commit{Ino: ino, Mtime: p.mtime, Atime: p.atime, ClearSetID: p.clearSetID}
	room := limit
	for _, index := range indexes {
		list := p.chunks[index].list
		for len(list) > 0 {
			if room == 0 {
				all = append(all, next)
				next.Chunks, room = nil, limit
			}
			n := min(room, len(list))
			extents := make([]meta.Extent, n)
			for i, e := range list[:n] {
				if s := p.slices[e.Slice]; s != nil { // else it is a hole
					e.Slice, e.Size = s.w.Slice(), s.w.Len()
				}
				extents[i] = meta.Extent(e)
			}
			next.Chunks = append(next.Chunks, meta.ChunkExtents{Index: index, Extents: extents})
			list, room = list[n:], room-n
		}
	}
	if next.Size = p.size; len(next.Chunks) > 0 || next.Size > 0 { // the data comes first
		all = append(all, next)
	}
	return all
}

// age is how long the oldest write has been waiting.
func (p *pending) age(now int64) time.Duration { return time.Duration(now - p.since) }
