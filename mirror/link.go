package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// redialPause is how long after a failed attempt to reach the source callers
// fail at once instead of trying it again, each for its own timeout.
const redialPause = time.Second

// link is an Engine's way to the source: opened when first needed, opened anew
// when its session was ended.
type link struct {
	dial func(context.Context) (meta.Engine, error)
	now  func() time.Time

	// opening is a token of one: who holds it may dial or start the session.
	opening chan struct{}

	mu      sync.Mutex
	engine  meta.Engine
	info    *meta.SessionInfo // of the session to start; nil before StartSession
	started bool              // the session is registered at the source
	failed  time.Time         // of the last failure to open
	cause   error
	closed  bool
}

func newLink(dial func(context.Context) (meta.Engine, error), now func() time.Time) *link {
	return &link{dial: dial, now: now, opening: make(chan struct{}, 1)}
}

var (
	errClosed    = errors.New("engine is closed")
	errNoSession = errors.New("no session was started")
)

// unreachable is what a caller gets when the source does not answer: EIO with
// the cause.
func unreachable(op string, cause error) error {
	return &meta.Error{Op: op, Errno: syscall.EIO, Err: fmt.Errorf("source of the mirror: %w: %w", meta.ErrUnreachable, cause)}
}

// isUnreachable tells an answer of the source from the lack of one.
func isUnreachable(err error) bool {
	if err == nil {
		return false
	}
	var e *meta.Error
	return errors.Is(err, meta.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e)
}

// get returns the source's engine.
func (l *link) get(ctx context.Context) (meta.Engine, error) {
	if engine, _, err := l.ready(); engine != nil || err != nil {
		return engine, err
	}
	return l.open(ctx, false)
}

// session returns the source's engine with the session registered.
func (l *link) session(ctx context.Context) (meta.Engine, error) {
	engine, started, err := l.ready()
	if err != nil || engine != nil && started {
		return engine, err
	}
	return l.open(ctx, true)
}

// ready gives what there is, or the error of a failure that is still fresh.
func (l *link) ready() (engine meta.Engine, started bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false, errClosed
	}
	if l.cause != nil && l.now().Sub(l.failed) < redialPause {
		return nil, false, l.cause
	}
	return l.engine, l.started, nil
}

// open dials, and registers the session if asked; one caller at a time.
func (l *link) open(ctx context.Context, withSession bool) (meta.Engine, error) {
	select {
	case l.opening <- struct{}{}:
		defer func() { <-l.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	engine, started, err := l.ready() // somebody may have been faster
	if err != nil {
		return nil, err
	}
	if engine == nil {
		if engine, err = l.dial(ctx); err != nil {
			return nil, l.fail(err)
		}
		if err := l.keep(engine); err != nil {
			_ = engine.Close()
			return nil, err
		}
	}
	if withSession && !started {
		if err := l.register(ctx, engine); err != nil {
			return nil, err
		}
	}
	return engine, nil
}

func (l *link) keep(engine meta.Engine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	l.engine, l.cause = engine, nil
	return nil
}

func (l *link) register(ctx context.Context, engine meta.Engine) error {
	l.mu.Lock()
	info := l.info
	l.mu.Unlock()
	if info == nil {
		return errNoSession
	}
	if err := engine.StartSession(ctx, *info); err != nil {
		return l.fail(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started, l.cause = true, nil
	return nil
}

// fail remembers a failure so that the next callers need not find out themselves.
// A caller that gave up is none.
func (l *link) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isUnreachable(err) && !errors.Is(err, context.Canceled) {
		l.cause, l.failed = err, l.now()
	}
	return err
}

// ok notes that the source answered.
func (l *link) ok() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cause = nil
}

// down tells whether the source did not answer when it was last asked.
func (l *link) down() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause != nil
}

// ended notes that the source knows the session no more: the next change starts
// a new one.
func (l *link) ended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = false
}

// want says which session to start.
func (l *link) want(info meta.SessionInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.info, l.started = &info, false
}

// forget ends the wish for a session and tells whether one is registered.
func (l *link) forget() (engine meta.Engine, started bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	engine, started = l.engine, l.started
	l.info, l.started = nil, false
	return engine, started
}

func (l *link) close() error {
	l.mu.Lock()
	engine := l.engine
	l.engine, l.closed = nil, true
	l.mu.Unlock()
	if engine == nil {
		return nil
	}
	return engine.Close()
}
