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

// link is an Engine's way to the source: opened when first needed, so that an
// engine can be made while the source cannot be reached. Once open it is kept:
// the session belongs to it, and it reconnects by itself.
type link struct {
	dial func(context.Context) (meta.Engine, error)
	now  func() time.Time

	// opening is a token of one: who holds it may dial.
	opening chan struct{}

	mu     sync.Mutex
	engine meta.Engine
	cause  error     // why the source could not be asked last; nil when it answered
	failed time.Time // when
	closed bool
}

func newLink(dial func(context.Context) (meta.Engine, error), now func() time.Time) *link {
	return &link{dial: dial, now: now, opening: make(chan struct{}, 1)}
}

var errClosed = errors.New("engine is closed")

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

// get returns the source's engine. Right after a failure it gives the same again.
func (l *link) get(ctx context.Context) (meta.Engine, error) {
	if engine, err := l.ready(); engine != nil || err != nil {
		return engine, err
	}
	return l.open(ctx)
}

func (l *link) ready() (meta.Engine, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	if l.cause != nil && l.now().Sub(l.failed) < redialPause {
		return nil, l.cause
	}
	return l.engine, nil
}

// hold waits for the token of who may dial; release gives it back.
func (l *link) hold(ctx context.Context) error {
	select {
	case l.opening <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) release() { <-l.opening }

// open dials; one caller at a time.
func (l *link) open(ctx context.Context) (meta.Engine, error) {
	if err := l.hold(ctx); err != nil {
		return nil, err
	}
	defer l.release()
	if engine, err := l.ready(); engine != nil || err != nil { // somebody was faster
		return engine, err
	}
	engine, err := l.dial(ctx)
	if err != nil {
		return nil, l.fail(err)
	}
	if err := l.keep(engine); err != nil {
		return nil, errors.Join(err, engine.Close())
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

// move goes on with another engine, whose source is the source now. One that can move takes
// its place with session and numbers; else it is replaced, and its session is over. The caller
// holds the token.
func (l *link) move(to meta.Engine) error {
	l.mu.Lock()
	old, closed := l.engine, l.closed
	l.mu.Unlock()
	if closed || old == nil {
		return errors.Join(errClosed, to.Close())
	}
	if m, ok := old.(meta.Mover); ok {
		if err := m.MoveTo(to); err != nil {
			return errors.Join(err, to.Close())
		}
		l.ok()
		return nil
	}
	if err := l.keep(to); err != nil {
		return errors.Join(err, to.Close())
	}
	return old.Close()
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

// opened gives the engine if there is one.
func (l *link) opened() meta.Engine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.engine
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
