package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"mirrorfs/object"
)

// Getter asks a store for an object.
type Getter struct {
	// Check tells whether the store may have such a key.
	Check func(key string) error
	// Head tells whether the object exists.
	Head func(ctx context.Context, key string) (object.Info, error)
	// Open sends a GET with the header Range, or with none if it is empty. Its error
	// is ErrRange if the range starts at or after the end.
	Open func(ctx context.Context, key, byteRange string) (Answer, error)
}

// Answer is what a GET gave.
type Answer struct {
	Body    io.ReadCloser
	Length  int64  // of Body in bytes; negative if the server did not say
	ETag    string // without quotes
	Partial bool   // the body is a part, and not the whole object
}

// Get reads n bytes from off as object.Store promises. The body must be closed to
// free its connection.
func (g Getter) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := g.get(ctx, key, off, n)
	if err != nil {
		return nil, object.Fail("get", key, err)
	}
	return r, nil
}

func (g Getter) get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := errors.Join(g.Check(key), object.CheckRange(off, n)); err != nil {
		return nil, err
	}
	if n == 0 {
		// No Range header says "nothing", but the object must exist.
		_, err := g.Head(ctx, key)
		return empty(), err
	}
	byteRange := ""
	switch {
	case n > 0:
		byteRange = fmt.Sprintf("bytes=%d-%d", off, off+n-1)
	case off > 0:
		byteRange = fmt.Sprintf("bytes=%d-", off)
	}
	answer, err := g.Open(ctx, key, byteRange)
	if errors.Is(err, ErrRange) {
		return empty(), nil
	}
	if err != nil {
		return nil, err
	}
	if byteRange != "" && !answer.Partial {
		_ = answer.Body.Close() // it is the whole object
		return nil, fmt.Errorf("the server ignored the range %s", byteRange)
	}
	return &body{key: key, etag: answer.ETag, body: answer.Body, left: answer.Length}, nil
}

func empty() io.ReadCloser { return io.NopCloser(bytes.NewReader(nil)) }

// body names the key in errors and knows when it must not end yet.
type body struct {
	key  string
	etag string
	body io.ReadCloser
	left int64 // bytes still to come; negative if the server did not say
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if b.left >= 0 {
		b.left -= int64(n)
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && b.left <= 0:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, object.Fail("get", b.key, err)
}

// Version is the object's ETag.
func (b *body) Version() string { return b.etag }

func (b *body) Close() error { return b.body.Close() }
