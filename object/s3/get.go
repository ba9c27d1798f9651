package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"mirrorfs/object"
)

// Get asks for a range; the body must be closed to free its connection.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := s.get(ctx, key, off, n)
	if err != nil {
		return nil, object.Fail("get", key, err)
	}
	return r, nil
}

func (s *Store) get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := errors.Join(checkKey(key), object.CheckRange(off, n)); err != nil {
		return nil, err
	}
	if n == 0 {
		// No Range header says "nothing", but the object must exist.
		_, err := s.Head(ctx, key)
		return io.NopCloser(bytes.NewReader(nil)), err
	}
	in := &awss3.GetObjectInput{Bucket: &s.opts.Bucket, Key: &key}
	switch {
	case n > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	case off > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", off))
	}
	out, err := s.client.GetObject(ctx, in)
	if err = cause(ctx, err); errors.Is(err, errRange) {
		return io.NopCloser(bytes.NewReader(nil)), nil // starts at or after the end
	}
	if err != nil {
		return nil, err
	}
	if in.Range != nil && out.ContentRange == nil {
		_ = out.Body.Close() // it is the whole object
		return nil, fmt.Errorf("the server ignored the range %s", *in.Range)
	}
	b := &body{key: key, etag: etag(out.ETag), body: out.Body, left: -1}
	if out.ContentLength != nil {
		b.left = *out.ContentLength
	}
	return b, nil
}

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

// etag is without the quotes that HTTP puts around it.
func etag(header *string) string { return strings.Trim(aws.ToString(header), `"`) }
