package chunk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mirrorfs/object"
)

// upload hands a block to the background. The upload outlives ctx: a program
// whose write is interrupted has still written.
func (w *Writer) upload(ctx context.Context, blk *outBlock) {
	ctx, cancel := detach(ctx)
	w.mu.Lock()
	if w.err != nil || blk.closed { // given up meanwhile
		w.mu.Unlock()
		cancel(nil)
		return
	}
	index := len(w.blocks) - 1
	blk.closed, blk.cancel = true, cancel
	w.pending++
	w.mu.Unlock()
	w.b.budget.drain(int64(len(blk.buf.bytes)))
	run := func() {
		defer cancel(nil)
		w.store(ctx, index, blk)
	}
	w.b.mu.Lock()
	started := w.b.behind(run)
	w.b.mu.Unlock()
	if !started {
		cancel(ErrClosed)
		run() // fails at once, and so releases what the block holds
	}
}

// store makes a block durable, tells so, and then offers it to the cache, unless
// writers are short of memory: a disk that cannot keep up with a large write
// would only slow it down, and what is written at that pace does not stay in a
// cache for long.
func (w *Writer) store(ctx context.Context, index int, blk *outBlock) {
	buf := blk.buf
	id, sum, err := w.put(ctx, index, buf.bytes[:w.room()+blk.n])
	if err != nil {
		if ctx.Err() == nil { // otherwise it was given up, and why is known
			w.b.metrics.uploadErrors.Inc()
			w.b.log.WarnContext(ctx, "a block could not be uploaded", slog.String("object", id.key()), slog.Any("error", err))
		}
		err = w.fail(err)
	}
	w.mu.Lock()
	w.pending--
	w.notify()
	w.mu.Unlock()
	if err == nil && w.b.cache != nil && !w.b.opts.NoWriteThrough && !w.b.budget.tight() {
		w.b.cache.put(w.b.block(id, buf.bytes[w.room():w.room()+blk.n], sum, buf))
	}
	w.mu.Lock()
	blk.buf = nil
	w.mu.Unlock()
	w.b.budget.drained(int64(len(buf.bytes)))
	buf.drop()
}

// put uploads a block under the slice's number, or the next when that is taken.
func (w *Writer) put(ctx context.Context, index int, b []byte) (blockID, uint32, error) {
	for {
		id := blockID{slice: w.Slice(), index: uint32(index), home: w.home}
		sum, err := w.putAs(ctx, id, b)
		if errors.Is(err, ErrTaken) && w.renumber(ctx, id.slice) {
			continue
		}
		if err == nil {
			w.mu.Lock()
			w.blocks[index].slice = id.slice
			w.mu.Unlock()
		}
		return id, sum, err
	}
}

// putAs uploads a block that has no object yet. If there is one, the slice's number
// was given out before, by a Redis that lost its last changes in a crash, say;
// to write over it would change a file that someone has closed.
func (w *Writer) putAs(ctx context.Context, id blockID, b []byte) (uint32, error) {
	if err := w.b.uploads.Acquire(ctx, 1); err != nil {
		return 0, fmt.Errorf("upload %s: %w", id.key(), context.Cause(ctx))
	}
	defer w.b.uploads.Release(1)
	data, sum := seal(b, w.room(), id)
	err := w.b.store.PutIfAbsent(ctx, id.key(), data)
	if errors.Is(err, object.ErrExist) {
		return 0, fmt.Errorf("upload %s: %w: %w", id.key(), ErrTaken, err)
	}
	if err != nil {
		return 0, fmt.Errorf("upload %s: %w", id.key(), err)
	}
	w.b.metrics.uploads.Inc()
	w.b.metrics.uploaded.Add(float64(len(data)))
	return sum, nil
}

// ReadAt fills p with the slice's bytes from off on, which must have been
// written: from memory what is not yet uploaded, the rest through the cache.
func (w *Writer) ReadAt(ctx context.Context, p []byte, off uint32) error {
	blockBytes := uint32(w.b.opts.BlockBytes)
	for len(p) > 0 {
		index := off / blockBytes
		at := off - index*blockBytes
		n, buf, slice, err := w.own(int(index), int(at), len(p))
		if err != nil {
			return err
		}
		if buf != nil {
			start := w.room() + int(at)
			copy(p[:n], buf.bytes[start:start+n])
			buf.drop()
		} else if err := w.readStored(ctx, slice, p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+uint32(n)
	}
	return nil
}

// own finds how many of the n bytes from at lie in a block, and its buffer,
// held, or nil and the number that the block is stored under.
func (w *Writer) own(index, at, n int) (int, *buffer, uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, nil, 0, w.err
	}
	if index >= len(w.blocks) || at >= w.blocks[index].n {
		return 0, nil, 0, fmt.Errorf("read slice %d past its end of %d bytes", w.slice, w.length)
	}
	blk := w.blocks[index]
	if blk.buf != nil {
		blk.buf.hold()
	}
	return min(n, blk.n-at), blk.buf, blk.slice, nil
}

func (w *Writer) readStored(ctx context.Context, slice uint64, p []byte, off uint32) error {
	spans, err := w.b.Read(ctx, []Segment{{Slice: slice, Home: w.home, Size: w.Len(), Off: off, Len: uint32(len(p))}})
	if err != nil {
		return err
	}
	defer ReleaseAll(spans)
	for i := range spans {
		n, err := spans[i].ReadAt(p[:spans[i].Len], 0)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
