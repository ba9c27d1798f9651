package chunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sync/errgroup"
)

// download fills a flight, trying once more, or at each other place that has a
// copy, when the bytes are wrong or cut off.
func (b *Blocks) download(ctx context.Context, f *flight) {
	again, err := b.try(ctx, f, b.store.Get)
	if err == nil || !again || ctx.Err() != nil {
		return
	}
	if places, ok := b.places(f.id.key()); ok {
		b.elsewhere(ctx, f, places)
		return
	}
	_, _ = b.try(ctx, f, b.store.Get) // f tells
}

// try makes an attempt, leaves its outcome in the flight, and reports wrong bytes.
func (b *Blocks) try(ctx context.Context, f *flight, get getter) (again bool, err error) {
	again, f.err = b.attempt(ctx, f, get)
	if errors.Is(f.err, ErrCorrupt) {
		b.metrics.corrupt.Inc()
		b.log.ErrorContext(ctx, "an object's bytes are wrong", slog.String("object", f.id.key()), slog.Any("error", f.err))
	}
	if again {
		b.forgetHeader(f.id)
	}
	return again, f.err
}

type getter func(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)

// attempt downloads once. again tells whether another attempt may help: the
// store answered, with too few or wrong bytes.
func (b *Blocks) attempt(ctx context.Context, f *flight, get getter) (again bool, err error) {
	size := headerBytes(f.raw) + int(f.hi-f.lo)
	buf := b.buffers.get(size)
	if f.whole() || f.lo <= 2*groupBytes && b.header(f.id) == nil {
		// What is before lo costs less than another request for the header.
		buf.drop()
		buf = b.buffers.get(headerBytes(f.raw) + int(f.hi))
		again, err = b.fromStart(ctx, f, get, buf.bytes[:headerBytes(f.raw)+int(f.hi)])
	} else {
		again, err = b.fromMiddle(ctx, f, get, buf.bytes[:size])
	}
	if err != nil {
		buf.drop()
		return again, fmt.Errorf("read %s: %w", f.id.key(), err)
	}
	f.buf = buf
	b.metrics.fetched.Add(float64(f.hi - f.lo))
	return false, nil
}

// fromStart reads header and payload up to f.hi in one request.
func (b *Blocks) fromStart(ctx context.Context, f *flight, get getter, p []byte) (bool, error) {
	want := int64(len(p))
	if f.whole() {
		want = -1 // and see whether there is more than there should be
	}
	if again, err := readExactly(ctx, get, f.id.key(), 0, want, p); err != nil {
		return again, err
	}
	h, n, err := decodeHeader(p)
	if err != nil {
		return true, err
	}
	if err := h.check(f.id, f.raw); err != nil {
		return true, err
	}
	if err := h.verify(p[n:], 0); err != nil {
		return true, err
	}
	f.data, f.sum = p[n+int(f.lo):], sumOfSums(h.sums)
	if !f.whole() {
		b.keepHeader(f.id, h)
	}
	return false, nil
}

// fromMiddle reads [f.lo, f.hi) of the payload and, unless it is known, the header at the same time.
func (b *Blocks) fromMiddle(ctx context.Context, f *flight, get getter, p []byte) (again bool, err error) {
	head, data := p[:headerBytes(f.raw)], p[headerBytes(f.raw):]
	h := b.header(f.id)
	known := h != nil
	var headAgain, dataAgain bool
	group, gctx := errgroup.WithContext(ctx)
	if !known {
		group.Go(func() error {
			var err error
			if headAgain, err = readExactly(gctx, get, f.id.key(), 0, int64(len(head)), head); err != nil {
				return err
			}
			got, _, err := decodeHeader(head)
			h, headAgain = &got, true
			if err == nil {
				err = got.check(f.id, f.raw)
			}
			return err
		})
	}
	group.Go(func() error {
		var err error
		dataAgain, err = readExactly(gctx, get, f.id.key(), int64(len(head))+int64(f.lo), int64(len(data)), data)
		return err
	})
	if err := group.Wait(); err != nil {
		return headAgain || dataAgain, err
	}
	if err := h.verify(data, int(f.lo/groupBytes)); err != nil {
		return true, err
	}
	f.data = data
	if !known {
		b.keepHeader(f.id, *h)
	}
	return false, nil
}

// readExactly fills p with what a request for n bytes at off gives, or for all
// the rest when n < 0, and checks that there is neither less nor more. again
// tells whether the store had answered when it failed.
func readExactly(ctx context.Context, get getter, key string, off, n int64, p []byte) (again bool, err error) {
	r, err := get(ctx, key, off, n)
	if err != nil {
		return false, err
	}
	defer func() { _ = r.Close() }() // all bytes that matter have been read and are checked
	for have := 0; ; {
		dst := p[have:]
		if len(dst) == 0 {
			var one [1]byte
			if k, _ := r.Read(one[:]); k > 0 { // an error after the last byte changes nothing
				return true, fmt.Errorf("%w: longer than %d bytes", ErrCorrupt, off+int64(len(p)))
			}
			return false, nil
		}
		k, err := r.Read(dst)
		have += k
		if have == len(p) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return true, fmt.Errorf("%w: cut off after %d bytes", ErrCorrupt, off+int64(have))
		}
		if err != nil {
			return true, err
		}
	}
}
