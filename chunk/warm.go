package chunk

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Warmth is how much of some segments is in the cache, in bytes; holes do not count.
type Warmth struct {
	Total  int64
	Cached int64
	// Fetched is how much of Cached Warm has brought there.
	Fetched int64
}

// Add sums up.
func (w *Warmth) Add(o Warmth) {
	w.Total += o.Total
	w.Cached += o.Cached
	w.Fetched += o.Fetched
}

// warmJobs is how many blocks one Warm downloads at a time.
const warmJobs = 4

// Cached tells how much of the segments is in the cache.
func (b *Blocks) Cached(segs []Segment) Warmth {
	var w Warmth
	b.eachPiece(segs, func(p *piece) {
		w.Total += int64(p.n)
		if b.cache != nil && b.cache.has(p.id) {
			w.Cached += int64(p.n)
		}
	})
	return w
}

// Warm brings the blocks of the segments into the cache, and waits for that. What the
// cache does not keep, as it is full or is none, is not in Cached.
func (b *Blocks) Warm(ctx context.Context, segs []Segment) (Warmth, error) {
	before := b.Cached(segs)
	missing := map[blockID]uint32{} // their lengths
	b.eachPiece(segs, func(p *piece) {
		if b.cache != nil && !b.cache.has(p.id) {
			missing[p.id] = p.raw
		}
	})
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(warmJobs)
	for id, raw := range missing {
		group.Go(func() error {
			return b.bring(gctx, piece{id: id, raw: raw, n: raw})
		})
	}
	err := group.Wait()
	after := b.Cached(segs)
	after.Fetched = max(after.Cached-before.Cached, 0)
	return after, err
}

// bring downloads a block, and waits until the cache has been offered it: those who only read do
// not.
func (b *Blocks) bring(ctx context.Context, p piece) error {
	f, err := b.fetch(ctx, p)
	if err != nil {
		return err
	}
	span, err := b.await(ctx, &wait{piece: p, flight: f})
	if err != nil {
		return err
	}
	span.Release()
	select {
	case <-f.ashore:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// eachPiece calls each for the parts of segments that lie in one block.
func (b *Blocks) eachPiece(segs []Segment, each func(p *piece)) {
	for i := range segs {
		s := &segs[i]
		if s.Slice == 0 || uint64(s.Off)+uint64(s.Len) > uint64(s.Size) || s.Size > Bytes {
			continue
		}
		for done := uint32(0); done < s.Len; {
			p := pieceAt(s, done, uint32(b.opts.BlockBytes))
			done += p.n
			each(&p)
		}
	}
}
