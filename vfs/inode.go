package vfs

import (
	"sync"
	"sync/atomic"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// inode is what all handles of one file share. It is made at the first open and
// remembered for a while after the last close.
type inode struct {
	ino meta.Ino

	// Guarded by the table's shard.
	refs       int
	prev, next *inode // place among the idle, nil when in use

	// flushing is held by a flush, a truncation or a SetAttr, over round trips.
	flushing chan struct{}
	// loading is held by who fetches extents.
	loading chan struct{}
	// write orders writes and guards active.streams.
	write sync.Mutex
	room  room // guarded by write

	// forfeit: what is buffered was written under a lock that is lost.
	forfeit atomic.Bool

	mu sync.RWMutex
	// attr is what is committed, as far as known; valid says that it was known
	// at all, askedAt when (ns).
	attr    meta.Attr
	valid   bool
	askedAt int64
	// setAt is askedAt when attr is the outcome of a SetAttr of this client.
	setAt int64
	// learned is FS.learned as of the last change whose result went into attr.
	learned uint64
	// chunks is what is known of the committed extents at attr.Version;
	// complete says that a chunk not in it has none.
	chunks   map[uint32]*extentMap
	complete bool
	// sure is false when a commit of this client may have followed one of
	// another that it does not know of: then Version alone does not vouch for
	// chunks, nor for the kernel's pages.
	sure bool
	// pagesOK says that pages which the kernel has of the file, from an open of
	// this client, hold what is at attr.Version.
	pagesOK bool
	// handles counts Files.
	handles int
	// sealed is being flushed, active takes writes. nil when empty.
	sealed, active *pending
	// failures counts flushes that lost data; failure is why the last did.
	failures uint64
	failure  error
	// retryAt is when a failed commit is tried again behind (ns); backoff the
	// wait before it.
	retryAt, backoff int64
}

func newInode(ino meta.Ino) *inode {
	return &inode{ino: ino, flushing: make(chan struct{}, 1), loading: make(chan struct{}, 1)}
}

// generations lists what is buffered, the newest first. mu is held.
func (in *inode) generations() [2]*pending { return [2]*pending{in.active, in.sealed} }

// size is the length of the file, buffered writes included. mu is held.
func (in *inode) size() uint64 {
	size := in.attr.Size
	for _, p := range in.generations() {
		if p != nil {
			size = max(size, p.end)
		}
	}
	return size
}

// buffering reports whether data waits to be committed. mu is held.
func (in *inode) buffering() bool { return in.active != nil || in.sealed != nil }

// merged is the committed attributes with what is buffered laid over. mu is held.
func (in *inode) merged() meta.Attr {
	a := in.attr
	for _, p := range [2]*pending{in.sealed, in.active} {
		if p == nil {
			continue
		}
		a.Size = max(a.Size, p.end)
		a.Mtime = p.mtime
		if p.atime != 0 {
			a.Atime = p.atime
		}
		a.Ctime = max(a.Ctime, p.changed)
		if p.clearSetID {
			a.Mode = clearedSetID(a.Mode)
		}
	}
	return a
}

// clearedSetID is what remains of a mode after a write by others than root.
func clearedSetID(mode uint32) uint32 {
	mode &^= meta.ModeSetUID
	if mode&0o010 != 0 {
		mode &^= meta.ModeSetGID
	}
	return mode
}

// adopt takes newer committed attributes over. What is known of extents
// goes unless the version is the same. mu is held.
func (in *inode) adopt(a *meta.Attr, now int64) {
	if !in.valid || a.Version != in.attr.Version || a.Size != in.attr.Size {
		in.forget()
	}
	in.attr, in.valid, in.askedAt = *a, true, now
}

// forget drops what is known of the committed extents. mu is held.
func (in *inode) forget() {
	in.chunks, in.complete, in.sure, in.pagesOK = nil, false, true, false
}

// forgetExtents drops what is known of the committed extents, which are others with the
// same bytes now. mu is held.
func (in *inode) forgetExtents() { in.chunks, in.complete = nil, false }

// committed takes over the outcome of a commit of this client. mu is held.
func (in *inode) committed(a *meta.Attr, chunks []meta.ChunkExtents, now int64) {
	known, complete := in.chunks, in.complete
	if old := in.attr.Inline; old != nil {
		known, complete = map[uint32]*extentMap{0: flatten([]meta.Extent{*old})}, true
	}
	in.attr, in.valid, in.askedAt = *a, true, now
	if a.Inline != nil { // all bytes are those just written
		in.chunks, in.complete, in.sure = nil, true, true
		return
	}
	in.sure = false
	if known == nil {
		if !complete {
			return
		}
		known = make(map[uint32]*extentMap, len(chunks))
	}
	for _, c := range chunks {
		m := known[c.Index]
		if m == nil {
			if !complete {
				continue
			}
			m = &extentMap{}
			known[c.Index] = m
		}
		for _, e := range c.Extents {
			m.insert(chunk.Extent(e))
		}
	}
	in.chunks, in.complete = known, complete
}

// extents gives what is committed for a chunk; ok is false when it must be
// asked for. mu is held.
func (in *inode) extents(index uint32) (m *extentMap, ok bool) {
	a := &in.attr
	if m, ok := in.chunks[index]; ok {
		return m, true
	}
	if a.Inline != nil { // chunks is nil
		if index > 0 || a.Inline.Len == 0 {
			return nil, true
		}
		return &extentMap{list: []chunk.Extent{chunk.Extent(*a.Inline)}}, true
	}
	return nil, in.complete || !a.HasChunks || uint64(index)*chunk.Bytes >= a.Size
}

// fail gives up all that is buffered and keeps the reason for every handle. mu
// and write are held.
func (in *inode) fail(err error) {
	in.failure = err
	in.failures++
	in.forfeit.Store(false)
	in.pagesOK = false // they hold what was lost
	in.discard()
}

// discard gives up all that is buffered. mu and write are held.
func (in *inode) discard() {
	for _, p := range in.generations() {
		if p != nil {
			p.abort()
		}
	}
	in.sealed, in.active = nil, nil
	in.retryAt, in.backoff = 0, 0
}
