package object

import (
	"context"
	"errors"
	"io"
	"time"
)

// MaxKeyBytes is the longest key: S3's limit. What else a key must be, CheckKey
// tells.
const MaxKeyBytes = 1024

// Errors that every Store maps its own to; test with errors.Is.
var (
	// ErrNotExist: there is no object with that key.
	ErrNotExist = errors.New("object does not exist")
	// ErrExist: PutIfAbsent found an object.
	ErrExist = errors.New("object exists already")
	// ErrDenied: credentials are missing, wrong or not sufficient. Not worth a retry.
	ErrDenied = errors.New("access denied")
	// ErrThrottled: the store asks to slow down. Worth a retry after a pause.
	ErrThrottled = errors.New("throttled")
	// ErrNoBucket: the bucket itself is missing. Not worth a retry.
	ErrNoBucket = errors.New("bucket does not exist")
	// ErrNoSpace: the store is full, or a quota is. Not worth a retry: somebody has to
	// make room.
	ErrNoSpace = errors.New("no space left in the store")
	// ErrInvalid: the request can never succeed (key too long, say).
	ErrInvalid = errors.New("invalid request")
	// ErrTimeout: an attempt took too long and was given up (WithRetry). The caller's
	// own ctx ending shows as its ctx.Err() instead.
	ErrTimeout = errors.New("timed out")
	// ErrChanged: the object was replaced while its body was read, and what is left
	// of it is gone. Beginning anew gives the new one.
	ErrChanged = errors.New("object changed during the read")
	// ErrPartial: of several buckets, one of which at least did not answer, those that did have done
	// what was asked.
	ErrPartial = errors.New("not done in every bucket")
)

// Info describes an object.
type Info struct {
	Key     string
	Size    int64 // bytes
	ModTime time.Time
	ETag    string // as the store gives it, without quotes; empty if it has none
}

// Store holds objects. All methods may be called concurrently, respect ctx, and
// return errors that name the key and wrap one of the errors above where it
// fits. Implementations make no retries of their own; WithRetry does.
type Store interface {
	// String is the store's address without secrets.
	String() string
	// Put stores data under key, replacing what was there. When it returns nil the
	// object is durable and every later Get anywhere sees it whole. After an
	// error there may be the old object, the new one, or none, never a part. Put
	// does not keep data.
	Put(ctx context.Context, key string, data []byte) error
	// PutIfAbsent is Put, but fails with ErrExist, changing nothing, when the key
	// has an object. Of several at once exactly one succeeds.
	PutIfAbsent(ctx context.Context, key string, data []byte) error
	// Get reads n bytes from offset off; n < 0 reads to the end. A range that
	// starts at or after the end gives no bytes; one that ends after it is cut
	// short. Reading may fail midway; a body that ends early gives
	// io.ErrUnexpectedEOF, never a silent short read. The caller closes the
	// reader.
	Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)
	// Head describes an object.
	Head(ctx context.Context, key string) (Info, error)
	// Delete removes an object; it is no error when there is none.
	Delete(ctx context.Context, key string) error
	// List returns up to limit objects (at most MaxListed) whose key starts with
	// prefix and comes after the key after, in byte order of keys. Fewer than
	// limit means that there are no more.
	List(ctx context.Context, prefix, after string, limit int) ([]Info, error)
	// Close frees connections. No other method may be called afterwards.
	Close() error
}

// MaxListed is the most that one List returns.
const MaxListed = 1000

// Creator is the optional power to make the bucket itself. Found through
// wrappers by As.
type Creator interface {
	// Create makes the bucket if it does not exist.
	Create(ctx context.Context) error
}

// Unwrapper is implemented by wrappers.
type Unwrapper interface{ Unwrap() Store }

// As finds the outermost store in a stack of wrappers that implements T.
func As[T any](s Store) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		u, ok := s.(Unwrapper)
		if !ok {
			break
		}
		s = u.Unwrap()
	}
	var zero T
	return zero, false
}
