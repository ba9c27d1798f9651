package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"mirrorfs/meta"
)

// claim says who makes the first copy of a site, so that two runners do not
// make it at once, and how far it is.
type claim struct {
	Owner uint64    `json:"owner"`
	Beat  time.Time `json:"beat"` // changes while the owner lives; never compared with another clock
	// Target is set when everything was copied: the site is exact once it has
	// replayed the log to there.
	Target meta.Position `json:"target"`
	// Leased says that the owner is a runner, which stops when it loses its lease.
	Leased bool `json:"leased,omitempty"`
	// Mending is set when the rows of the site are to be compared and mended, not copied.
	Mending mending `json:"mending,omitzero"`
}

// bootstrap returns where the site stands, and to where the log must be replayed
// before it is a mirror. It makes the first copy unless that is done: the
// source's state is noted, then everything is read while the source goes on
// changing, and replaying the log from the noted state mends what was read too
// early or too late, because records hold absolute values.
func (r *runner) bootstrap(ctx context.Context, src Upstream) (meta.State, meta.Position, error) {
	v, err := r.checkVolume(ctx, src)
	if err != nil {
		return meta.State{}, meta.Position{}, err
	}
	mine := claim{Owner: rand.Uint64(), Leased: r.cfg.Claims != nil}
	done, err := r.acquire(ctx, &mine)
	if err != nil {
		return meta.State{}, meta.Position{}, err
	}
	if !done.Target.IsZero() {
		state, err := r.cfg.Replica.State(ctx)
		return state, done.Target, err
	}
	if mine.Mending.On { // a feeder may be wrong itself
		if src, err = sourceOf(ctx, src); err != nil {
			return meta.State{}, meta.Position{}, atSource(err)
		}
		return r.complete(ctx, src, &mine, r.mend)
	}
	return r.complete(ctx, src, &mine, func(ctx context.Context, src Upstream, mine *claim) error {
		return r.copyFrom(ctx, src, v, mine)
	})
}

// complete makes the rows of the site those of the source and notes from which position on they are
// exact.
func (r *runner) complete(ctx context.Context, src Upstream, mine *claim, fill func(context.Context, Upstream, *claim) error) (meta.State, meta.Position, error) {
	if err := fill(ctx, src, mine); err != nil {
		return meta.State{}, meta.Position{}, err
	}
	head, err := src.State(ctx)
	if err != nil {
		return meta.State{}, meta.Position{}, atSource(err)
	}
	mine.Target = head.Position
	if err := r.renew(ctx, mine); err != nil {
		return meta.State{}, meta.Position{}, err
	}
	state, err := r.cfg.Replica.State(ctx)
	return state, mine.Target, err
}

// copyFrom empties the site and copies all rows.
func (r *runner) copyFrom(ctx context.Context, src Upstream, v meta.Volume, mine *claim) error {
	from, err := src.State(ctx)
	if err != nil {
		return atSource(err)
	}
	if from.Role != meta.RoleSource && from.Role != meta.RoleMirror {
		return r.checkHead(ctx, src, from)
	}
	r.cfg.Logger.InfoContext(ctx, "copying all metadata of the source", slog.String("from", from.Position.String()))
	if err := r.cfg.Replica.Reset(ctx, v, from); err != nil {
		return err
	}
	return r.copyAll(ctx, src, mine)
}

// acquire waits until nobody else makes the copy and takes it over. It returns
// the claim of a copy that is complete, if it is.
func (r *runner) acquire(ctx context.Context, mine *claim) (claim, error) {
	var seen claim
	var since time.Time
	for {
		c, err := r.readClaim(ctx)
		if err != nil || !c.Target.IsZero() {
			return c, err
		}
		if c != seen || since.IsZero() {
			seen, since = c, time.Now()
		}
		switch {
		case c.Owner == mine.Owner:
			return claim{}, nil
		case c.Owner == 0, c.Leased && mine.Leased, time.Since(since) > r.cfg.ClaimTTL:
			mine.Mending = c.Mending
			if err := r.writeClaim(ctx, mine); err != nil {
				return claim{}, err
			}
		default:
			r.progress.copying(who(&c))
		}
		// Of two that take it at once the later one has it, and both see that.
		if err := pause(ctx, r.cfg.Jitter(r.cfg.ClaimTTL/20)); err != nil {
			return claim{}, err
		}
	}
}

