package mirror

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"mirrorfs/meta"
)

// Runner says which process carries a mirror, for people to read.
type Runner struct {
	Host string `json:"host"`
	PID  int    `json:"pid"`
}

func thisProcess() Runner {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return Runner{Host: host, PID: os.Getpid()}
}

// String names the host, and the process on it.
func (r *Runner) String() string { return fmt.Sprintf("%s, process %d", r.Host, r.PID) }

// runnerLease is the name of the claim of the runner at work.
const runnerLease = "runner"

// standByMax is the longest pause of a waiting runner between two looks at the lease.
const standByMax = time.Second

// errDeposed: another runner of the same mirror does the work now.
var errDeposed = errors.New("the lease of this mirror's runner is lost")

// lease is a runner's right to do the work. It is prolonged before it ends; a runner that cannot do
// that stops when it ends by its own clock, at the latest when another one can have it.
type lease struct {
	claims meta.Claims
	name   string // of the claim
	ttl    time.Duration
	owner  string
	asked  time.Time // when it was prolonged last
}

func newLease(claims meta.Claims, name string, ttl time.Duration) *lease {
	return &lease{claims: claims, name: name, ttl: ttl, owner: rand.Text()}
}

// take asks for the lease, and reports whether it is this runner's.
func (l *lease) take(ctx context.Context, within time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	asked := time.Now()
	has, err := l.claims.Claim(ctx, l.name, l.owner, l.ttl)
	if has && err == nil {
		l.asked = asked
	}
	return has && err == nil, err
}

// keep prolongs the lease, and returns when it is lost or ctx ends.
func (l *lease) keep(ctx context.Context) {
	for {
		left := time.Until(l.asked.Add(l.ttl))
		if left <= 0 || pause(ctx, min(left, l.ttl/4)) != nil {
			return
		}
		if has, err := l.take(ctx, max(time.Until(l.asked.Add(l.ttl)), time.Millisecond)); err == nil && !has {
			return
		}
	}
}

// release lets another runner have it at once.
func (l *lease) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(l.ttl, callTimeout))
	defer cancel()
	return l.claims.Unclaim(ctx, l.name, l.owner)
}

// lead does the work of a mirror while this runner has the lease, and waits for that otherwise.
func (r *runner) lead(ctx context.Context) error {
	if r.cfg.Claims == nil {
		return r.work(ctx)
	}
	l := newLease(r.cfg.Claims, runnerLease, r.cfg.LeaseTTL)
	waiting := false
	for {
		has, err := l.take(ctx, l.ttl)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case has:
			waiting = false
			if err := r.workUnder(ctx, l); !errors.Is(err, errDeposed) {
				return err
			}
			r.cfg.Logger.WarnContext(ctx, "this runner has lost its lease, or could not prolong it: it stops until it has it again")
		case err == nil && r.inherit(ctx):
			continue
		case err != nil:
			r.cfg.Logger.WarnContext(ctx, "the metadata of this site does not tell which runner is at work", slog.Any("error", err))
		case !waiting:
			waiting = true
			r.cfg.Logger.InfoContext(ctx, "another runner does the work: this one waits to take over")
		}
		if err := r.standBy(ctx); err != nil {
			return err
		}
		if err := pause(ctx, r.cfg.Jitter(min(l.ttl/6, standByMax))); err != nil {
			return err
		}
	}
}

// workUnder works for as long as the lease is this runner's: errDeposed when it is no more.
func (r *runner) workUnder(ctx context.Context, l *lease) error {
	if local, err := r.cfg.Replica.Local(ctx); err == nil {
		if last, err := noteFrom(local); err == nil {
			r.progress.goOn(last)
		}
	}
	r.progress.holds(here(l.owner))
	r.cfg.Logger.InfoContext(ctx, "this runner does the work")
	leading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	g, leading := errgroup.WithContext(leading)
	g.Go(func() error {
		l.keep(leading)
		if leading.Err() == nil {
			stop(errDeposed)
		}
		return nil
	})
	g.Go(func() error {
		defer stop(nil)
		return r.work(leading)
	})
	err := g.Wait()
	if errors.Is(context.Cause(leading), errDeposed) {
		return errDeposed
	}
	if e := l.release(ctx); e != nil {
		r.cfg.Logger.DebugContext(ctx, "the lease was not given back", slog.Any("error", e))
	}
	return err
}

// standBy shows what the runner at work has noted, so that this one's metrics tell of the mirror
// and not of itself. It fails when there is nothing to take over.
func (r *runner) standBy(ctx context.Context) error {
	local, err := r.cfg.Replica.Local(ctx)
	if err != nil {
		return nil //nolint:nilerr // whether this site answers is for the lease to say
	}
	if info, err := infoFrom(local); err == nil && info.Removed {
		return ErrRemoved
	}
	if n, err := noteFrom(local); err == nil {
		r.progress.watching(n)
	}
	return nil
}
