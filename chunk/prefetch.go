package chunk

import "context"

// Prefetch downloads blocks of the segments into the cache behind the caller, as
// far as PrefetchBytes allows, and has what is in the cache already checked and read
// from its disk. It is best effort: what fails or does not fit is left to whoever
// reads it.
func (b *Blocks) Prefetch(segs []Segment) {
	var held []piece
	defer func() { b.warm(held) }()
	for i := range segs {
		s := &segs[i]
		if s.Slice == 0 || uint64(s.Off)+uint64(s.Len) > uint64(s.Size) || s.Size > Bytes {
			continue
		}
		for done := uint32(0); done < s.Len; {
			p := pieceAt(s, done, uint32(b.opts.BlockBytes))
			done += p.n
			if b.cache != nil && b.cache.has(p.id) {
				held = append(held, p)
			} else if !b.spare.has(p.id) && !b.prefetch(p) {
				return
			}
		}
	}
}

// warm brings pieces that the cache has on disk into memory, behind the caller.
// Many requests of the kernel at once, each of which waits for its part, are half as
// fast as a disk that is told what comes.
func (b *Blocks) warm(held []piece) {
	if len(held) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behind(func() {
		for i := range held {
			p := &held[i]
			if span, ok := b.cache.get(p.id, p.off, p.n); ok {
				span.willNeed()
				span.Release()
			}
		}
	})
}

// prefetch starts the download of one block; false means that no more fits.
func (b *Blocks) prefetch(p piece) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flights[p.id] != nil {
		return true
	}
	size := int64(p.raw)
	if b.fetching+size > b.opts.PrefetchBytes {
		return false
	}
	f := &flight{id: p.id, raw: p.raw, hi: p.raw, done: make(chan struct{}), waiters: 1}
	if !b.launch(context.Background(), f, b.ahead) {
		return false
	}
	b.fetching += size
	b.metrics.prefetched.Inc()
	return true
}

// ahead downloads for nobody yet, and never takes the last slots from those who
// wait.
func (b *Blocks) ahead(ctx context.Context, f *flight) {
	defer func() {
		b.mu.Lock()
		b.fetching -= int64(f.raw)
		f.waiters-- // its own interest; land follows
		b.mu.Unlock()
	}()
	if b.prefetches.Acquire(ctx, 1) != nil {
		f.err = context.Cause(ctx)
		return
	}
	defer b.prefetches.Release(1)
	b.demand(ctx, f)
}