// who says what the owner of a claim does.
func who(c *claim) string {
	if c.Mending.On {
		return "a repair is under way"
	}
	return "another runner is making the first copy"
}

func (r *runner) readClaim(ctx context.Context) (claim, error) {
	var c claim
	local, err := r.cfg.Replica.Local(ctx)
	if err != nil || local[localCopy] == "" {
		return c, err
	}
	if err := json.Unmarshal([]byte(local[localCopy]), &c); err != nil {
		return c, fmt.Errorf("claim of the first copy: %w", err)
	}
	return c, nil
}

func (r *runner) writeClaim(ctx context.Context, c *claim) error {
	c.Beat = r.cfg.Now().UTC().Round(0)
	return setLocal(ctx, r.cfg.Replica, localCopy, c)
}

// renew shows that the owner lives, and fails when it is the owner no more.
func (r *runner) renew(ctx context.Context, mine *claim) error {
	c, err := r.readClaim(ctx)
	if err != nil {
		return err
	}
	if c.Owner != mine.Owner {
		return fmt.Errorf("another runner took over the first copy: %w", errAgain)
	}
	return r.writeClaim(ctx, mine)
}

// copyAll loads all tables of the source: the next part is read while one is
// loaded.
func (r *runner) copyAll(ctx context.Context, src Upstream, mine *claim) error {
	g, ctx := errgroup.WithContext(ctx)
	parts := make(chan meta.Batch, 1)
	g.Go(func() error {
		defer close(parts)
		var cursor meta.Cursor
		for {
			b, err := r.scan(ctx, src, cursor)
			if err != nil {
				return err
			}
			select {
			case parts <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
			if cursor = b.Next; cursor == nil {
				return nil
			}
		}
	})
	g.Go(func() error {
		var renewed time.Time
		for b := range parts {
			if time.Since(renewed) > r.cfg.ClaimTTL/10 {
				if err := r.renew(ctx, mine); err != nil {
					return err
				}
				renewed = time.Now()
			}
			if err := r.cfg.Replica.Load(ctx, b.Effects); err != nil {
				return err
			}
			r.metrics.copied(len(b.Effects))
			r.progress.copying(fmt.Sprintf("copied %d of %d inodes", b.Done, max(b.Done, b.Total)))
		}
		return nil
	})
	return g.Wait()
}

// scan reads one part, and outlasts a lost link: a copy of days is not begun
// anew because of a cut.
func (r *runner) scan(ctx context.Context, src Upstream, cursor meta.Cursor) (meta.Batch, error) {
	return outlast(ctx, r, func() (meta.Batch, error) { return src.Scan(ctx, cursor, r.cfg.ScanRows) })
}

// copyAgain turns what would stall a mirror into a new copy while the first one
// is not complete: nobody reads it yet.
func (r *runner) copyAgain(ctx context.Context, err error) error {
	var bad *stallError
	if !errors.As(err, &bad) || bad.state != StateStalled {
		return err
	}
	s, stateErr := r.cfg.Replica.State(ctx)
	if stateErr != nil || s.Role != meta.RoleBootstrapping {
		return err
	}
	r.cfg.Logger.WarnContext(ctx, "the first copy cannot be completed: it begins anew", slog.String("reason", bad.reason))
	if c, claimErr := r.readClaim(ctx); claimErr == nil && c.Mending.On {
		return errors.Join(err, r.writeClaim(ctx, &claim{Mending: mending{On: true}}))
	}
	return errors.Join(err, r.cfg.Replica.SetLocal(ctx, map[string]string{localCopy: ""}))
}
