package redis

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// idleNews is how long a subscription stays when nobody waits any more.
const idleNews = 30 * time.Second

// lockNews brings to those who wait for locks what the server tells this session: a
// subscription, while somebody waits. News can be lost; so waiters ask now and then.
type lockNews struct {
	s *server

	mu      sync.Mutex
	waiting map[uint32]*lockWaiter
	last    uint32
	sub     *goredis.PubSub // nil when there is none
	ready   chan struct{}   // closed when sub listens
	session meta.SessionID  // whose news sub brings
	idle    *time.Timer     // ends sub
	closed  bool
}

// lockWaiter is one who waits.
type lockWaiter struct {
	id   uint32
	news chan struct{} // gets at most one
}

func newLockNews(s *server) *lockNews { return &lockNews{s: s, waiting: map[uint32]*lockWaiter{}} }

func (n *lockNews) add() *lockWaiter {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	w := &lockWaiter{id: n.last, news: make(chan struct{}, 1)}
	n.waiting[w.id] = w
	if n.idle != nil {
		n.idle.Stop()
	}
	return w
}

func (n *lockNews) remove(w *lockWaiter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.waiting, w.id)
	if len(n.waiting) > 0 || n.sub == nil {
		return
	}
	if n.idle == nil {
		n.idle = time.AfterFunc(idleNews, n.rest)
	} else {
		n.idle.Reset(idleNews)
	}
}

// rest ends the subscription unless somebody waits again.
func (n *lockNews) rest() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) == 0 {
		n.end()
	}
}

// end ends the subscription. mu is held.
func (n *lockNews) end() {
	if n.sub != nil {
		_ = n.sub.Close() // only listens
		n.sub = nil
	}
}

// restart makes whoever waits next listen anew: the server is another one.
func (n *lockNews) restart() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.end()
}

func (n *lockNews) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.idle != nil {
		n.idle.Stop()
	}
	n.end()
}

// listen returns when the session's news come in. That they do not is no error: who waits asks
// now and then.
func (n *lockNews) listen(ctx context.Context, session meta.SessionID) error {
	n.mu.Lock()
	if n.sub != nil && n.session == session {
		ready := n.ready
		n.mu.Unlock()
		select {
		case <-ready:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if n.closed {
		n.mu.Unlock()
		return ctx.Err()
	}
	n.end()
	channel := n.s.prefix() + "wake:" + hex.EncodeToString(sessionBytes(session))
	sub := n.s.client().Subscribe(context.WithoutCancel(ctx))
	ready := make(chan struct{})
	n.sub, n.session, n.ready = sub, session, ready
	n.mu.Unlock()
	defer close(ready) // in any case: others wait for it
	sending, cancel := context.WithTimeout(ctx, n.s.opts.CallTimeout)
	defer cancel()
	err := sub.Subscribe(sending, channel)
	if err == nil {
		_, err = sub.Receive(sending)
	}
	if err != nil {
		n.s.opts.Logger.DebugContext(ctx, "no news of locks", logError(err))
	}
	go n.deliver(sub.Channel())
	return ctx.Err()
}

// deliver passes news on until the subscription ends.
func (n *lockNews) deliver(messages <-chan *goredis.Message) {
	for m := range messages {
		if len(m.Payload) != 4 {
			continue
		}
		n.mu.Lock()
		w := n.waiting[binary.BigEndian.Uint32([]byte(m.Payload))]
		n.mu.Unlock()
		if w == nil {
			continue
		}
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}
