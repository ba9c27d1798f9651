package object

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// Gate bounds the requests that run at once, and learns from a store that throttles: each
// time, but once a second at most, it halves the bound, and then raises it again by one for
// as many requests that went well as there may be at once. So do TCP's senders, and for the
// same reason: many clients come to share what there is without knowing of each other.
//
// One gate may stand before several stores that share a limit. It may be used concurrently.
type Gate struct {
	most int

	mu      sync.Mutex
	bound   float64 // from 1 to most
	running int
	waiting list.List // of chan struct{}, closed when its turn has come
	halved  time.Time // when last
}

// throttlePause is how long Throttled does nothing after it halved the bound: answers to
// requests that were under way then say nothing new.
const throttlePause = time.Second

// NewGate lets n requests run at once, at least one.
func NewGate(n int) *Gate {
	n = max(n, 1)
	return &Gate{most: n, bound: float64(n)}
}

// Throttled tells the gate that the store asked to slow down.
func (g *Gate) Throttled() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); g.halved.IsZero() || now.Sub(g.halved) >= throttlePause {
		g.halved = now
		g.bound = max(g.bound/2, 1)
	}
}

// Bound is how many requests may run at once now.
func (g *Gate) Bound() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int(g.bound)
}

// enter waits for its turn, in the order of coming, as long as ctx lasts.
func (g *Gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err // select would choose at random
	}
	g.mu.Lock()
	if g.waiting.Len() == 0 && g.running < int(g.bound) {
		g.running++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	place := g.waiting.PushBack(turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn: // it came at the same time: somebody else has it
		g.running--
	default:
		g.waiting.Remove(place)
	}
	g.admit()
	return ctx.Err()
}

// leave ends a request; well says that it was one of those that raise the bound.
func (g *Gate) leave(well bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if well {
		g.bound = min(g.bound+1/g.bound, float64(g.most))
	}
	g.admit()
}

// admit lets those in for whom there is room.
func (g *Gate) admit() {
	for g.running < int(g.bound) && g.waiting.Len() > 0 {
		turn, _ := g.waiting.Remove(g.waiting.Front()).(chan struct{})
		g.running++
		close(turn)
	}
}
