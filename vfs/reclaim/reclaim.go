package reclaim

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"mirrorfs/meta"
)

// DefaultGrace is the grace of a volume whose settings name none.
const DefaultGrace = 10 * time.Minute

// Meta is what is asked of the metadata. Change must have a session.
type Meta interface {
	Volume(ctx context.Context) (meta.Volume, error)
	State(ctx context.Context) (meta.State, error)
	Change(ctx context.Context, c meta.Change) (meta.Result, error)
	Orphans(ctx context.Context, after meta.Orphan, before time.Time, limit int) ([]meta.Orphan, error)
	meta.Reclaimer
}

// Deleter is what is asked of the volume's buckets: to delete a block wherever it is. An error that
// wraps object.ErrPartial says that it is gone from the buckets that answered.
type Deleter interface {
	Delete(ctx context.Context, key string) error
}

// Options says what to work on. Meta is needed, and Blocks for Freed.
type Options struct {
	Meta   Meta
	Blocks Deleter
	// DryRun counts what is due and changes nothing.
	DryRun bool
	// Yield ends the work when another client is found at it.
	Yield bool
	// Postponed is what earlier calls could delete in some buckets only; nil is nothing.
	Postponed *Postponed
	// Rate bounds the objects deleted per second; 0 is no bound.
	Rate float64
	// Workers is how many objects are deleted at once; default 8.
	Workers int
	// Now is the clock; nil is time.Now.
	Now    func() time.Time
	Logger *slog.Logger
	// Progress, if not nil, is called now and then with what was done so far.
	Progress func(Report)
}

// Report counts what was found and done. Of a dry run, the numbers of what went are
// zero.
type Report struct {
	Orphans OrphanReport `json:"orphans"`
	Freed   FreedReport  `json:"freed"`
	Leaked  LeakReport   `json:"leaked"`
}

// Reclaimer does the work, one call at a time.
type Reclaimer struct {
	opts    Options
	limiter *rate.Limiter
	report  Report
}

// New makes a Reclaimer. It starts nothing.
func New(opts Options) (*Reclaimer, error) {
	if opts.Meta == nil {
		return nil, errors.New("reclaim: no metadata given")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Postponed == nil {
		opts.Postponed = &Postponed{}
	}
	if opts.Workers <= 0 {
		opts.Workers = 8
	}
	r := &Reclaimer{opts: opts, limiter: rate.NewLimiter(rate.Inf, 0)}
	if opts.Rate > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(opts.Rate), opts.Workers)
	}
	return r, nil
}

// Report tells what was found and done so far.
func (r *Reclaimer) Report() Report { return r.report }

func (r *Reclaimer) progress() {
	if r.opts.Progress != nil {
		r.opts.Progress(r.report)
	}
}

// Grace is how long a volume keeps freed data for those who read it.
func Grace(v *meta.Volume) time.Duration {
	if v.Grace > 0 {
		return v.Grace
	}
	return DefaultGrace
}

// OrphanAge is how long an orphan is kept: for the trash time, and so long that
// every client has told which of its open files it still needs.
func OrphanAge(v *meta.Volume) time.Duration {
	return max(v.Trash, 2*meta.HeartbeatInterval)
}
