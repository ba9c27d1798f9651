package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"
)

// RetryOptions of WithRetry; zero fields take the default given with each.
type RetryOptions struct {
	// Total is how long after the beginning of a call another attempt may begin:
	// 1 minute. The call ends at the latest one attempt's time after that. For a Get
	// body it is time spent reading since the last good progress.
	Total time.Duration
	// FirstPause bounds the random pause before the second attempt, 50 ms; the bound
	// doubles with each further one, up to MaxPause, 5 s. After ErrThrottled it
	// starts eight times higher.
	FirstPause, MaxPause time.Duration
	// An attempt may take AttemptBase, 10 s, plus the time that its bytes need at
	// MinBytesPerSecond, 128 KiB/s: 42 s for a block of 4 MiB. What the reader of a
	// Get body does between two reads does not count.
	AttemptBase       time.Duration
	MinBytesPerSecond int64
	// Rand gives pauses, in [0, 1); nil means the process's own randomness. It is
	// called concurrently.
	Rand func() float64
	// Throttled is told of each attempt that failed with ErrThrottled, as Gate.Throttled
	// wants it; nil means nobody is.
	Throttled func()
	// Logger gets each failed attempt at level debug; nil means none.
	Logger *slog.Logger
}

func (o RetryOptions) withDefaults() RetryOptions {
	setDefault(&o.Total, time.Minute)
	setDefault(&o.FirstPause, 50*time.Millisecond)
	setDefault(&o.MaxPause, 5*time.Second)
	setDefault(&o.AttemptBase, 10*time.Second)
	setDefault(&o.MinBytesPerSecond, 128<<10)
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Throttled == nil {
		o.Throttled = func() {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T time.Duration | int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// allowance is the time of one attempt that moves so many bytes.
func (o RetryOptions) allowance(size int64) time.Duration {
	return o.AttemptBase + time.Duration(float64(size)/float64(o.MinBytesPerSecond)*float64(time.Second))
}

type retrying struct {
	Store
	opts RetryOptions
}

// WithRetry repeats what may pass: errors that wrap none of ErrNotExist,
// ErrExist, ErrDenied, ErrNoBucket, ErrNoSpace and ErrInvalid, while the caller's ctx lasts.
// Pauses are random between nothing and a bound that doubles ("full jitter"), so
// that clients cut off together do not come back together. An attempt that takes
// too long fails with ErrTimeout.
//
// Repeating is harmless because keys are written once: a Put that was delayed on
// the way may still arrive after its repetition. Two special cases:
//
// A body that breaks is continued where it broke, so long as the store says
// that the object is still the same (see Versioned). If it is another by now, the
// read fails with ErrChanged; if the store cannot say, with the error of the body.
//
// PutIfAbsent that finds an object after an attempt of its own failed cannot
// know whose it is, and compares: equal bytes count as success. Two callers that
// put equal bytes may therefore both succeed; who must not, puts in something of
// its own.
func WithRetry(store Store, opts RetryOptions) Store {
	return &retrying{Store: store, opts: opts.withDefaults()}
}

// Unwrap returns the store without retries.
func (s *retrying) Unwrap() Store { return s.Store }

func (s *retrying) Put(ctx context.Context, key string, data []byte) error {
	return s.repeat(ctx, "put", key, int64(len(data)), func(ctx context.Context) error {
		return s.Store.Put(ctx, key, data)
	})
}

func (s *retrying) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	unsure := false // an attempt that failed may have had its effect
	return s.repeat(ctx, "put-if-absent", key, int64(len(data)), func(ctx context.Context) error {
		err := s.Store.PutIfAbsent(ctx, key, data)
		if unsure && errors.Is(err, ErrExist) {
			return s.compare(ctx, key, data)
		}
		unsure = unsure || err != nil
		return err
	})
}

// compare is nil if the object is data, ErrExist if not. If it is gone by now,
// another attempt must tell.
func (s *retrying) compare(ctx context.Context, key string, data []byte) error {
	there, err := readAll(ctx, s.Store, key, int64(len(data))+1)
	switch {
	case errors.Is(err, ErrNotExist):
		return errors.New("object came and went")
	case err != nil:
		return err
	case !bytes.Equal(there, data):
		return Fail("put-if-absent", key, ErrExist)
	}
	return nil
}

func readAll(ctx context.Context, s Store, key string, n int64) ([]byte, error) {
	r, err := s.Get(ctx, key, 0, n)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

func (s *retrying) Head(ctx context.Context, key string) (Info, error) {
	var info Info
	err := s.repeat(ctx, "head", key, 0, func(ctx context.Context) error {
		var err error
		info, err = s.Store.Head(ctx, key)
		return err
	})
	return info, err
}

func (s *retrying) Delete(ctx context.Context, key string) error {
	return s.repeat(ctx, "delete", key, 0, func(ctx context.Context) error {
		return s.Store.Delete(ctx, key)
	})
}

func (s *retrying) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	const infoBytes = 512 // about, on the way
	var found []Info
	err := s.repeat(ctx, "list", prefix, int64(limit)*infoBytes, func(ctx context.Context) error {
		var err error
		found, err = s.Store.List(ctx, prefix, after, limit)
		return err
	})
	return found, err
}

// repeat makes attempts, each with the time for size bytes.
func (s *retrying) repeat(
	ctx context.Context, op, key string, size int64, attempt func(context.Context) error,
) error {
	pauses := pauses{opts: &s.opts}
	for {
		began := time.Now()
		limited, cancel := context.WithTimeoutCause(ctx, s.opts.allowance(size), ErrTimeout)
		err := timedOut(limited, attempt(limited))
		cancel()
		if err == nil || final(err) || ctx.Err() != nil || !pauses.wait(ctx, op, key, err, time.Since(began)) {
			return Fail(op, key, ended(ctx, err))
		}
	}
}

// ended makes the end of the caller's ctx visible in an error that came of it.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, ctx.Err()) || final(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

// timedOut makes the end of an attempt's own time ErrTimeout, so that nobody
// takes it for the end of the caller's ctx.
func timedOut(attempt context.Context, err error) error {
	if err == nil || !errors.Is(context.Cause(attempt), ErrTimeout) || final(err) {
		return err
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("%w: %v", ErrTimeout, err) //nolint:errorlint // hides context.DeadlineExceeded
}

// final tells whether another attempt would give the same.
func final(err error) bool {
	for _, kind := range []error{ErrNotExist, ErrExist, ErrDenied, ErrNoBucket, ErrNoSpace, ErrInvalid} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// pauses between the attempts of one call.
type pauses struct {
	opts   *RetryOptions
	used   time.Duration // of Total
	failed int
}

// wait is told of an attempt that failed after it took so long. It returns true
// when it is time for another, false if there is to be none.
func (p *pauses) wait(ctx context.Context, op, key string, err error, took time.Duration) bool {
	const throttleFactor = 8
	bound := p.opts.FirstPause << min(p.failed, 20)
	if errors.Is(err, ErrThrottled) {
		bound *= throttleFactor
		p.opts.Throttled()
	}
	p.failed++
	pause := time.Duration(p.opts.Rand() * float64(min(bound, p.opts.MaxPause)))
	p.opts.Logger.LogAttrs(ctx, slog.LevelDebug, "object store request failed",
		slog.String("op", op), slog.String("key", key), slog.Int("attempt", p.failed),
		slog.Duration("pause", pause), slog.Any("error", err))
	if p.used += took + pause; p.used > p.opts.Total {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
