package chunk

import (
	"context"
	"fmt"

	"mirrorfs/object"
)

// Read gives the bytes of the segments, in order, as spans that the caller
// releases. Blocks that are not near are downloaded at the same time, each once
// for all who read it, and held in memory until their spans are released.
//
// Errors wrap object.ErrNotExist when a block is missing, ErrCorrupt when its
// bytes are wrong in the store, object.ErrInvalid when a segment lies outside
// its slice, and the store's own errors.
func (b *Blocks) Read(ctx context.Context, segs []Segment) ([]Span, error) {
	spans := make([]Span, 0, len(segs))
	var waits []wait
	for i := range segs {
		s := &segs[i]
		if s.Slice == 0 {
			spans = b.appendZeros(spans, int(s.Len))
			continue
		}
		if uint64(s.Off)+uint64(s.Len) > uint64(s.Size) || s.Size > Bytes {
			b.forsake(spans, waits)
			return nil, fmt.Errorf("read %d bytes at %d of slice %d, which has %d: %w", s.Len, s.Off, s.Slice, s.Size, object.ErrInvalid)
		}
		for done := uint32(0); done < s.Len; {
			p := pieceAt(s, done, uint32(b.opts.BlockBytes))
			done += p.n
			if span, ok := b.near(&p); ok {
				b.metrics.hits.Inc()
				b.metrics.fromCache.Add(float64(p.n))
				spans = appendSpan(spans, span)
				continue
			}
			b.metrics.misses.Inc()
			f, err := b.fetch(ctx, p)
			if err != nil {
				b.forsake(spans, waits)
				return nil, err
			}
			waits = append(waits, wait{at: len(spans), piece: p, flight: f})
			spans = append(spans, Span{})
		}
	}
	for i := range waits {
		w := &waits[i]
		span, err := b.await(ctx, w)
		if err != nil {
			b.forsake(spans, waits[i+1:])
			return nil, err
		}
		spans[w.at] = span
	}
	return spans, nil
}

// wait is a place in the result of a read that a download will fill.
type wait struct {
	at     int
	piece  piece
	flight *flight
}

// await waits for a download and takes a span from it.
func (b *Blocks) await(ctx context.Context, w *wait) (Span, error) {
	f := w.flight
	defer b.leave(f)
	select {
	case <-f.done:
	case <-ctx.Done():
		return Span{}, fmt.Errorf("read %s: %w", w.piece.id.key(), context.Cause(ctx))
	}
	if f.err != nil {
		return Span{}, f.err
	}
	from, to := w.piece.off-f.lo, w.piece.off-f.lo+w.piece.n
	f.buf.hold()
	b.metrics.fromStore.Add(float64(w.piece.n))
	return Span{Data: f.data[from:to:to], Len: int(w.piece.n), pin: f.buf}, nil
}

// forsake gives up what a failed read had gathered and still waited for.
func (b *Blocks) forsake(spans []Span, waits []wait) {
	ReleaseAll(spans)
	for i := range waits {
		b.leave(waits[i].flight)
	}
}

// appendSpan appends a span, joined to the one before when both are one range of
// one cache file.
func appendSpan(spans []Span, s Span) []Span {
	if l := len(spans) - 1; l >= 0 && s.File != nil && spans[l].File == s.File && spans[l].Off+int64(spans[l].Len) == s.Off {
		spans[l].Len += s.Len
		s.Release()
		return spans
	}
	return append(spans, s)
}

func (b *Blocks) appendZeros(spans []Span, n int) []Span {
	for n > 0 {
		k := min(n, len(b.zeros))
		spans = append(spans, Span{Data: b.zeros[:k:k], Len: k})
		n -= k
	}
	return spans
}

// WholeFile gives a range of a cache file that is the whole content of what segs
// describe, from its start, for the kernel to read without asking: the file
// holds these bytes and no others. ok is false unless segs is one slice from
// its offset 0 to its end, and the cache has all of it, checked. It may read up
// to Bytes of local disk to check. The cache keeps the file until Release.
func (b *Blocks) WholeFile(segs []Segment) (span Span, ok bool) {
	if len(segs) != 1 || segs[0].Slice == 0 || segs[0].Off != 0 || segs[0].Len != segs[0].Size || segs[0].Len == 0 {
		return Span{}, false
	}
	if b.cache == nil {
		return Span{}, false
	}
	return b.cache.wholeSlice(segs[0].Home, segs[0].Slice, segs[0].Size)
}
