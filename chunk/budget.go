package chunk

import (
	"context"
	"sync"
)

// budget bounds the memory of all writers. Part of what is used is draining:
// blocks on their way to the store, which will be released without anyone
// writing more. The rest are partial blocks, which only their writers can
// finish. So waiting makes sense only for what drains: when partial blocks
// alone use up the limit, acquire goes over it, rather than have all writers
// wait for each other.
type budget struct {
	limit int64 // bytes

	mu       sync.Mutex
	used     int64
	draining int64
	changed  chan struct{} // closed and replaced when used shrinks
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, changed: make(chan struct{})}
}

// acquire takes n bytes, waiting while that would pass the limit and more than
// half of the limit drains.
func (g *budget) acquire(ctx context.Context, n int64) error {
	for {
		g.mu.Lock()
		if g.used+n <= g.limit || g.draining <= g.limit/2 && g.used-g.draining+n > g.limit/2 || g.draining == 0 {
			g.used += n
			g.mu.Unlock()
			return nil
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// drain says that n of the bytes in use will be released by themselves.
func (g *budget) drain(n int64) {
	g.mu.Lock()
	g.draining += n
	g.mu.Unlock()
}

// release gives back n bytes that were not draining.
func (g *budget) release(n int64) { g.shrink(n, 0) }

// drained gives back n bytes that were draining.
func (g *budget) drained(n int64) { g.shrink(n, n) }

func (g *budget) shrink(used, draining int64) {
	g.mu.Lock()
	g.used -= used
	g.draining -= draining
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
}

// tight tells whether more than half of the limit is in use: whatever can wait
// should not hold memory now.
func (g *budget) tight() bool { return g.inUse() > g.limit/2 }

func (g *budget) inUse() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used
}
