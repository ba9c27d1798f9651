package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"mirrorfs/meta"
	"mirrorfs/mirror/compare"
)

// Config says what a runner stands on. Dial and Replica are needed.
type Config struct {
	// Dial opens the source's metadata; called again whenever the link was lost.
	// The runner closes what it returns.
	Dial func(ctx context.Context) (Upstream, error)
	// DialAt opens the metadata at an address that a source which was fenced has named, if
	// that is the source now. After that, this site's Info names it, and Dial is to go by
	// that. It opens the mirror that feeds this one (Info.Feed), too. nil: a mirror whose source
	// was fenced waits to be told (SetSource), and none is fed.
	DialAt func(ctx context.Context, address string) (Upstream, error)
	// Replica is this site's metadata, prepared by Add. The caller closes it.
	Replica meta.Replica
	// Archive holds what the source's log holds no more; nil when there is none: then
	// a mirror that is away until its next record is trimmed needs a new copy.
	Archive Archive
	// Data says how data is carried for a data mode that keeps some; nil carries none.
	Data *DataConfig

	// Claims are this site's, by which its runners agree on who does the work; nil: this
	// runner does it, whoever else does. That is harmless, and wasteful.
	Claims meta.Claims
	// LeaseTTL is after which silence of the runner at work another one does it; default
	// 6 s.
	LeaseTTL time.Duration
	// Runner is what is told of this process; default its host's name and its number.
	Runner Runner

	// TailRecords is the most records fetched in one round trip; default 10,000.
	// Fewer are asked for when records are large, so that a batch has about
	// TailBytes; default 4 MiB.
	TailRecords, TailBytes int
	// ApplyRecords and ApplyBytes bound what is applied in one step, during which
	// this site's metadata answers nobody else; defaults 250 and 512 KiB.
	ApplyRecords, ApplyBytes int
	// ScanRows is the size of a part of the first copy; default 1,000.
	ScanRows int
	// TailWait is how long the source holds a request for records that do not
	// exist yet; default 1 s.
	TailWait time.Duration
	// DialTimeout bounds one attempt to open the source; default 10 s. CallTimeout
	// bounds a request for records beyond TailWait; after it the link is taken for
	// lost. Default 5 s.
	DialTimeout, CallTimeout time.Duration
	// ArchiveTimeout bounds one question to Archive; default 5 minutes.
	ArchiveTimeout time.Duration
	// ReportInterval is how often the source and this site are told how far the
	// mirror is, if that has changed; default 1 s.
	ReportInterval time.Duration
	// TrimInterval is how often the source's log is trimmed behind the slowest
	// mirror, and this site's own log too, and KeepRecords how many each keeps at
	// least; defaults 30 s and 10,000.
	TrimInterval time.Duration
	KeepRecords  int
	// StallRetry is how often a stalled mirror looks whether the source was
	// repaired; default 10 s. What is done to this site wakes it at once.
	StallRetry time.Duration
	// BackoffMax is the longest pause between attempts to reach the source;
	// default 10 s.
	BackoffMax time.Duration
	// ClaimTTL is after which silence of a runner that was making the first copy
	// another one starts it anew; default 20 s. It must be longer than any one
	// call to Replica can take.
	ClaimTTL time.Duration

	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Jitter shortens a pause by chance, so that many do not return at once; nil
	// takes between half and all of it.
	Jitter  func(time.Duration) time.Duration
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// keptRecords is how many records a log keeps although nobody needs them.
const keptRecords = 10_000

func (c *Config) setDefaults() error {
	if c.Dial == nil || c.Replica == nil {
		return errors.New("mirror runner: Dial and Replica are needed")
	}
	orDefault(&c.TailRecords, 10_000)
	orDefault(&c.TailBytes, 4<<20)
	orDefault(&c.ApplyRecords, 250)
	orDefault(&c.ApplyBytes, 512<<10)
	orDefault(&c.ScanRows, 1000)
	orDefault(&c.TailWait, time.Second)
	orDefault(&c.DialTimeout, 10*time.Second)
	orDefault(&c.CallTimeout, 5*time.Second)
	orDefault(&c.ArchiveTimeout, 5*time.Minute)
	orDefault(&c.ReportInterval, time.Second)
	orDefault(&c.TrimInterval, 30*time.Second)
	orDefault(&c.KeepRecords, keptRecords)
	orDefault(&c.StallRetry, 10*time.Second)
	orDefault(&c.BackoffMax, 10*time.Second)
	orDefault(&c.ClaimTTL, 20*time.Second)
	orDefault(&c.LeaseTTL, 6*time.Second)
	if c.Runner == (Runner{}) {
		c.Runner = thisProcess()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Jitter == nil {
		c.Jitter = func(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Archive is where records are kept that left the source's log.
type Archive interface {
	// Tail gives records that follow a state, in order: at least one, at most some
	// MiB. meta.ErrGap when it does not have the one that follows, meta.ErrDiverged when what it
	// has there does not continue the state's chain.
	Tail(ctx context.Context, after meta.State) ([]meta.LogEntry, error)
}

// runner pulls the source's metadata into one site.
type runner struct {
	cfg      Config
	info     Info
	progress *progress
	metrics  *runnerMetrics
	found    func([]compare.Difference) // told what a repair finds; may be nil
	// promotions are those that the source told of last.
	promotions atomic.Pointer[[]meta.Promotion]
	// carrier copies data, nil when none is; one for all times that this runner works, for its metrics are registered
	// once.
	carrier *carrier
	// inherited is the last owner whose lease was given back because it is dead.
	inherited string
}

// ErrRemoved says that the mirror was removed at the source.
var ErrRemoved = errors.New("this mirror was removed at its source: add it again (mirrorfs mirror add) for a new copy")

var (
	errIsSource = errors.New("this site is the source of its volume now, not a mirror")
	// errAgain: nothing is wrong, but what was known of a site may be old.
	errAgain = errors.New("look again at where the sites stand")
)

// Run makes a site follow its source until ctx ends, and then returns nil. It
// copies first if that has not been done, and then applies the log. A lost link,
// a restart of either site's metadata, another runner of the same mirror: it
// goes on by itself. Of several runners of a mirror one does the work, and another takes over
// within Config.LeaseTTL and some when it is silent. What must not be gone over it reports as state "stalled" and
// looks again every StallRetry, in case the source was repaired. While this site is the
// source, because it was promoted, it waits until it is a mirror again: what starts it
// again and again would gain nothing.
//
// It returns an error when there is nothing to run: ErrNotMirror or ErrRemoved.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.setDefaults(); err != nil {
		return err
	}
	r, err := newRunner(ctx, cfg)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if r.metrics, err = newRunnerMetrics(cfg.Metrics, r.progress); err != nil {
		return err
	}
	if cfg.Data != nil {
		if r.carrier, err = newCarrier(*cfg.Data, r.dataPlan); err != nil {
			return err
		}
	}
	g, runCtx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.showFacts(runCtx) })
	g.Go(func() error { return r.lead(runCtx) })
	err = g.Wait()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// work does what a mirror needs until ctx ends or there is nothing to run.
func (r *runner) work(ctx context.Context) error {
	r.progress.leads(r.cfg.Runner)
	defer r.progress.leads(Runner{})
	g, working := errgroup.WithContext(ctx)
	g.Go(func() error { return r.keepNote(working) })
	g.Go(func() error { return r.pull(working) })
	if r.carrier != nil {
		g.Go(func() error { return r.carryData(working) })
	}
	err := g.Wait()
	if !errors.Is(context.Cause(ctx), errDeposed) { // then it is another's to write
		r.writeNote(context.WithoutCancel(ctx))
	}
	return err
}

// newRunner reads what this site knows of its mirror.
func newRunner(ctx context.Context, cfg Config) (*runner, error) {
	local, err := cfg.Replica.Local(ctx)
	if err != nil {
		return nil, err
	}
	info, err := infoFrom(local)
	if err != nil {
		return nil, err
	}
	if info.Removed {
		return nil, ErrRemoved
	}
	last, err := noteFrom(local)
	if err != nil {
		return nil, err
	}
	return &runner{cfg: cfg, info: info, progress: newProgress(cfg.Now, last)}, nil
}

// sourceError is a failure of the source or of the way to it, as opposed to one
// of this site.
type sourceError struct{ err error }

func (e *sourceError) Error() string {
	var fed *feedError
	if errors.As(e.err, &fed) {
		return e.err.Error()
	}
	return "source: " + e.err.Error()
}

func (e *sourceError) Unwrap() error { return e.err }

func atSource(err error) error {
	if err == nil {
		return nil
	}
	return &sourceError{err: err}
}

// stallError is what must not be gone over: the reason says what to do.
type stallError struct {
	state  string // StateStalled or StateFenced
	reason string
	err    error
}

func (e *stallError) Error() string { return e.reason }
func (e *stallError) Unwrap() error { return e.err }

func stall(cause error, format string, args ...any) error {
	return &stallError{state: StateStalled, reason: fmt.Sprintf(format, args...), err: cause}
}

// over tells the errors that end a runner.
func over(err error) bool {
	return errors.Is(err, ErrRemoved) || errors.Is(err, errIsSource) || errors.Is(err, errMoved) || errors.Is(err, ErrNotMirror)
}

// pull connects to the source again and again.
func (r *runner) pull(ctx context.Context) error {
	backoff := r.backoff()
	for {
		err := r.connect(ctx, backoff)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case errors.Is(err, errMoved):
			backoff.reset()
			continue
		case errors.Is(err, errIsSource):
			if err := r.rest(ctx); err != nil {
				return err
			}
			continue
		case over(err):
			return err
		}
		r.progress.linkLost(err)
		wait := backoff.next()
		r.cfg.Logger.WarnContext(ctx, "the source does not answer", slog.Any("error", err), slog.Duration("retry_in", wait))
		if err := r.idle(ctx, wait); err != nil {
			return err
		}
	}
}

// rest waits until this site is a mirror again.
func (r *runner) rest(ctx context.Context) error {
	r.progress.stop(StateSource, "this site is the source of its volume: there is nothing to carry")
	r.cfg.Logger.WarnContext(ctx, "this site is the source now: the runner waits until it is a mirror again")
	for {
		if err := r.idle(ctx, r.cfg.StallRetry); err != nil {
			return err
		}
		s, err := r.cfg.Replica.State(ctx)
		if err == nil && s.Role != meta.RoleSource && s.Role != meta.RoleFenced {
			r.cfg.Logger.InfoContext(ctx, "this site is a mirror again")
			return nil
		}
	}
}

// look reads what this site knows of its mirror, which others may have changed, and makes
// sure that it is one.
func (r *runner) look(ctx context.Context) error {
	s, err := r.cfg.Replica.State(ctx)
	if err != nil {
		return err
	}
	if s.Role == meta.RoleSource || s.Role == meta.RoleFenced {
		return errIsSource
	}
	local, err := r.cfg.Replica.Local(ctx)
	if err != nil {
		return err
	}
	info, err := infoFrom(local)
	if err != nil {
		return err
	}
	if info.Removed {
		return ErrRemoved
	}
	r.info = info
	return nil
}

// connect opens the source and follows it until the link is lost.
func (r *runner) connect(ctx context.Context, backoff *backoff) error {
	if err := r.look(ctx); err != nil {
		return err
	}
	dialCtx, cancel := context.WithTimeout(ctx, r.cfg.DialTimeout)
	src, err := r.open(dialCtx)
	cancel()
	if err != nil && !errors.Is(err, meta.ErrNoVolume) {
		return atSource(err)
	}
	if err != nil {
		r.stalled(ctx, r.noVolume(err))
		return errors.Join(atSource(err), r.idle(ctx, r.cfg.StallRetry))
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.report(ctx, src) })
	g.Go(func() error {
		for {
			if err := r.once(ctx, src, backoff); err != nil {
				return err
			}
		}
	})
	err = g.Wait()
	if errors.Is(err, ErrRemoved) {
		err = errors.Join(err, r.forgotten(ctx, src))
	}
	return errors.Join(err, src.Close())
}

