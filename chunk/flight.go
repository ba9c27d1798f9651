package chunk

import (
	"context"
	"log/slog"
)

// flight is a download under way: of a whole block, which all who want the block
// join, or of a part of one for one reader.
type flight struct {
	id     blockID
	raw    uint32 // bytes of the block
	lo, hi uint32 // what is downloaded of it
	cancel context.CancelCauseFunc

	done   chan struct{} // closed when the fields below are set
	ashore chan struct{} // closed when the cache was offered the block
	data   []byte        // [lo, hi) of the block, in buf
	sum    uint32        // sumOfSums, of a whole block
	buf    *buffer
	err    error

	// Guarded by Blocks.mu.
	waiters int
	landed  bool // nobody can join any more
}

func (f *flight) whole() bool { return f.lo == 0 && f.hi == f.raw }

// fetch joins or starts the download for a piece that the cache does not have.
// The caller waits for it and leaves it.
func (b *Blocks) fetch(ctx context.Context, p piece) (*flight, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.flights[p.id]; f != nil {
		f.waiters++
		b.metrics.joined.Inc()
		return f, nil
	}
	lo, hi := b.extent(p)
	f := &flight{id: p.id, raw: p.raw, lo: lo, hi: hi, done: make(chan struct{}), waiters: 1}
	if !b.launch(ctx, f, b.demand) {
		return nil, ErrClosed
	}
	return f, nil
}

// launch starts a flight, which gets its bytes by get. Called with mu held.
func (b *Blocks) launch(ctx context.Context, f *flight, get func(context.Context, *flight)) bool {
	ctx, f.cancel = detach(ctx)
	f.ashore = make(chan struct{})
	started := b.behind(func() {
		defer f.cancel(nil)
		get(ctx, f)
		if f.err != nil {
			b.failed(f)
		}
		close(f.done)
		b.land(f)
		close(f.ashore)
	})
	if started && f.whole() {
		b.flights[f.id] = f
	}
	return started
}

// demand downloads for someone who waits.
func (b *Blocks) demand(ctx context.Context, f *flight) {
	if b.downloads.Acquire(ctx, 1) != nil {
		f.err = context.Cause(ctx)
		return
	}
	defer b.downloads.Release(1)
	b.download(ctx, f)
}

// land puts a downloaded block into the cache, and then ends the flight, so that
// whoever does not find the block in the cache meanwhile still finds it here.
func (b *Blocks) land(f *flight) {
	if f.err == nil && f.whole() {
		blk := b.block(f.id, f.data, f.sum, f.buf)
		if b.cache == nil || !b.cache.put(blk) {
			b.spare.put(blk)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unlink(f)
	f.landed = true
	if f.waiters == 0 && f.buf != nil {
		f.buf.drop()
	}
}

// leave is called once by each who joined a flight, after having used it or given
// it up. The last to give up ends the download.
func (b *Blocks) leave(f *flight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return
	}
	if f.landed {
		if f.buf != nil {
			f.buf.drop()
		}
		return
	}
	select {
	case <-f.done:
	default:
		f.cancel(context.Canceled)
		b.unlink(f) // whoever comes next must not join what is being cancelled
	}
}

// unlink lets nobody join a flight any more. Called with mu held.
func (b *Blocks) unlink(f *flight) {
	if b.flights[f.id] == f {
		delete(b.flights, f.id)
	}
}

func (b *Blocks) failed(f *flight) {
	b.metrics.downloadErrors.Inc()
	b.log.Debug("a block could not be read", slog.String("object", f.id.key()), slog.Any("error", f.err))
}
