package object

import (
	"context"
	"errors"
	"io"
	"time"
)

// Versioned is implemented by the readers that Get returns, if the store can
// tell which version of the object they read. Equal non-empty versions of one key
// mean equal bytes.
type Versioned interface{ Version() string }

// VersionOf gives the version that a reader from Get reads, or "".
func VersionOf(r io.Reader) string {
	if v, ok := r.(Versioned); ok {
		return v.Version()
	}
	return ""
}

func (s *retrying) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	b := &retryBody{store: s, ctx: ctx, key: key, off: off, n: n, pauses: pauses{opts: &s.opts}}
	for {
		err := b.open()
		if err == nil {
			return b, nil
		}
		if final(err) || ctx.Err() != nil || !b.pauses.wait(ctx, "get", key, err, b.spent) {
			return nil, Fail("get", key, ended(ctx, err))
		}
	}
}

// progressBytes in one attempt show that the store works, so that the time for
// repetitions begins anew: a bound on attempts that grows with the object.
const progressBytes = 64 << 10

// retryBody is a Get that outlives the bodies of its attempts. Like any body it
// is for one goroutine.
type retryBody struct {
	store  *retrying
	ctx    context.Context //nolint:containedctx // it lives as long as the Get that it belongs to
	key    string
	off, n int64 // what is still to come
	pauses pauses

	version string // of the first attempt that gave bytes
	began   bool   // bytes were given
	err     error  // final, after which Read gives nothing else

	// The current attempt.
	body    io.ReadCloser
	limited context.Context //nolint:containedctx // the attempt's own
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	got     int64         // bytes read
	spent   time.Duration // time spent reading them
}

// open begins an attempt at the current offset.
func (b *retryBody) open() error {
	b.limited, b.cancel = context.WithCancelCause(b.ctx)
	b.got, b.spent = 0, 0
	// The timer is per attempt: a late firing of an old one must not hit a new one.
	cancel := b.cancel
	b.timer = time.AfterFunc(b.store.opts.AttemptBase, func() { cancel(ErrTimeout) })
	began := time.Now()
	body, err := b.store.Store.Get(b.limited, b.key, b.off, b.n)
	b.timer.Stop()
	b.spent = time.Since(began)
	if err != nil {
		err = timedOut(b.limited, err)
		b.cancel(nil)
		return err
	}
	b.body = body
	version := VersionOf(body)
	if b.began && (version == "" || version != b.version) {
		return errors.Join(ErrChanged, b.drop())
	}
	b.version = version
	return nil
}

// drop ends the current attempt.
func (b *retryBody) drop() error {
	if b.body == nil {
		return nil
	}
	err := b.body.Close()
	b.cancel(nil)
	b.body = nil
	return err
}

// Read reads from the current attempt, and begins another when that breaks.
func (b *retryBody) Read(p []byte) (int, error) {
	for b.err == nil {
		n, err := b.readSome(p)
		switch {
		case err == nil:
			return n, nil
		case err == io.EOF: //nolint:errorlint // readers return the bare value
			b.err = io.EOF
		case final(err) || b.ctx.Err() != nil:
			b.err = Fail("get", b.key, ended(b.ctx, err))
		default:
			b.again(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, b.err
}

func (b *retryBody) readSome(p []byte) (int, error) {
	if b.began && b.n == 0 {
		return 0, io.EOF
	}
	if b.body == nil {
		return 0, b.open()
	}
	if len(p) == 0 {
		return 0, nil
	}
	b.timer.Reset(max(b.store.opts.allowance(b.got)-b.spent, 0))
	began := time.Now()
	n, err := b.body.Read(p)
	b.timer.Stop()
	b.spent += time.Since(began)
	b.got += int64(n)
	b.off += int64(n)
	b.began = b.began || n > 0
	if b.n > 0 {
		b.n -= int64(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = timedOut(b.limited, err)
	}
	return n, err
}

// again pauses before another attempt, or settles the error.
func (b *retryBody) again(err error) {
	_ = b.drop() // the attempt has failed already
	if b.got >= progressBytes {
		b.pauses = pauses{opts: &b.store.opts}
	}
	hopeless := errors.Is(err, ErrChanged) || b.began && b.version == ""
	if hopeless || !b.pauses.wait(b.ctx, "get", b.key, err, b.spent) {
		b.err = Fail("get", b.key, ended(b.ctx, err))
	}
}

// Version is that of the object being read.
func (b *retryBody) Version() string { return b.version }

// Close ends the current attempt.
func (b *retryBody) Close() error {
	if b.err == nil {
		b.err = Fail("get", b.key, errClosed)
	}
	return b.drop()
}

var errClosed = errors.New("read of a closed body")
