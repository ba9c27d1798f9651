package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"mirrorfs/meta"
)

const (
	// slowAnswer is after which time without an answer of the source an engine looks
	// whether it has moved, and movePause how often from then on.
	slowAnswer = 300 * time.Millisecond
	movePause  = 100 * time.Millisecond
	// fencedPatience is how long changes wait for the successor of a source that was
	// fenced: a planned switch takes less. Later they fail at once.
	fencedPatience = 10 * time.Second
)

// whereabouts is where an engine believes the source to be.
type whereabouts struct {
	mu     sync.Mutex
	at     Whereabouts
	fenced time.Time // since when it refuses because it is fenced; zero when it does not
}

func (w *whereabouts) get() Whereabouts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *whereabouts) set(at Whereabouts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.fenced = at, time.Time{}
}

// refused notes whether the source refused because it is fenced, and tells whether that is
// news enough to wait for its successor.
func (w *whereabouts) refused(is bool, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !is {
		w.fenced = time.Time{}
		return false
	}
	if w.fenced.IsZero() {
		w.fenced = now
	}
	return now.Sub(w.fenced) < fencedPatience
}

// AtSource reports whether this site is the source, as far as the engine has heard.
func (e *Engine) AtSource() bool { return e.isHere() }

// isHere reports whether this site is the source itself: then it is read like one.
func (e *Engine) isHere() bool { return e.place.get().Here }

// dial opens the source where it is now.
func (e *Engine) dial(ctx context.Context) (meta.Engine, error) {
	at := e.where(ctx)
	engine, err := e.opts.Dial(ctx)
	if err == nil {
		e.arrived(ctx, at)
	}
	return engine, err
}

// where asks this site where the source is. What cannot be told is where it was.
func (e *Engine) where(ctx context.Context) Whereabouts {
	was := e.place.get()
	if e.opts.Where == nil {
		return was
	}
	at, err := e.opts.Where(ctx)
	if err != nil || at == (Whereabouts{}) {
		return was
	}
	return at
}

func (e *Engine) arrived(ctx context.Context, at Whereabouts) {
	was := e.place.get()
	e.place.set(at)
	if was != at && was != (Whereabouts{}) {
		e.opts.Logger.WarnContext(ctx, "the volume has another source now", slog.Bool("here", at.Here), slog.String("address", at.Address))
	}
}

// follow goes to where the source is now, if it has moved.
func (e *Engine) follow(ctx context.Context) {
	if e.opts.Where == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.ReadTimeout)
	defer cancel()
	if err := e.far.hold(ctx); err != nil {
		return
	}
	defer e.far.release()
	if e.far.opened() == nil { // whoever opens it finds out
		return
	}
	at := e.where(ctx)
	if at == e.place.get() {
		return
	}
	to, err := e.opts.Dial(ctx)
	if err == nil {
		err = e.far.move(to)
	}
	if err != nil {
		e.opts.Logger.WarnContext(ctx, "the volume's new source cannot be used yet", slog.Any("error", err))
		return
	}
	e.arrived(ctx, at)
}

// attend looks again and again where the source is while it does not answer: what is under
// way then goes on at the new one. The caller calls stop when it has an answer.
func (e *Engine) attend(ctx context.Context) (stop func()) {
	if e.opts.Where == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(slowAnswer, func() {
		for ctx.Err() == nil {
			e.follow(ctx)
			_ = pause(ctx, movePause)
		}
	})
	return func() {
		timer.Stop()
		cancel()
	}
}

// atHead asks the source wherever it is, also when it moves meanwhile.
func (e *Engine) atHead(ctx context.Context, ask func(ctx context.Context, far meta.Engine) error) error {
	defer e.attend(ctx)()
	return e.orSuccessor(ctx, ask)
}

// orSuccessor asks the source, and its successor when it refuses because it was fenced: what
// it refused it has not done.
func (e *Engine) orSuccessor(ctx context.Context, ask func(ctx context.Context, far meta.Engine) error) error {
	for {
		far, err := e.far.get(ctx)
		if err == nil {
			err = ask(ctx, far)
		}
		// A fenced source may have become a mirror in the meantime.
		fenced := errors.Is(err, meta.ErrFenced) || errors.Is(err, meta.ErrReadOnly)
		if !e.place.refused(fenced, e.opts.Now()) || e.opts.Where == nil {
			return err
		}
		e.follow(ctx)
		if pause(ctx, movePause/4) != nil {
			return err
		}
	}
}
