package replicate

import (
	"fmt"
	"sync"

	"mirrorfs/meta"
)

// stretch is a part of the log, up to a position, and how much of it is to be done.
type stretch struct {
	upTo meta.Position
	left int // objects, and one as long as more may be added
}

// window is what is known and not done, in the order of the log.
type window struct {
	mu      sync.Mutex
	open    []*stretch
	reached meta.Position // all up to here is done
	objects uint64
	bytes   uint64
	stuck   uint64 // of objects, those that failed when they were tried last
	last    error  // why the latest of them did
}

// begin opens the stretch up to a position, to which objects are added until end.
func (w *window) begin(upTo meta.Position) *stretch {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &stretch{upTo: upTo, left: 1}
	w.open = append(w.open, s)
	return s
}

func (w *window) add(s *stretch, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.left++
	w.objects++
	w.bytes += uint64(bytes)
}

// end says that a stretch has all its objects.
func (w *window) end(s *stretch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle(s)
}

// pass goes over a part of the log with nothing to do in it.
func (w *window) pass(upTo meta.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.open); n > 0 {
		w.open[n-1].upTo = upTo
	} else {
		w.reached = upTo
	}
}

// done says that an object is where it should be.
func (w *window) done(t *task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects--
	w.bytes -= uint64(t.object.Bytes)
	if t.failed {
		w.stuck--
	}
	w.settle(t.of)
}

// failed notes an attempt that failed, and reports whether that is news: nothing else is
// in that state.
func (w *window) failed(t *task, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = err
	if t.failed {
		return false
	}
	t.failed = true
	w.stuck++
	return w.stuck == 1
}

// settle takes one off a stretch, and goes on over those that are done.
func (w *window) settle(s *stretch) {
	s.left--
	for len(w.open) > 0 && w.open[0].left == 0 {
		w.reached = w.open[0].upTo
		w.open = w.open[1:]
	}
}

// state is how far it is.
func (w *window) state() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := State{Position: w.reached, PendingObjects: w.objects, PendingBytes: w.bytes}
	if w.stuck > 0 {
		s.Reason = fmt.Sprintf("%d blocks cannot be copied and are tried again, the last because: %v", w.stuck, w.last)
	}
	return s
}
