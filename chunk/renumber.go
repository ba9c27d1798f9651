package chunk

import (
	"context"
	"log/slog"
)

// maxTaken bounds how many numbers one slice tries.
const maxTaken = 64

// renumber takes another number for the slice, unless that was done since somebody
// found this one taken. It reports whether there is one.
func (w *Writer) renumber(ctx context.Context, taken uint64) bool {
	w.numbering.Lock()
	defer w.numbering.Unlock()
	if w.Slice() != taken {
		return true
	}
	if w.next == nil || w.taken == maxTaken {
		return false
	}
	w.taken++
	number, err := w.next(ctx)
	if err != nil {
		w.b.log.WarnContext(ctx, "no other number for a slice", slog.Uint64("slice", taken), slog.Any("error", err))
		return false
	}
	w.b.log.WarnContext(ctx, "a slice's number was given out before, another is taken", slog.Uint64("slice", taken), slog.Uint64("instead", number))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slice = number
	return true
}

// stray gives a block that was stored before the slice got its number, or -1.
// Called with mu held.
func (w *Writer) stray() int {
	for i, blk := range w.blocks {
		if blk.slice != 0 && blk.slice != w.slice {
			return i
		}
	}
	return -1
}

// move stores a block again under the slice's number. What is left under the old
// one is for garbage collection.
func (w *Writer) move(ctx context.Context, index int) error {
	w.mu.Lock()
	n, from := w.blocks[index].n, w.blocks[index].slice
	w.mu.Unlock()
	buf := w.b.buffers.get(w.room() + n)
	defer buf.drop()
	b := buf.bytes[:w.room()+n]
	if err := w.readStored(ctx, from, b[w.room():], uint32(index*w.b.opts.BlockBytes)); err != nil {
		return err
	}
	_, _, err := w.put(ctx, index, b)
	return err
}
