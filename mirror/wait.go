package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mirrorfs/meta"
)

// ErrNotThere says that a mirror had not reached a position in time.
var ErrNotThere = errors.New("the mirror is not there yet")

const (
	waitMin = 2 * time.Millisecond
	waitMax = 50 * time.Millisecond
)

// Wait returns when everything that the source had acknowledged before the call
// is readable at a mirror: it asks the source once and then watches the mirror. It
// returns that position. When ctx ends before, the error wraps ErrNotThere and
// says how far the mirror is. It works while the first copy is under way.
func Wait(ctx context.Context, source meta.Source, site meta.Replica) (meta.Position, error) {
	head, err := source.State(ctx)
	if err != nil {
		return meta.Position{}, fmt.Errorf("source: %w", err)
	}
	next := waitMin
	for {
		s, err := site.State(ctx)
		if err == nil && s.Role != meta.RoleBootstrapping && !s.Position.Before(head.Position) {
			return head.Position, nil
		}
		if err != nil && ctx.Err() == nil {
			return head.Position, fmt.Errorf("mirror: %w", err)
		}
		if err := pause(ctx, next); err != nil {
			return head.Position, notThere(context.WithoutCancel(ctx), site, head.Position, s.Position)
		}
		next = min(next*3/2, waitMax)
	}
}

// notThere says how far a mirror is, and why it is not further.
func notThere(ctx context.Context, site meta.Replica, want, have meta.Position) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	why := ""
	if local, err := site.Local(ctx); err == nil {
		if n, err := noteFrom(local); err == nil {
			switch {
			case n.Seen.IsZero():
				why = ", no runner was seen yet: start it with `mirrorfs mirror run`"
			case n.Reason != "":
				why = ", " + n.State + ": " + n.Reason
			default:
				why = ", " + n.State
			}
		}
	}
	return fmt.Errorf("%w: it has applied %s of %s%s", ErrNotThere, have, want, why)
}
