package fuse

import (
	"os"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"github.com/hanwen/go-fuse/v2/splice"

	"mirrorfs/chunk"
)

// Read answers with what vfs gives: a range of a cache file is spliced into the
// kernel, memory is written from where it lies, and a mixture is copied together
// into buf, which go-fuse lends for the time of the request.
func (r *raw) Read(cancel <-chan struct{}, in *gofuse.ReadIn, buf []byte) (gofuse.ReadResult, gofuse.Status) {
	defer r.metrics.observe(opRead, r.metrics.now())
	f := r.files.get(in.Fh)
	if f == nil {
		return nil, gofuse.EBADF
	}
	ctx := r.reading(cancel, &in.InHeader)
	defer ctx.finish()
	spans, err := f.Read(ctx, int64(in.Offset), len(buf))
	if err != nil {
		return nil, r.status("read", err)
	}
	switch {
	case len(spans) == 0:
		return gofuse.ReadResultData(nil), gofuse.OK
	case len(spans) == 1 && spans[0].Data == nil && spliceable(spans[0].Len):
		return &fileResult{span: spans[0]}, gofuse.OK
	case inMemory(spans):
		return newMemoryResult(spans), gofuse.OK
	}
	defer chunk.ReleaseAll(spans)
	n := 0
	for i := range spans {
		if _, err := spans[i].ReadAt(buf[n:n+spans[i].Len], 0); err != nil {
			return nil, r.status("read", err)
		}
		n += spans[i].Len
	}
	return gofuse.ReadResultData(buf[:n]), gofuse.OK
}

// maxIovecs is how many pieces one writev(2) takes.
const maxIovecs = 1024

// spliceable tells whether n bytes, the header of the answer and the page that
// the kernel wants free fit into a pipe.
func spliceable(n int) bool {
	return n+2*os.Getpagesize() <= splice.MaxPipeSize()
}

func inMemory(spans []chunk.Span) bool {
	for i := range spans {
		if spans[i].Data == nil {
			return false
		}
	}
	return true
}

// fileResult is a range of a cache file. go-fuse finds Seekable and splices.
type fileResult struct{ span chunk.Span }

// Seekable names the range.
func (f *fileResult) Seekable() (fd uintptr, off int64, size int) {
	return f.span.File.Fd(), f.span.Off, f.span.Len
}

// Bytes reads the range, when it could not be spliced.
func (f *fileResult) Bytes(buf []byte) ([]byte, gofuse.Status) {
	n, err := f.span.ReadAt(buf[:f.span.Len], 0)
	if err != nil {
		return nil, gofuse.EIO
	}
	return buf[:n], gofuse.OK
}

// Size is the length in bytes.
func (f *fileResult) Size() int { return f.span.Len }

// Done gives the range up; the kernel has it.
func (f *fileResult) Done() { f.span.Release() }

// memoryResult is bytes in memory, in several pieces. go-fuse finds Slices and
// writes them at once.
type memoryResult struct {
	spans  []chunk.Span
	slices [][]byte
	size   int
	one    [1][]byte // room for the usual case
}

func newMemoryResult(spans []chunk.Span) *memoryResult {
	m := &memoryResult{spans: spans}
	m.slices = m.one[:0]
	for i := range spans {
		m.slices = append(m.slices, spans[i].Data)
		m.size += spans[i].Len
	}
	return m
}

// Slices gives the pieces. An answer has at most as many as writev takes beside
// the headers; more are joined.
func (m *memoryResult) Slices() ([][]byte, gofuse.Status) {
	if len(m.slices) <= maxIovecs-2 {
		return m.slices, gofuse.OK
	}
	all := make([]byte, 0, m.size)
	for _, s := range m.slices {
		all = append(all, s...)
	}
	m.slices = [][]byte{all}
	return m.slices, gofuse.OK
}

// Bytes joins the pieces in buf.
func (m *memoryResult) Bytes(buf []byte) ([]byte, gofuse.Status) {
	buf = buf[:0]
	for _, s := range m.slices {
		buf = append(buf, s...)
	}
	return buf, gofuse.OK
}

// Size is the length in bytes.
func (m *memoryResult) Size() int { return m.size }

// Done gives the bytes up; the kernel has them.
func (m *memoryResult) Done() { chunk.ReleaseAll(m.spans) }
