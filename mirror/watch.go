package mirror

import (
	"context"
	"slices"
	"sync"
	"time"

	"mirrorfs/meta"
)

const (
	watchMin = 500 * time.Microsecond
	watchMax = 10 * time.Millisecond
	// watchTimeout bounds one look at this site's metadata.
	watchTimeout = 2 * time.Second
	// trustBehind is how long "this site has not reached p" is believed without
	// asking again. For so long, what was just changed here is answered from
	// memory, and a later change of it by somebody else may be seen that much later.
	trustBehind = 20 * time.Millisecond
)

// watch waits for this site to reach positions: one poller for all who wait,
// none when nobody does.
type watch struct {
	near interface {
		State(context.Context) (meta.State, error)
	}
	reached func(meta.Position)

	running sync.WaitGroup

	mu       sync.Mutex
	waiters  []*waiter
	polling  bool
	pause    time.Duration // until the next look
	behind   meta.Position // this site was before it ...
	behindAt time.Time     // ... at this time
}

type waiter struct {
	at   meta.Position
	done chan struct{}
}

// wait returns when this site has reached a position, or with the error of ctx.
func (w *watch) wait(ctx context.Context, at meta.Position) error {
	me := &waiter{at: at, done: make(chan struct{})}
	w.add(ctx, me)
	select {
	case <-me.done:
		return nil
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiters = slices.DeleteFunc(w.waiters, func(o *waiter) bool { return o == me })
		return ctx.Err()
	}
}

func (w *watch) add(ctx context.Context, me *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiters = append(w.waiters, me)
	w.pause = watchMin
	if !w.polling {
		w.polling = true
		w.running.Go(func() { w.poll(context.WithoutCancel(ctx)) })
	}
}

// poll looks at this site's position until nobody waits any more.
func (w *watch) poll(ctx context.Context) {
	for {
		at := w.look(ctx)
		next, more := w.settle(at)
		if !more {
			return
		}
		_ = pause(ctx, next)
	}
}

// look gives this site's position; zero when there is none to count on.
func (w *watch) look(ctx context.Context) meta.Position {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	s, err := w.near.State(ctx)
	if err != nil || s.Role == meta.RoleBootstrapping {
		return meta.Position{}
	}
	w.reached(s.Position)
	return s.Position
}

// settle lets go whoever waited for a position up to at, and tells when to look
// again, and whether to.
func (w *watch) settle(at meta.Position) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiters = slices.DeleteFunc(w.waiters, func(o *waiter) bool {
		if at.Before(o.at) {
			return false
		}
		close(o.done)
		return true
	})
	w.polling = len(w.waiters) > 0
	next := w.pause
	w.pause = min(2*w.pause, watchMax)
	return next, w.polling
}

// notReached notes that this site had not reached a position just now.
func (w *watch) notReached(at meta.Position, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.behind, w.behindAt = at, now
}

// recentlyBefore tells whether this site was surely before a position a moment
// ago.
func (w *watch) recentlyBefore(at meta.Position, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !at.Before(w.behind) && now.Sub(w.behindAt) < trustBehind
}
