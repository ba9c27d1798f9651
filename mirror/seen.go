package mirror

import (
	"context"

	"mirrorfs/meta"
)

var _ meta.Follower = (*Engine)(nil)

// Seen is meta.Follower's. What the source refused because of something that is not here
// yet was of an unknown position: then the source is asked for its present one.
func (e *Engine) Seen(ctx context.Context) (meta.Position, error) {
	at, ask := e.floors.needAll()
	if !at.IsZero() && !ask {
		return at, nil
	}
	copying, err := e.copying.check(ctx)
	if err != nil {
		return meta.Position{}, err
	}
	if !copying && !ask || e.isHere() {
		s, err := e.near.State(ctx)
		return later(at, s.Position), err
	}
	head, err := e.head(ctx)
	return later(at, head), err
}

// head asks the source where it stands.
func (e *Engine) head(ctx context.Context) (meta.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.ReadTimeout)
	defer cancel()
	engine, err := e.far.get(ctx)
	if err != nil {
		return meta.Position{}, e.farFailed("state", err)
	}
	s, err := engine.State(ctx)
	if err != nil {
		return meta.Position{}, e.farFailed("state", e.far.fail(err))
	}
	e.far.ok()
	return s.Position, nil
}

// Reach is meta.Follower's: it waits for this site, or, while the first copy is under way and
// reads go to the source, for that.
func (e *Engine) Reach(ctx context.Context, at meta.Position) error {
	if e.floors.reachedHere(at) {
		return nil
	}
	for {
		copying, err := e.copying.check(ctx)
		if err != nil {
			return err
		}
		if !copying || e.isHere() {
			break
		}
		if head, err := e.head(ctx); err == nil && !head.Before(at) {
			e.floors.raiseAll(at)
			return nil
		}
		if pause(ctx, copyingPause) != nil {
			return meta.NotReached(ctx, at)
		}
	}
	if e.watch.wait(ctx, at) != nil {
		return meta.NotReached(ctx, at)
	}
	return nil
}
