package fuse

import (
	"context"
	"sync"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mirrorfs/vfs"
)

// request is who waits for a change: what is left of a request of the kernel's when the answer may come
// before the change has ended.
type request struct {
	r      *raw
	cancel <-chan struct{}
	tid    uint32
	// closing: the request is FLUSH, with which the kernel closes what a dying program has left open.
	// Nobody tells of the death then.
	closing bool
	// files are used by the change.
	files []*vfs.File
}

// request keeps what is needed of a request.
func (r *raw) request(cancel <-chan struct{}, h *gofuse.InHeader, files ...*vfs.File) request {
	return request{r: r, cancel: cancel, tid: h.Pid, files: files}
}

// outcome is what came of a change.
type outcome[T any] struct {
	value T
	err   error
}

// run makes a change, to its end whatever happens: somebody must learn of a change that was sent
// what became of it. But when the program that waits is being killed, run returns context.Canceled at
// once, and the change goes on without it, as if another program had made it; its value goes to
// undo, if not nil. So do uses nothing that belongs to the request: go-fuse takes its memory back.
func run[T any](q request, do func(context.Context) (T, error), undo func(T)) (T, error) {
	ended := make(chan outcome[T], 1)
	go func() {
		value, err := do(context.Background())
		ended <- outcome[T]{value, err}
	}()
	if !q.closing {
		select {
		case o := <-ended:
			return o.value, o.err
		case <-q.cancel: // by any signal
		}
	}
	ctx := &requestContext{watcher: &q.r.watcher, cancel: q.cancel, tid: q.tid, uncalled: q.closing}
	defer ctx.finish()
	select {
	case o := <-ended:
		return o.value, o.err
	case <-ctx.Done():
	}
	done := q.r.left.add(q.files)
	go func() {
		defer done()
		if o := <-ended; o.err == nil && undo != nil {
			undo(o.value)
		}
	}()
	var none T
	return none, ctx.Err()
}

// run0 is run for a change that gives nothing.
func run0(q request, do func(context.Context) error) error {
	_, err := run(q, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) }, nil)
	return err
}

// left is which files are used by changes that nobody waits for any more. The zero value is
// ready.
type left struct {
	mu    sync.Mutex
	files map[*vfs.File]*sync.WaitGroup
}

// add notes that files are in use until done is called.
func (l *left) add(files []*vfs.File) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	groups := make([]*sync.WaitGroup, len(files))
	for i, f := range files {
		if l.files == nil {
			l.files = map[*vfs.File]*sync.WaitGroup{}
		}
		if l.files[f] == nil {
			l.files[f] = &sync.WaitGroup{}
		}
		groups[i] = l.files[f]
		groups[i].Add(1)
	}
	return func() {
		for _, g := range groups {
			g.Done()
		}
	}
}

// release ends a handle, which gets no more requests, when nothing uses it.
func (l *left) release(f *vfs.File) {
	l.mu.Lock()
	group := l.files[f]
	delete(l.files, f)
	l.mu.Unlock()
	if group == nil {
		f.Release()
		return
	}
	go func() {
		group.Wait()
		f.Release()
	}()
}

// asking makes the context of a question for metadata. Call its finish.
func (r *raw) asking(cancel <-chan struct{}, h *gofuse.InHeader) *requestContext {
	return &requestContext{watcher: &r.watcher, cancel: cancel, tid: h.Pid, deadline: time.Now().Add(r.opts.MetaTimeout)}
}

// reading makes the context of a read of data, which the layers below bound.
// Call its finish.
func (r *raw) reading(cancel <-chan struct{}, h *gofuse.InHeader) *requestContext {
	return &requestContext{watcher: &r.watcher, cancel: cancel, tid: h.Pid}
}