// forgotten leaves nothing of a removed mirror at the source: a report may have
// arrived there after the removal and would keep the log from being trimmed.
func (r *runner) forgotten(ctx context.Context, src Upstream) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.DialTimeout)
	defer cancel()
	r.info.Removed = true
	return errors.Join(src.ForgetMirror(ctx, r.info.Site), setLocal(ctx, r.cfg.Replica, localInfo, r.info))
}

// once brings the site as far as it gets: it returns nil to be called again, and
// an error when the link is lost or the runner is over.
func (r *runner) once(ctx context.Context, src Upstream, backoff *backoff) error {
	err := r.advance(ctx, src, backoff)
	var bad *stallError
	var lost *sourceError
	var behind *behindError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, meta.ErrMoved) || errors.Is(err, errAgain):
		return pause(ctx, r.cfg.Jitter(20*time.Millisecond))
	case over(err):
		return err
	case errors.As(err, &bad):
		r.stalled(ctx, bad)
		return r.idle(ctx, r.cfg.StallRetry)
	case errors.As(err, &behind):
		r.progress.trouble(behind.Error())
		return r.idle(ctx, r.cfg.StallRetry)
	case errors.As(err, &lost):
		return err
	default:
		wait := backoff.next()
		r.progress.trouble("the metadata of this site fails: " + err.Error())
		r.cfg.Logger.ErrorContext(ctx, "the metadata of this site fails", slog.Any("error", err), slog.Duration("retry_in", wait))
		return pause(ctx, wait)
	}
}

