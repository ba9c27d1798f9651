package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"mirrorfs/object"
)

// blame says at which site something failed.
func blame(p place, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s at %s: %w", key, p.name, err)
}

// failures collects what each bucket said about a key.
type failures struct {
	key    string
	errs   []error
	stores []object.Store
	miss   int // how many of them are ErrNotExist
}

func (f *failures) add(p place, err error) {
	if errors.Is(err, object.ErrNotExist) {
		f.miss++
	}
	f.stores = append(f.stores, p.store)
	f.errs = append(f.errs, fmt.Errorf("%s: %w", p.name, err))
}

// err names the key and every bucket. It is ErrNotExist only when all said so.
func (f *failures) err() error {
	if len(f.errs) == 0 {
		return nil
	}
	if f.miss == len(f.errs) {
		return fmt.Errorf("%s: %w", f.key, errors.Join(f.errs...))
	}
	var said []string
	var causes []error
	for _, err := range f.errs {
		said = append(said, err.Error())
		if !errors.Is(err, object.ErrNotExist) {
			causes = append(causes, err)
		}
	}
	return &unavailable{text: fmt.Sprintf("%s cannot be had: %s", f.key, strings.Join(said, "; ")), causes: causes}
}

// unavailable hides the ErrNotExist of some buckets: others may have the object.
type unavailable struct {
	text   string
	causes []error
}

func (e *unavailable) Error() string   { return e.text }
func (e *unavailable) Unwrap() []error { return e.causes }

// others gives the buckets that may hold a key and have not been asked, when all that
// were known have: a site may have got one since.
func (s *Store) others(ctx context.Context, key string, f *failures) []place {
	if s.opts.Sites == nil || ctx.Err() != nil {
		return nil
	}
	if err := s.refresh(ctx, sitesAgeRead); err != nil {
		s.opts.Logger.DebugContext(ctx, "the sites were not asked for their buckets", slog.Any("error", err))
		return nil
	}
	return slices.DeleteFunc(s.places(key), func(p place) bool { return slices.Contains(f.stores, p.store) })
}

// Get opens the object wherever it is. When reading fails midway, it goes on at
// the next bucket.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if s.keep != nil {
		if r, done, err := s.keep.get(ctx, key, off, n); done {
			return r, err
		}
	}
	return s.getFrom(ctx, key, off, n, s.places(key))
}

// getFrom opens the object at the first of some places that has it.
func (s *Store) getFrom(ctx context.Context, key string, off, n int64, places []place) (io.ReadCloser, error) {
	b := &body{ctx: ctx, store: s, key: key, off: off, n: n, places: places}
	b.failed.key = key
	if err := b.next(); err != nil {
		return nil, err
	}
	return b, nil
}

// body reads an object from one bucket after the other.
type body struct {
	ctx    context.Context //nolint:containedctx // of the Get that this is the answer of; a reader has no other way to be cancelled
	store  *Store
	key    string
	off, n int64 // what is left to read; n < 0 is all
	places []place
	at     place
	open   io.ReadCloser
	failed failures
}

// next opens the rest at the next bucket that has it.
func (b *body) next() error {
	for ; len(b.places) > 0; b.places = b.more() {
		for len(b.places) > 0 {
			b.at, b.places = b.places[0], b.places[1:]
			r, err := b.at.store.Get(b.ctx, b.key, b.off, b.n)
			if err == nil {
				b.open = r
				b.store.metrics.read(b.at.kind)
				return nil
			}
			b.failed.add(b.at, err)
			if b.ctx.Err() != nil {
				return b.failed.err()
			}
		}
	}
	err := b.failed.err()
	if b.ctx.Err() == nil {
		b.store.opts.Logger.ErrorContext(b.ctx, "a block is at no site that could be asked", slog.String("key", b.key), slog.Any("error", err))
	}
	return err
}

func (b *body) more() []place { return b.store.others(b.ctx, b.key, &b.failed) }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for {
		if b.n == 0 {
			return 0, io.EOF
		}
		n, err := b.open.Read(p)
		b.off += int64(n)
		if b.n > 0 {
			b.n -= int64(n)
		}
		if err == nil || errors.Is(err, io.EOF) {
			return n, err
		}
		b.failed.add(b.at, err)
		_ = b.open.Close()
		if err := b.next(); err != nil {
			b.open = io.NopCloser(strings.NewReader(""))
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}

// Close implements io.Closer.
func (b *body) Close() error { return b.open.Close() }
