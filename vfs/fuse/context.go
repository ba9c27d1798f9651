package fuse

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// requestContext is the context of a request that may be given up: it is
// cancelled when the program that waits for the answer is being killed, and when
// its deadline has passed.
//
// The kernel interrupts a request on any signal, and tells nothing further. But
// most signals do not end a program, read(2) of a file must not fail because of
// them, and Go's own programs get one every few milliseconds. So after an
// interrupt the program is watched until a deadly signal is pending.
//
// It is made for each request, so it has neither timer nor goroutine of its own:
// a watcher looks at all of them now and then, and only at those whose Done
// somebody asked for.
type requestContext struct {
	watcher  *watcher
	cancel   <-chan struct{} // closed by go-fuse on an interrupt
	tid      uint32          // the thread that waits
	deadline time.Time       // zero is none
	uncalled bool            // looked at without an interrupt

	mu    sync.Mutex
	done  chan struct{} // nil until Done is asked for
	err   error
	after []*afterFunc
}

// afterFunc is a function to be called on cancellation; nil when it was stopped.
type afterFunc struct{ call func() }

var _ context.Context = (*requestContext)(nil)

// Deadline is when the request is given up.
func (c *requestContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Value: there are none.
func (c *requestContext) Value(any) any { return nil }

// Done is closed when the request may be given up.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		c.watcher.add(c)
	}
	return c.done
}

// Err says why Done is closed.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// finish ends the watch; the request has been answered.
func (c *requestContext) finish() {
	c.mu.Lock()
	watched := c.done != nil
	c.mu.Unlock()
	if watched {
		c.watcher.remove(c)
	}
}

// AfterFunc is what package context looks for in a context that is not its own:
// with it, a context derived from this one needs no goroutine.
func (c *requestContext) AfterFunc(call func()) (stop func() bool) {
	c.Done() // is watched from now on
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

// end cancels the request.
func (c *requestContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.done)
	for _, f := range c.after {
		if f.call != nil {
			go f.call()
			f.call = nil
		}
	}
}

// watchInterval is how often requests that are being answered are looked at.
const watchInterval = 50 * time.Millisecond

// watcher looks after the requests of a mount. It runs while there are any.
type watcher struct {
	mu      sync.Mutex
	all     map[*requestContext]struct{}
	running bool
}

func (w *watcher) add(c *requestContext) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[*requestContext]struct{})
	}
	w.all[c] = struct{}{}
	if !w.running {
		w.running = true
		go w.run()
	}
}

func (w *watcher) remove(c *requestContext) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, c)
}

// run looks at the requests until there are none at two looks in a row.
func (w *watcher) run() {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for idle := false; ; {
		now := <-tick.C
		interrupted, late, none := w.look(now)
		if none && idle && w.stop() {
			return
		}
		idle = none
		for _, c := range late {
			c.end(context.DeadlineExceeded)
		}
		for _, c := range interrupted {
			if dying(c.tid) || c.uncalled && killed(c.tid) {
				c.end(context.Canceled)
			}
		}
	}
}

// stop ends the watch unless a request has come.
func (w *watcher) stop() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = len(w.all) > 0
	return !w.running
}

// look finds requests that were interrupted, and those past their deadline.
func (w *watcher) look(now time.Time) (interrupted, late []*requestContext, none bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all {
		if !c.deadline.IsZero() && now.After(c.deadline) {
			late = append(late, c)
			continue
		}
		if c.uncalled {
			interrupted = append(interrupted, c)
			continue
		}
		select {
		case <-c.cancel:
			interrupted = append(interrupted, c)
		default:
		}
	}
	return interrupted, late, len(w.all) == 0
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

// The fields of /proc/TID/stat that tell how a thread ends, counted from the one after its name.
const (
	statFlags    = 9 - 3
	statExitCode = 52 - 3
	// pfExiting is the kernel's PF_EXITING, and deadlySignal the part of an exit code that names the signal.
	pfExiting    = 0x4
	deadlySignal = 0x7f
)

// killed tells whether a thread is past SIGKILL, and the kernel ends what a signal has killed.
func killed(tid uint32) bool {
	b, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/stat")
	if err != nil {
		return os.IsNotExist(err) && tid != 0
	}
	rest := string(b[bytes.LastIndexByte(b, ')')+1:])
	fields := strings.Fields(rest)
	if len(fields) <= statExitCode {
		return false
	}
	flags, _ := strconv.ParseUint(fields[statFlags], 10, 64)
	code, _ := strconv.ParseUint(fields[statExitCode], 10, 64)
	return flags&pfExiting != 0 && code&deadlySignal != 0
}