// advance copies if need be and follows the log until something is in the way.
func (r *runner) advance(ctx context.Context, src Upstream, backoff *backoff) error {
	state, err := r.cfg.Replica.State(ctx)
	if err != nil {
		return err
	}
	if state.Role == meta.RoleSource || state.Role == meta.RoleFenced {
		return errIsSource
	}
	r.progress.stands(state)
	var target meta.Position
	if state.Role == meta.RoleBootstrapping {
		if state, target, err = r.bootstrap(ctx, src); err != nil {
			return r.copyAgain(ctx, err)
		}
	} else if err := r.check(ctx, src, state); err != nil {
		return err
	}
	err = r.follow(ctx, src, state, target, backoff)
	if !target.IsZero() {
		err = r.copyAgain(ctx, err)
	}
	return err
}

// stalled notes that the mirror cannot go on, and why.
func (r *runner) stalled(ctx context.Context, bad *stallError) {
	if r.progress.stop(bad.state, bad.reason) {
		r.cfg.Logger.ErrorContext(ctx, "the mirror stopped", slog.String("state", bad.state), slog.String("reason", bad.reason))
	}
}

// backoff grows from pause to pause until it is reset.
type backoff struct {
	first, most time.Duration
	jitter      func(time.Duration) time.Duration
	now         time.Duration
}

func (r *runner) backoff() *backoff {
	return &backoff{first: min(200*time.Millisecond, r.cfg.BackoffMax), most: r.cfg.BackoffMax, jitter: r.cfg.Jitter}
}

func (b *backoff) next() time.Duration {
	b.now = min(max(2*b.now, b.first), b.most)
	return b.jitter(b.now)
}

func (b *backoff) reset() { b.now = 0 }
