package fuse

import (
	"sync"
	"sync/atomic"
	"time"

	"mirrorfs/meta"
)

// retries remembers the threads whose open was answered with ESTALE. Linux then walks the
// path again and asks for each name anew, once. What it finds by that has a name while the
// call is under way: it may be opened, though another client has taken the name away
// before the second OPEN came.
type retries struct {
	count atomic.Int64 // of threads, for who must not wait

	mu      sync.Mutex
	threads map[uint32]retry
}

// retry is what a thread was told since its ESTALE.
type retry struct {
	at    time.Time // of ESTALE
	found meta.Ino  // by its last LOOKUP; 0 is nothing yet
}

const (
	// retryTime is how long after ESTALE the second OPEN may come.
	retryTime = 5 * time.Second
	// maxRetries bounds the threads that are remembered.
	maxRetries = 1024
)

// stale notes that a thread is told ESTALE. Threads that the kernel cannot name are 0.
func (r *retries) stale(thread uint32, now time.Time) {
	if thread == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for t, was := range r.threads {
		if now.Sub(was.at) > retryTime {
			delete(r.threads, t)
		}
	}
	if r.threads == nil {
		r.threads = map[uint32]retry{}
	}
	if len(r.threads) < maxRetries {
		r.threads[thread] = retry{at: now}
	}
	r.count.Store(int64(len(r.threads)))
}

// lookedUp notes what a thread has found under a name; 0 is nothing.
func (r *retries) lookedUp(thread uint32, ino meta.Ino) {
	if r.count.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was, ok := r.threads[thread]
	switch {
	case !ok:
	case ino == 0: // the call ends here
		r.forget(thread)
	default:
		was.found = ino
		r.threads[thread] = was
	}
}

// again reports whether an open is the second attempt of a thread, of the inode that it has
// found since the first.
func (r *retries) again(thread uint32, ino meta.Ino, now time.Time) bool {
	if r.count.Load() == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was, ok := r.threads[thread]
	if ok {
		r.forget(thread)
	}
	return ok && was.found == ino && now.Sub(was.at) <= retryTime
}

// forget is called with mu held.
func (r *retries) forget(thread uint32) {
	delete(r.threads, thread)
	r.count.Store(int64(len(r.threads)))
}
