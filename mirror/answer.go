package mirror

import (
	"context"
	"errors"
	"time"

	"mirrorfs/meta"
)

// query is one question of a Reader, and what a floor says about it.
type query[T any] struct {
	op   string
	keys []key // what the answer is about
	all  bool  // it is about anything
	ask  func(context.Context, meta.Reader) (T, error)
	// known gives the answer as of a position when it is remembered from a change
	// or a read at the source. May be nil.
	known func() (v T, at meta.Position, err error, ok bool)
	// learn notes an answer of the source. May be nil.
	learn func(v T, err error, at meta.Position)
}

// reply is an answer, and the position that it was read at; zero when that is
// not known.
type reply[T any] struct {
	v   T
	at  meta.Position
	err error
}

// answer answers from this site when it has reached what the caller has seen
// before; from memory when it has not, but the answer is known; and else from
// this site or from the source, whichever is there first.
func answer[T any](ctx context.Context, r reader, q query[T]) (T, meta.Position, error) {
	e := r.e
	if e.isHere() {
		p := near(ctx, r, q, r.opts.AtLeast)
		return p.v, p.at, p.err
	}
	floor, ask := e.floors.need(q.keys...)
	if q.all {
		floor, ask = e.floors.needAll()
	}
	floor = later(floor, r.opts.AtLeast)

	copying, err := e.copying.check(ctx)
	if err != nil {
		var none T
		return none, meta.Position{}, err
	}
	if copying || ask && !e.far.down() || e.lagging(ctx) {
		p := far(ctx, r, q, floor)
		if !copying && isUnreachable(p.err) {
			// The floor alone says what is too old to be shown.
			p = near(ctx, r, q, floor)
		}
		if copying || !errors.Is(p.err, meta.ErrBehind) {
			return p.v, p.at, p.err
		}
	}
	if p, ok := remembered(q, floor); ok && e.watch.recentlyBefore(p.at, e.opts.Now()) {
		return p.v, p.at, p.err
	}
	p := near(ctx, r, q, floor)
	if !errors.Is(p.err, meta.ErrBehind) {
		return p.v, p.at, p.err
	}
	e.watch.notReached(floor, e.opts.Now())
	e.copying.doubt()
	if p, ok := remembered(q, floor); ok {
		return p.v, p.at, p.err
	}
	p = race(ctx, r, q, floor)
	return p.v, p.at, p.err
}

// remembered gives an answer known from a change or a read at the source, if that
// is recent enough.
func remembered[T any](q query[T], floor meta.Position) (reply[T], bool) {
	if q.known == nil {
		return reply[T]{}, false
	}
	v, at, err, ok := q.known()
	return reply[T]{v: v, at: at, err: err}, ok && !at.Before(floor)
}

// near asks this site for a state not before the floor.
func near[T any](ctx context.Context, r reader, q query[T], floor meta.Position) reply[T] {
	var p reply[T]
	p.v, p.err = q.ask(ctx, r.e.near.View(meta.ViewOptions{
		AtLeast: floor,
		Observe: func(at meta.Position) { p.at = at },
	}))
	if !p.at.IsZero() {
		r.e.floors.observe(p.at)
		r.e.lag.observe(p.at)
	}
	return p
}

// far asks the source. One that was replaced is behind whoever has seen its successor.
func far[T any](ctx context.Context, r reader, q query[T], floor meta.Position) reply[T] {
	ctx, cancel := context.WithTimeout(ctx, r.e.opts.ReadTimeout)
	defer cancel()
	var p reply[T]
	engine, err := r.e.far.get(ctx)
	if err != nil {
		p.err = r.e.farFailed(q.op, err)
		return p
	}
	p.v, p.err = q.ask(ctx, engine.View(meta.ViewOptions{
		AtLeast: later(r.opts.AtLeast, meta.Position{Epoch: floor.Epoch}),
		Observe: func(at meta.Position) { p.at = at },
	}))
	if isUnreachable(p.err) {
		p.err = r.e.farFailed(q.op, r.e.far.fail(p.err))
		return p
	}
	if ctx.Err() != nil && p.at.IsZero() {
		return p // the caller gave up
	}
	r.e.far.ok()
	r.e.metrics.farRead()
	if q.learn != nil && !p.at.IsZero() {
		q.learn(p.v, p.err, p.at)
	}
	return p
}

// race waits for this site to reach the floor, asks the source as well when
// that takes longer than NearPatience, and returns the first answer. Without one
// within ReadTimeout it fails: what is here is older than what the caller saw.
func race[T any](ctx context.Context, r reader, q query[T], floor meta.Position) reply[T] {
	e := r.e
	ctx, cancel := context.WithTimeout(ctx, e.opts.ReadTimeout)
	defer cancel()
	here := make(chan reply[T], 1)
	e.reads.Go(func() { here <- nearAt(ctx, r, q, floor) })

	patience := time.NewTimer(e.opts.NearPatience)
	defer patience.Stop()
	select {
	case p := <-here:
		if final(p.err) {
			return p
		}
	case <-patience.C:
	}
	there := make(chan reply[T], 1)
	e.reads.Go(func() { there <- far(ctx, r, q, floor) })
	select {
	case p := <-here:
		if final(p.err) {
			return p
		}
		return <-there
	case p := <-there:
		if !isUnreachable(p.err) {
			return p
		}
		if n := <-here; final(n.err) {
			return n
		}
		return p // says why
	}
}

// final tells an answer from the lack of one.
func final(err error) bool { return !errors.Is(err, meta.ErrBehind) && !isUnreachable(err) }

// nearAt waits until this site has reached a position and asks it then.
func nearAt[T any](ctx context.Context, r reader, q query[T], floor meta.Position) reply[T] {
	for {
		if err := r.e.watch.wait(ctx, floor); err != nil {
			return reply[T]{err: err}
		}
		// Behind again means another replica of this site's Redis, or one that
		// was restored: wait for it too.
		if p := near(ctx, r, q, floor); !errors.Is(p.err, meta.ErrBehind) {
			return p
		}
		if err := pause(ctx, watchMax); err != nil {
			return reply[T]{err: err}
		}
	}
}

// pause waits, or returns why it could not.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
