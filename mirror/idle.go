package mirror

import (
	"context"
	"time"

	"mirrorfs/meta"
)

// idleLook is how often a runner that has nothing to do looks whether somebody has changed its site.
const idleLook = 250 * time.Millisecond

// affairs is what an operator changes at a site for its runner to go by: where it stands (repair, promote,
// rejoin), what it knows of its mirror (set), and the claim of a copy or repair.
type affairs struct {
	at         meta.State
	info, copy string
}

// affairs asks this site; false when it does not answer.
func (r *runner) affairs(ctx context.Context) (affairs, bool) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	at, err := r.cfg.Replica.State(ctx)
	if err != nil {
		return affairs{}, false
	}
	local, err := r.cfg.Replica.Local(ctx)
	return affairs{at, local[localInfo], local[localCopy]}, err == nil
}

// idle waits for d, or until somebody has changed this site meanwhile: what an operator does takes effect at
// once, however long the runner means to wait.
func (r *runner) idle(ctx context.Context, d time.Duration) error {
	if d <= idleLook {
		return pause(ctx, d)
	}
	before, known := r.affairs(ctx)
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if err := pause(ctx, min(left, idleLook)); err != nil || left <= idleLook {
			return err
		}
		now, ok := r.affairs(ctx)
		if known && ok && now != before {
			return nil
		}
		if ok && !known {
			before, known = now, true
		}
	}
}
