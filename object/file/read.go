package file

import (
	"context"
	"io"
	"io/fs"
	"os"

	"mirrorfs/object"
)

// reader is a range of an object's file.
type reader struct {
	store *Store
	ctx   context.Context //nolint:containedctx // it lives as long as the Get that it belongs to
	key   string
	file  *os.File
	stat  fs.FileInfo
	left  int64 // bytes still to come, or the file is shorter than it was
}

func (s *Store) open(ctx context.Context, key string, off, n int64) (*reader, error) {
	path, err := s.path(key)
	if err == nil {
		err = object.CheckRange(off, n)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := s.newReader(ctx, key, f, off, n)
	if err != nil {
		_ = f.Close() // nothing was written to it
	}
	return r, err
}

func (s *Store) newReader(ctx context.Context, key string, f *os.File, off, n int64) (*reader, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, object.ErrNotExist
	}
	left := max(st.Size()-off, 0)
	if n >= 0 {
		left = min(left, n)
	}
	if off > 0 && left > 0 {
		if _, err := f.Seek(off, io.SeekStart); err != nil {
			return nil, err
		}
	}
	return &reader{store: s, ctx: ctx, key: key, file: f, stat: st, left: left}, nil
}

// Read reads from the file straight into p.
func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if err := r.ctx.Err(); err != nil {
		return 0, object.Fail("get", r.key, err)
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, object.Fail("get", r.key, r.store.cause(err))
}

// WriteTo lets the kernel copy when w can take a file (sockets, other files).
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	var done int64
	for r.left > 0 {
		if err := r.ctx.Err(); err != nil {
			return done, object.Fail("get", r.key, err)
		}
		n, err := io.CopyN(w, r.file, min(r.left, writePieceBytes))
		done, r.left = done+n, r.left-n
		if err == io.EOF { //nolint:errorlint // CopyN returns the bare value
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return done, object.Fail("get", r.key, err) // perhaps w's, so as it is
		}
	}
	return done, nil
}

// Version is the object's ETag.
func (r *reader) Version() string { return etagOf(r.stat) }

// Close closes the file.
func (r *reader) Close() error { return r.file.Close() }
