package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"mirrorfs/meta"
)

// ScheduleOptions say how often a mirror is verified, and on what that stands. Dial, Site and Every are
// needed.
type ScheduleOptions struct {
	// Every is how long after the end of a verification the next one begins, whoever made it.
	Every time.Duration
	// Dial opens the source's metadata; the schedule closes what it returns.
	Dial   func(ctx context.Context) (Upstream, error)
	Site   Site
	Verify VerifyOptions
	// Claims, if not nil, see to it that of several runners one verifies.
	Claims meta.Claims
	// Retry is how long after a failure it is tried again; default 1 minute.
	Retry  time.Duration
	Logger *slog.Logger
}

// verifyLease is the name of the claim of the runner that verifies, and verifyLeaseTTL after which silence
// another one does.
const (
	verifyLease    = "verify"
	verifyLeaseTTL = 30 * time.Second
)

// schedule is a KeepVerified under way.
type schedule struct{ opts ScheduleOptions }

// KeepVerified verifies a mirror again and again until ctx ends, and then returns nil. What came of it is
// exported by the runner's metrics, and shown by status. A source or a mirror that does not answer, or a mirror that
// does not follow, is tried again; one that was interrupted is gone on with.
func KeepVerified(ctx context.Context, opts ScheduleOptions) error {
	orDefault(&opts.Retry, time.Minute)
	if opts.Every <= 0 || opts.Dial == nil || opts.Site == nil {
		return errors.New("verification schedule: Every, Dial and Site are needed")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Verify.setDefaults()
	opts.Verify.Resume = true
	s := &schedule{opts: opts}
	for ctx.Err() == nil {
		wait, err := s.turn(ctx)
		if err != nil && ctx.Err() == nil {
			opts.Logger.WarnContext(ctx, "the mirror was not verified", slog.Any("error", err), slog.Duration("retry_in", wait))
		}
		_ = pause(ctx, wait)
	}
	return nil
}

// turn verifies if it is time to, and tells how long to wait then.
func (s *schedule) turn(ctx context.Context) (time.Duration, error) {
	last, err := LastVerified(ctx, s.opts.Site)
	if err != nil {
		return s.opts.Retry, err
	}
	if due := last.Finished.Add(s.opts.Every).Sub(s.opts.Verify.Now()); due > 0 {
		return due, nil
	}
	if s.opts.Claims == nil {
		return s.verify(ctx)
	}
	l := newLease(s.opts.Claims, verifyLease, verifyLeaseTTL)
	has, err := l.take(ctx, callTimeout)
	if !has || err != nil {
		return s.opts.Retry, err
	}
	if last, err = LastVerified(ctx, s.opts.Site); err != nil || last.Finished.Add(s.opts.Every).After(s.opts.Verify.Now()) {
		return 0, errors.Join(err, l.release(ctx)) // another runner was faster
	}
	verifying, stop := context.WithCancel(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() {
		l.keep(verifying)
		stop() // if it is lost
	})
	wait, err := s.verify(verifying)
	stop()
	keeping.Wait()
	return wait, errors.Join(err, l.release(ctx))
}

// verify verifies now.
func (s *schedule) verify(ctx context.Context) (time.Duration, error) {
	src, err := s.opts.Dial(ctx)
	if err != nil {
		return s.opts.Retry, err
	}
	report, err := Verify(ctx, src, s.opts.Site, s.opts.Verify)
	if err = errors.Join(err, src.Close()); err != nil {
		return s.opts.Retry, err
	}
	if report.Clean {
		s.opts.Logger.InfoContext(ctx, "the mirror was verified", slog.Uint64("rows", report.Rows), slog.String("position", report.Position.String()))
		return 0, nil
	}
	s.opts.Logger.ErrorContext(ctx, "the mirror differs from its source: run `mirrorfs mirror repair`",
		slog.Int("differences", report.Count()), slog.String("first", report.Differences[0].String()))
	return 0, nil
}
