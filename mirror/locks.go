package mirror

import (
	"context"
	"errors"

	"mirrorfs/meta"
)

// Locks are facts of the source: a mirror has none, and asks it.

// SetLock asks the source, and waits there if the request says so: for as long as it takes,
// while the source answers.
//
// A lock that was set is a barrier for all reads through this engine: what was done at the
// source before, by others under the same lock, they see.
func (e *Engine) SetLock(ctx context.Context, q meta.LockRequest) (meta.LockAnswer, error) {
	var ans meta.LockAnswer
	asked := false
	// A waiter may wait for hours: that the source has moved it learns with the heartbeats.
	err := e.orSuccessor(ctx, func(ctx context.Context, _ meta.Engine) error {
		far, err := e.source(ctx, "setlock")
		if err != nil {
			return err
		}
		asked = true
		ans, err = far.SetLock(ctx, q)
		return err
	})
	switch {
	case !asked:
		return ans, e.farFailed("setlock", err)
	case errors.Is(err, meta.ErrUnreachable):
		return ans, e.farFailed("setlock", e.far.fail(err))
	}
	e.far.ok()
	if !ans.Position.IsZero() && !e.isHere() {
		e.watch.notReached(ans.Position, e.opts.Now())
		e.floors.raiseAll(ans.Position)
		if ans.Node.Ino != 0 {
			attr := ans.Node.Attr
			e.floors.raise(ans.Position, inodeKey(q.Ino), content{attr: &attr})
		}
	}
	return ans, err
}

// source gives the source's engine, within ChangeTimeout.
func (e *Engine) source(ctx context.Context, op string) (meta.Engine, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.ChangeTimeout)
	defer cancel()
	far, err := e.far.get(ctx)
	if err != nil {
		return nil, e.farFailed(op, err)
	}
	return far, nil
}

// GetLock asks the source.
func (e *Engine) GetLock(ctx context.Context, q meta.LockRequest) (held meta.HeldLock, err error) {
	err = e.atSource(ctx, "getlock", func(ctx context.Context, far meta.Engine) error {
		held, err = far.GetLock(ctx, q)
		return err
	})
	return held, err
}

// AssertLocks tells the source.
func (e *Engine) AssertLocks(ctx context.Context, o meta.OwnerLocks) error {
	return e.atSource(ctx, "assertlocks", func(ctx context.Context, far meta.Engine) error {
		return far.AssertLocks(ctx, o)
	})
}

// ConfirmLocks tells the source.
func (e *Engine) ConfirmLocks(ctx context.Context) error {
	return e.atSource(ctx, "confirmlocks", func(ctx context.Context, far meta.Engine) error {
		return far.ConfirmLocks(ctx)
	})
}

// SessionLocks asks the source.
func (e *Engine) SessionLocks(ctx context.Context, id meta.SessionID, limit int) (list []meta.HeldLock, err error) {
	err = e.atSource(ctx, "sessionlocks", func(ctx context.Context, far meta.Engine) error {
		list, err = far.SessionLocks(ctx, id, limit)
		return err
	})
	return list, err
}

// SweepLocks tells the source.
func (e *Engine) SweepLocks(ctx context.Context, limit int) (n int, err error) {
	err = e.atSource(ctx, "sweeplocks", func(ctx context.Context, far meta.Engine) error {
		n, err = far.SweepLocks(ctx, limit)
		return err
	})
	return n, err
}
