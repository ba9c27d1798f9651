package mem

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mirrorfs/object"
)

// Store is a bucket in memory. It may be used concurrently.
type Store struct {
	name string

	mu      sync.RWMutex
	objects map[string]blob
	keys    []string // sorted keys of objects; nil after a key came or went
	puts    uint64   // so far; makes ETags
}

// blob is never changed once stored, so readers need no lock.
type blob struct {
	data []byte
	time time.Time
	etag string
}

// New makes an empty bucket; name is for its address only.
func New(name string) *Store {
	return &Store{name: name, objects: make(map[string]blob)}
}

// String returns "mem://name".
func (s *Store) String() string { return "mem://" + s.name }

// Put copies data. It fails only for a wrong key or an ended ctx.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, "put", key, data)
}

// PutIfAbsent is Put, with ErrExist when the key is taken.
func (s *Store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, "put-if-absent", key, data)
}

func (s *Store) put(ctx context.Context, op, key string, data []byte) error {
	if err := check(ctx, key); err != nil {
		return object.Fail(op, key, err)
	}
	b := blob{data: bytes.Clone(data), time: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, taken := s.objects[key]
	if taken && op == "put-if-absent" {
		return object.Fail(op, key, object.ErrExist)
	}
	if !taken {
		s.keys = nil
	}
	s.puts++
	b.etag = strconv.FormatUint(s.puts, 16)
	s.objects[key] = b
	return nil
}

// Get returns a reader over the stored bytes; a later Put does not change it.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := object.CheckRange(off, n); err != nil {
		return nil, object.Fail("get", key, err)
	}
	b, err := s.find(ctx, key)
	if err != nil {
		return nil, object.Fail("get", key, err)
	}
	size := int64(len(b.data))
	from, to := min(off, size), size
	if n >= 0 {
		to = min(off+n, size)
	}
	return reader{bytes.NewReader(b.data[from:to]), b.etag}, nil
}

// reader needs no ctx: reading cannot block.
type reader struct {
	*bytes.Reader
	etag string
}

func (r reader) Close() error    { return nil }
func (r reader) Version() string { return r.etag }

// Head describes an object. Each Put gives it another ETag.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	b, err := s.find(ctx, key)
	if err != nil {
		return object.Info{}, object.Fail("head", key, err)
	}
	return info(key, b), nil
}

// Delete removes an object, if there is one.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return object.Fail("delete", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; ok {
		delete(s.objects, key)
		s.keys = nil
	}
	return nil
}

// List sorts the keys once after each change and then answers in O(log n).
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	err := object.CheckList(limit)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, object.Fail("list", prefix, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = slices.Sorted(maps.Keys(s.objects))
	}
	at, _ := slices.BinarySearch(s.keys, max(prefix, after))
	var found []object.Info
	for _, key := range s.keys[at:] {
		if len(found) == limit || key > prefix && !strings.HasPrefix(key, prefix) {
			break
		}
		if object.Listed(key, prefix, after) {
			found = append(found, info(key, s.objects[key]))
		}
	}
	return found, nil
}

// Create does nothing: the bucket exists.
func (s *Store) Create(ctx context.Context) error { return object.Fail("create", s.name, ctx.Err()) }

// Close does nothing; the objects stay for others who hold the store.
func (s *Store) Close() error { return nil }

func (s *Store) find(ctx context.Context, key string) (blob, error) {
	if err := check(ctx, key); err != nil {
		return blob{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.objects[key]
	if !ok {
		return blob{}, object.ErrNotExist
	}
	return b, nil
}

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return object.CheckKey(key)
}

func info(key string, b blob) object.Info {
	return object.Info{Key: key, Size: int64(len(b.data)), ModTime: b.time, ETag: b.etag}
}
