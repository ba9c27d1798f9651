package mirror

import (
	"context"
	"sync"
	"time"

	"mirrorfs/meta"
)

// copyingPause is how often a mirror whose first copy is under way is asked
// whether it is complete.
const copyingPause = 50 * time.Millisecond

// copying knows whether this site's first copy is complete: until then its views
// are behind anything, and asking the source at once saves the wait.
type copying struct {
	near interface {
		State(context.Context) (meta.State, error)
	}
	now func() time.Time

	mu      sync.Mutex
	done    bool
	checked time.Time
}

// check reports whether the copy is under way.
func (c *copying) check(ctx context.Context) (bool, error) {
	c.mu.Lock()
	done, fresh := c.done, c.now().Sub(c.checked) < copyingPause
	c.mu.Unlock()
	if done || fresh {
		return !done, nil
	}
	s, err := c.near.State(ctx)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done, c.checked = s.Role != meta.RoleBootstrapping, c.now()
	return !c.done, nil
}

// doubt notes that this site was behind: it may be copied anew.
func (c *copying) doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.checked) >= copyingPause {
		c.done = false
	}
}

// lag knows how old what is here may be at most, for MaxLag: it asks the source
// for its position and waits until this site has reached it. Then all that the
// source had when it was asked is here.
type lag struct {
	max time.Duration // 0: not wanted
	now func() time.Time

	mu      sync.Mutex
	fresh   time.Time     // all that the source had at this time is here
	asked   time.Time     // when the source was asked for head
	head    meta.Position // what it said; zero when this site has reached it
	probing bool
}

// observe notes that this site has reached a position.
func (l *lag) observe(at meta.Position) {
	if l.max == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.head.IsZero() && !at.Before(l.head) {
		l.fresh, l.head = l.asked, meta.Position{}
	}
}

// age tells how old what is here may be, and whether the caller is to find out
// more.
func (l *lag) age() (age time.Duration, probe bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	age = l.now().Sub(l.fresh)
	if age > l.max/2 && !l.probing {
		l.probing = true
		return age, true
	}
	return age, false
}

// noteHead is what the source said at a time.
func (l *lag) noteHead(asked time.Time, head meta.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.head = asked, head
}

func (l *lag) probed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.probing = false
}

// lagging reports whether this site is not known to be within MaxLag of the
// source. It does not wait: finding out goes on behind. While the source does not
// answer it says no, so that reads go on here.
func (e *Engine) lagging(ctx context.Context) bool {
	if e.opts.MaxLag == 0 {
		return false
	}
	age, probe := e.lag.age()
	if probe {
		e.reads.Go(func() {
			defer e.lag.probed()
			e.probe(context.WithoutCancel(ctx))
		})
	}
	return age > e.opts.MaxLag && !e.far.down()
}

// probe asks the source for its position and waits until this site has it.
func (e *Engine) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, max(e.opts.MaxLag, e.opts.ReadTimeout))
	defer cancel()
	engine, err := e.far.get(ctx)
	if err != nil {
		return
	}
	asked := e.opts.Now()
	s, err := engine.State(ctx)
	if err != nil {
		_ = e.far.fail(err)
		return
	}
	e.far.ok()
	e.lag.noteHead(asked, s.Position)
	if e.watch.wait(ctx, s.Position) == nil {
		e.lag.observe(s.Position)
	}
}
