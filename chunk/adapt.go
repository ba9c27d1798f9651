package chunk

import "slices"

// touch remembers of a block that parts of it were read, and its header.
type touch struct {
	fetched uint32 // bytes
	header  *header
}

const (
	// maxTouches bounds the blocks remembered: about 350 bytes each.
	maxTouches = 4096
	// smallBlockBytes is what one request brings as fast as a part of it.
	smallBlockBytes = 256 << 10
)

// extent decides how much to download of the block of a piece: all of it, or the
// groups that the piece touches. Called with mu held.
//
// A whole block is right for whoever reads on, and pays when a cache keeps it.
// Those who read on start at a block's first byte, or have it prefetched, in
// which case they never ask here. A random read gets what it needs, until a
// cached block has been read from so often that an eighth of it has come over.
func (b *Blocks) extent(p piece) (lo, hi uint32) {
	t := b.touches[p.id]
	fetched := p.n
	if t != nil {
		fetched += t.fetched
	}
	lo = p.off / groupBytes * groupBytes
	hi = min(p.raw, (p.off+p.n+groupBytes-1)/groupBytes*groupBytes)
	switch {
	case p.raw <= smallBlockBytes, p.n >= p.raw/4,
		p.off == 0 && p.n >= groupBytes,
		b.cache != nil && fetched >= p.raw/8:
		delete(b.touches, p.id)
		return 0, p.raw
	}
	if t == nil {
		if len(b.touches) >= maxTouches {
			for id := range b.touches { // any: it costs one more small request
				delete(b.touches, id)
				break
			}
		}
		t = &touch{}
		b.touches[p.id] = t
	}
	t.fetched += hi - lo
	return lo, hi
}

// header gives a block's header if a part of the block was read lately.
func (b *Blocks) header(id blockID) *header {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.touches[id]; t != nil {
		return t.header
	}
	return nil
}

// keepHeader remembers a header, so that the next part takes one request.
func (b *Blocks) keepHeader(id blockID, h header) {
	h.sums = slices.Clone(h.sums)
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.touches[id]; t != nil {
		t.header = &h
	}
}

func (b *Blocks) forgetHeader(id blockID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.touches, id)
}
