package chunk

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Errors of a Writer.
var (
	// ErrFull: the bytes do not fit into what the slice has left. Nothing was written.
	ErrFull = errors.New("slice is full")
	// ErrTaken: the slice's number was given out before, and its data are in the
	// store. They were not changed, and no other number was to be had.
	ErrTaken = errors.New("slice number is taken")
	// ErrAborted: the writer was aborted or closed.
	ErrAborted = errors.New("slice writer is closed")
)

// Writer writes one slice: bytes are appended, full blocks are uploaded behind
// the caller. Write and Close are called by one goroutine at a time; Abort,
// ReadAt and Len may be called at any time. Every writer ends with Close or Abort.
type Writer struct {
	b    *Blocks
	home uint8
	next func(context.Context) (uint64, error) // gives another number; may be nil

	numbering sync.Mutex // held while another number is taken; before mu
	taken     int        // numbers that were; guarded by numbering

	mu      sync.Mutex
	slice   uint64 // the number; another when it was taken
	length  uint32
	blocks  []*outBlock // by index; the last may still be filled
	pending int         // uploads under way
	sealed  bool        // by Close: no more is written
	done    bool        // Close has returned nil
	err     error       // the first failure; nothing is written after it
	changed chan struct{}
}

// outBlock is one block of a writer.
type outBlock struct {
	buf    *buffer // nil once the block is stored; payload starts at Writer.room()
	n      int     // payload bytes
	slice  uint64  // the number that it is stored under; 0 before
	closed bool    // handed to upload
	cancel context.CancelCauseFunc
}

// NewWriter begins a slice whose number nobody else writes to. It reserves
// nothing and blocks never. When the number turns out to be taken, another one is
// asked of next, if there is one: see Slice.
func (b *Blocks) NewWriter(slice uint64, home uint8, next func(context.Context) (uint64, error)) *Writer {
	return &Writer{b: b, slice: slice, home: home, next: next, changed: make(chan struct{})}
}

// Slice is the slice's number: the one that the Writer was made with unless that
// was taken. It is final when Close has returned nil.
func (w *Writer) Slice() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.slice
}

// room is the free space before each payload, enough for any header.
func (w *Writer) room() int { return headerBytes(uint32(w.b.opts.BlockBytes)) }

// Write appends p and returns its offset in the slice. It waits when all
// writers together hold too much memory, until uploads make room or ctx ends. A
// slice holds at most Bytes: ErrFull says that p does not fit, and that another
// slice is due. It fails with the first failure of an upload, if there was one;
// after an error the slice is of no use. Write does not keep p.
func (w *Writer) Write(ctx context.Context, p []byte) (uint32, error) {
	w.mu.Lock()
	off, err := w.length, w.err
	if w.sealed && err == nil {
		err = ErrAborted
	}
	w.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if uint64(off)+uint64(len(p)) > Bytes {
		return 0, ErrFull
	}
	for len(p) > 0 {
		blk, buf, err := w.roomFor(ctx, len(p))
		if err != nil {
			return 0, w.fail(fmt.Errorf("write slice %d: %w", w.Slice(), err))
		}
		end := min(len(buf.bytes), w.room()+w.b.opts.BlockBytes)
		n := copy(buf.bytes[w.room()+blk.n:end], p)
		buf.drop()
		p = p[n:]
		if w.advance(blk, n) {
			w.upload(ctx, blk)
		}
	}
	return off, nil
}

// advance counts n bytes that were copied into a block, and tells whether it is full.
func (w *Writer) advance(blk *outBlock, n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	blk.n += n
	w.length += uint32(n)
	return blk.n == w.b.opts.BlockBytes
}

// roomFor gives the block to append to and its buffer, held, since Abort may come
// at any time. It has space for at least one byte: as much as n bytes need, or
// a whole block.
func (w *Writer) roomFor(ctx context.Context, n int) (*outBlock, *buffer, error) {
	w.mu.Lock()
	if w.err != nil {
		defer w.mu.Unlock()
		return nil, nil, w.err
	}
	var blk *outBlock
	if l := len(w.blocks); l > 0 && !w.blocks[l-1].closed {
		blk = w.blocks[l-1]
	}
	want := w.b.opts.BlockBytes
	if blk != nil {
		want = min(blk.n+n, want)
	} else if len(w.blocks) == 0 { // this may remain a small file
		want = min(n, want)
	}
	if blk != nil && w.room()+want <= len(blk.buf.bytes) {
		defer w.mu.Unlock()
		blk.buf.hold()
		return blk, blk.buf, nil
	}
	w.mu.Unlock()
	if err := w.b.budget.acquire(ctx, int64(w.b.buffers.size(w.room()+want))); err != nil {
		return nil, nil, err
	}
	return w.place(blk, w.b.buffers.get(w.room()+want))
}

// place makes buf the buffer of a block, of a new one when blk is nil.
func (w *Writer) place(blk *outBlock, buf *buffer) (*outBlock, *buffer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil { // aborted meanwhile
		w.discard(buf)
		return nil, nil, w.err
	}
	if blk == nil {
		blk = &outBlock{}
		w.blocks = append(w.blocks, blk)
	} else {
		copy(buf.bytes[w.room():], blk.buf.bytes[w.room():w.room()+blk.n])
		w.discard(blk.buf)
	}
	blk.buf = buf
	buf.hold()
	return blk, buf, nil
}

// discard frees the buffer of a block that does not drain.
func (w *Writer) discard(buf *buffer) {
	w.b.budget.release(int64(len(buf.bytes)))
	buf.drop()
}

// Len is the number of bytes written so far.
func (w *Writer) Len() uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.length
}

// Close uploads what has not been, and returns when every block is durable, or
// with the first failure. When ctx ends before, it gives up as Abort does.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	w.sealed = true
	var last *outBlock
	if l := len(w.blocks); l > 0 && w.err == nil && !w.blocks[l-1].closed {
		last = w.blocks[l-1]
	}
	w.mu.Unlock()
	if last != nil {
		w.upload(ctx, last)
	}
	for {
		w.mu.Lock()
		err, pending, changed := w.err, w.pending, w.changed
		stray := w.stray()
		w.done = err == nil && pending == 0 && stray < 0
		done := w.done
		w.mu.Unlock()
		switch {
		case err != nil || done:
			return err
		case pending == 0:
			if err := w.move(ctx, stray); err != nil {
				return w.fail(fmt.Errorf("close slice %d: %w", w.Slice(), err))
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return w.fail(fmt.Errorf("close slice %d: %w", w.Slice(), context.Cause(ctx)))
		}
	}
}

// Abort gives the slice up: what has not been uploaded is dropped, what has
// been stays in the store for garbage collection. After a successful Close it
// does nothing.
func (w *Writer) Abort() { _ = w.fail(ErrAborted) } // the reason is for later callers

// fail records the first failure and gives all up; it returns the first failure.
func (w *Writer) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.done {
		return w.err
	}
	w.err = err
	for _, blk := range w.blocks {
		if blk.cancel != nil {
			blk.cancel(err)
		}
		if !blk.closed {
			w.discard(blk.buf)
			blk.buf, blk.closed = nil, true
		}
	}
	w.notify()
	return err
}

// notify wakes those who wait for a change. Called with mu held.
func (w *Writer) notify() {
	close(w.changed)
	w.changed = make(chan struct{})
}
