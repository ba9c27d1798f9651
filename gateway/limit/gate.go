package limit

import (
	"sync"
	"sync/atomic"
)

// DefaultRequests is how many requests a Gate lets in at a time.
const DefaultRequests = 512

// Gate counts requests that are under way.
type Gate struct {
	slots   chan struct{}
	refused atomic.Int64
}

// NewGate lets in at most n requests at a time; 0 is DefaultRequests.
func NewGate(n int) *Gate {
	if n <= 0 {
		n = DefaultRequests
	}
	return &Gate{slots: make(chan struct{}, n)}
}

// Enter lets a request in, or tells that there are too many: it never waits, as who is told
// so backs off, and who waits only makes the queue longer. leave is to be called when the
// last byte of the answer was written, and may be called more than once.
func (g *Gate) Enter() (leave func(), ok bool) {
	select {
	case g.slots <- struct{}{}:
		return sync.OnceFunc(func() { <-g.slots }), true
	default:
		g.refused.Add(1)
		return nil, false
	}
}

// Inside is how many requests are under way.
func (g *Gate) Inside() int { return len(g.slots) }

// Refused is how many were not let in.
func (g *Gate) Refused() int64 { return g.refused.Load() }
