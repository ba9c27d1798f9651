package fuse

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// requestContext is the context of a request that may be given up: it is
// cancelled when the program that waits for the answer is being killed.
//
// The kernel interrupts a request on any signal, and tells nothing further. But
// most signals do not end a program, read(2) of a file must not fail because of
// them, and Go's own programs get one every few milliseconds. So after an
// interrupt the program is watched until a deadly signal is pending.
//
// It costs nothing unless Done is asked for.
type requestContext struct {
	cancel <-chan struct{} // closed by go-fuse on an interrupt
	tid    uint32          // the thread that waits

	mu       sync.Mutex
	done     chan struct{} // nil until Done is asked for
	finished chan struct{}
	err      error
	after    []*afterFunc
}

// afterFunc is a function to be called on cancellation; nil when it was stopped.
type afterFunc struct{ call func() }

// deadlyInterval is how often an interrupted program is looked at.
const deadlyInterval = 50 * time.Millisecond

var _ context.Context = (*requestContext)(nil)

// Deadline: there is none; the layers below have limits of their own.
func (c *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value: there are none.
func (c *requestContext) Value(any) any { return nil }

// Done is closed when the request may be given up.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done, c.finished = make(chan struct{}), make(chan struct{})
		go c.watch(c.done, c.finished)
	}
	return c.done
}

// Err is context.Canceled once Done is closed.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// finish ends the watch; the request has been answered.
func (c *requestContext) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished != nil {
		close(c.finished)
	}
}

// AfterFunc is what package context looks for in a context that is not its own:
// with it, a context derived from this one needs no goroutine.
func (c *requestContext) AfterFunc(call func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go call()
		return func() bool { return false }
	}
	f := &afterFunc{call: call}
	c.after = append(c.after, f)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		stopped := f.call != nil
		f.call = nil
		return stopped
	}
}

func (c *requestContext) watch(done chan<- struct{}, finished <-chan struct{}) {
	select {
	case <-finished:
		return
	case <-c.cancel:
	}
	tick := time.NewTicker(deadlyInterval)
	defer tick.Stop()
	for !dying(c.tid) {
		select {
		case <-finished:
			return
		case <-tick.C:
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = context.Canceled
	close(done)
	for _, f := range c.after {
		if f.call != nil {
			go f.call()
			f.call = nil
		}
	}
}

// sigKill is SIGKILL's bit in the masks of /proc. A signal that ends a program
// in whatever way is pending as SIGKILL in each of its threads.
const sigKill = 1 << 8

// dying tells whether a thread has a deadly signal pending or is gone.
func dying(tid uint32) bool {
	b, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	if err != nil {
		return os.IsNotExist(err) && tid != 0
	}
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(line, ":")
		if !ok || (name != "SigPnd" && name != "ShdPnd") {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err == nil && mask&sigKill != 0 {
			return true
		}
	}
	return false
}
