package chunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"mirrorfs/object"
)

// Copies is the optional power of a store to tell the places apart where one
// object may be: at several sites, say. Blocks asks each for what Get gave wrong,
// and puts right bytes in the place of wrong ones. Found through wrappers by
// object.As. All methods may be called concurrently.
type Copies interface {
	// Copies is how many places may hold an object.
	Copies(key string) int
	// GetCopy is Get from one place, 0 being that which Get asks first.
	GetCopy(ctx context.Context, key string, nth int, off, n int64) (io.ReadCloser, error)
	// PutCopy is Put to one place.
	PutCopy(ctx context.Context, key string, nth int, data []byte) error
}

// elsewhere fills a flight whose first attempt gave wrong bytes from the first place
// that has right ones, and mends the others.
func (b *Blocks) elsewhere(ctx context.Context, f *flight, places Copies) {
	first := f.err
	var others []error
	var wrong []int
	for nth := range places.Copies(f.id.key()) {
		_, err := b.try(ctx, f, getCopy(places, nth))
		if err == nil {
			b.mend(ctx, f, &mending{places: places, good: nth, wrong: wrong})
			return
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrCorrupt) {
			wrong = append(wrong, nth)
		}
		others = append(others, err)
	}
	// The others may lack the object, which must not hide that there is one.
	f.err = fmt.Errorf("%w; nor do other copies help: %v", first, errors.Join(others...)) //nolint:errorlint // see above
}

func getCopy(places Copies, nth int) getter {
	return func(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
		return places.GetCopy(ctx, key, nth, off, n)
	}
}

// mending is how a block is to be mended.
type mending struct {
	places Copies
	good   int   // the place with right bytes
	wrong  []int // those with wrong ones
}

// mend replaces wrong copies of a block behind, once at a time for each block.
func (b *Blocks) mend(ctx context.Context, f *flight, m *mending) {
	if len(m.wrong) == 0 {
		return // what was wrong came right by itself
	}
	ctx, cancel := detach(ctx)
	id, raw := f.id, f.raw
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mends[id] != nil || !b.behind(func() { b.mendNow(ctx, id, raw, m) }) {
		cancel(nil)
		return
	}
	b.mends[id] = cancel
}

func (b *Blocks) mendNow(ctx context.Context, id blockID, raw uint32, m *mending) {
	err := b.replace(ctx, id, raw, m)
	b.mu.Lock()
	b.mends[id](nil)
	delete(b.mends, id)
	b.mu.Unlock()
	if err != nil {
		b.log.WarnContext(ctx, "a copy with wrong bytes could not be replaced", slog.String("object", id.key()), slog.Any("error", err))
		return
	}
	b.metrics.mended.Add(float64(len(m.wrong)))
	b.log.WarnContext(ctx, "a copy with wrong bytes was replaced", slog.String("object", id.key()), slog.Int("copies", len(m.wrong)))
}

// replace reads a whole block where it is right, checks it, and writes it where it
// is wrong. Objects never change, so whatever else happens to these copies
// meanwhile, the bytes written are right.
func (b *Blocks) replace(ctx context.Context, id blockID, raw uint32, m *mending) error {
	if b.downloads.Acquire(ctx, 1) != nil {
		return context.Cause(ctx)
	}
	defer b.downloads.Release(1)
	whole := &flight{id: id, raw: raw, hi: raw}
	if _, err := b.attempt(ctx, whole, getCopy(m.places, m.good)); err != nil {
		return err
	}
	defer whole.buf.drop()
	data := whole.buf.bytes[:headerBytes(raw)+int(raw)]
	var errs []error
	for _, nth := range m.wrong {
		errs = append(errs, m.places.PutCopy(ctx, id.key(), nth, data))
	}
	return errors.Join(errs...)
}

// places are those of the store, if it tells them apart.
func (b *Blocks) places(key string) (Copies, bool) {
	c, ok := object.As[Copies](b.store)
	return c, ok && c.Copies(key) > 1
}
