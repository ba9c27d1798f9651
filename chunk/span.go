package chunk

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Span is a run of bytes that was read: in memory when Data is not nil,
// otherwise the Len bytes at Off of File. Whoever gets a span calls Release
// once, when the bytes have been used; until then they stay as they are. Data
// is read-only and may be shared with other readers.
type Span struct {
	Data []byte
	File *os.File // of the cache, open; not to be closed
	Off  int64    // in File
	Len  int      // bytes, at least 1
	pin  pin
}

// pin keeps what a span refers to in place.
type pin interface{ unpin() }

// Release gives the span up. Its bytes must not be used afterwards.
func (s *Span) Release() {
	if s.pin != nil {
		s.pin.unpin()
	}
	*s = Span{}
}

// ReadAt copies the bytes from off of the span into p, as io.ReaderAt.
func (s *Span) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(s.Len) {
		return 0, fmt.Errorf("read at %d of a span of %d bytes: %w", off, s.Len, io.EOF)
	}
	n := min(len(p), s.Len-int(off))
	if s.Data != nil {
		copy(p[:n], s.Data[off:])
	} else if got, err := s.File.ReadAt(p[:n], s.Off+off); got < n {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return got, fmt.Errorf("read cache file: %w", err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Bytes gives the span's bytes: its own until Release when it is in memory, else read from the
// file.
func (s *Span) Bytes() ([]byte, error) {
	if s.Data != nil {
		return s.Data, nil
	}
	p := make([]byte, s.Len)
	_, err := s.ReadAt(p, 0)
	return p, err
}

// adviseBytes is what one fadvise brings in at least: Linux cuts longer ones off at the
// device's read-ahead or its largest request.
const adviseBytes = 128 << 10

// willNeed has the kernel begin to read a span of a file from its disk.
func (s *Span) willNeed() {
	if s.File == nil {
		return
	}
	for done := 0; done < s.Len; done += adviseBytes {
		n := min(adviseBytes, s.Len-done)
		if unix.Fadvise(int(s.File.Fd()), s.Off+int64(done), int64(n), unix.FADV_WILLNEED) != nil {
			return // it is advice
		}
	}
}

// ReleaseAll releases every span of a read.
func ReleaseAll(spans []Span) {
	for i := range spans {
		spans[i].Release()
	}
}
