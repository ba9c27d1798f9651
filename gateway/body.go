package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"mirrorfs/chunk"
	"mirrorfs/vfs"
)

const (
	// batchBytes is how much of an object is looked up at a time. What follows is read ahead.
	batchBytes = 4 << 20
	// sendBytes is from where on a range of a cache file is sent by the kernel: below, copying it is
	// cheaper than the system calls around sendfile(2).
	sendBytes = 64 << 10
	// copyBytes is how much is copied at a time otherwise.
	copyBytes = 64 << 10
)

// Body gives the bytes of an object. Its methods are called by one goroutine at a time, but for Close,
// which may be called at any time and ends what goes on.
type Body struct {
	f      *vfs.File       // nil of no bytes
	ctx    context.Context //nolint:containedctx // of the body's own life, which no call spans
	cancel context.CancelFunc

	off, left int64 // of what was not looked up yet
	spans     []chunk.Span
	at        int // bytes used of spans[0]

	own    *os.File // a description of from with an offset of our own
	from   *os.File
	closed sync.Once
	mu     sync.Mutex // held by all but Close's cancel
}

// newBody takes over the file, which may be nil when n is 0.
func newBody(f *vfs.File, off, n int64) *Body {
	ctx, cancel := context.WithCancel(context.Background())
	return &Body{f: f, ctx: ctx, cancel: cancel, off: off, left: n}
}

// begin looks up the first bytes, bounded by the request's context too.
func (b *Body) begin(ctx context.Context) error {
	if b.left == 0 {
		return nil
	}
	return b.fetch(ctx)
}

// fetch looks up the next bytes. It gives io.ErrUnexpectedEOF when the file has become too short.
func (b *Body) fetch(ctx context.Context) error {
	// A batch ends where a block may end, so that none is looked up twice.
	n := min(b.left, batchBytes-b.off%batchBytes)
	spans, err := b.f.Read(ctx, b.off, int(n))
	if err != nil {
		return err
	}
	if len(spans) == 0 {
		return io.ErrUnexpectedEOF
	}
	for i := range spans {
		b.off += int64(spans[i].Len)
		b.left -= int64(spans[i].Len)
	}
	b.spans, b.at = spans, 0
	return nil
}

// next gives the span to go on with, io.EOF after the last.
func (b *Body) next() (*chunk.Span, error) {
	if len(b.spans) == 0 {
		if b.left == 0 {
			return nil, io.EOF
		}
		if err := b.fetch(b.ctx); err != nil {
			return nil, err
		}
	}
	return &b.spans[0], nil
}

// used tells that n bytes of the current span have been used.
func (b *Body) used(n int) {
	if b.at += n; b.at == b.spans[0].Len {
		b.spans[0].Release()
		b.spans, b.at = b.spans[1:], 0
	}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	s, err := b.next()
	if err != nil {
		return 0, err
	}
	n, err := s.ReadAt(p[:min(len(p), s.Len-b.at)], int64(b.at))
	if n == 0 && err != nil {
		return 0, err
	}
	b.used(n)
	return n, nil
}

// WriteTo implements io.WriterTo. Ranges of cache files go to a *bufio.Writer that is empty as what it
// stands on likes best: a TCP connection has the kernel send them.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.drop()
	buffered, _ := w.(*bufio.Writer)
	done := int64(0)
	for {
		s, err := b.next()
		if errors.Is(err, io.EOF) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
		var n int
		switch left := s.Len - b.at; {
		case s.Data != nil:
			n, err = w.Write(s.Data[b.at:])
		case buffered != nil && left >= sendBytes && b.describe(s.File):
			n, err = b.send(buffered, s.Off+int64(b.at), left)
		default:
			n, err = b.copy(w, s)
		}
		done += int64(n)
		if err != nil {
			return done, fmt.Errorf("send an object: %w", err)
		}
		b.used(n)
	}
}

// send has the writer take n bytes at off of the file described.
func (b *Body) send(w *bufio.Writer, off int64, n int) (int, error) {
	if err := w.Flush(); err != nil {
		return 0, err
	}
	if _, err := b.own.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	sent, err := w.ReadFrom(&io.LimitedReader{R: b.own, N: int64(n)})
	if err == nil && sent < int64(n) {
		err = io.ErrUnexpectedEOF
	}
	return int(sent), err
}

// describe makes own a description of a file of the cache with an offset of its own: sendfile(2) of Go's
// connections goes by that, and the cache's file is shared. False when there can be none.
func (b *Body) describe(f *os.File) bool {
	if b.own != nil && b.from == f {
		return true
	}
	b.drop()
	own, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return false
	}
	b.own, b.from = own, f
	return true
}

// drop gives up what describe made.
func (b *Body) drop() {
	if b.own != nil {
		_ = b.own.Close()
		b.own, b.from = nil, nil
	}
}

var copyBuffers = sync.Pool{New: func() any { return new([copyBytes]byte) }} //nolint:gochecknoglobals // a pool is shared to be of use

// copy copies some of a span.
func (b *Body) copy(w io.Writer, s *chunk.Span) (int, error) {
	buf := copyBuffers.Get().(*[copyBytes]byte)
	defer copyBuffers.Put(buf)
	n, err := s.ReadAt(buf[:min(copyBytes, s.Len-b.at)], int64(b.at))
	if n == 0 {
		return 0, err
	}
	return w.Write(buf[:n])
}

// Close ends what goes on and gives the file up.
func (b *Body) Close() error {
	b.closed.Do(func() {
		b.cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.drop()
		chunk.ReleaseAll(b.spans)
		b.spans, b.left = nil, 0
		if b.f != nil {
			b.f.Release()
		}
	})
	return nil
}
