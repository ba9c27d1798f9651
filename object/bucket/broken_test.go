package bucket_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/bucket"
)

// breakage is one way in which a store does not do what it should. Each func is called
// instead of the operation, if there is one.
type breakage struct {
	name   string
	found  string // the question that finds it
	as     bucket.Outcome
	needed bool // what comes after it is skipped

	put    func(within object.Store, key string, data []byte) error // nil: and now put it
	absent func(within object.Store, key string, data []byte) error
	get    func(within object.Store, key string, off, n int64) (io.ReadCloser, error)
	head   func(within object.Store, key string) (object.Info, error)
	list   func(within object.Store, prefix string, limit int) ([]object.Info, error)
	delete func(within object.Store, key string) error
}

// breakages are what servers and set-ups are known to do wrong.
func breakages() []breakage {
	ctx := context.Background()
	reach := func(name string, err error) breakage {
		return breakage{
			name: name, found: "reach", as: bucket.Failed, needed: true,
			list: func(_ object.Store, prefix string, _ int) ([]object.Info, error) {
				if strings.HasSuffix(prefix, "-") { // not the cleaning up in the end
					return nil, object.Fail("list", prefix, err)
				}
				return nil, nil
			},
		}
	}
	return []breakage{
		reach("no bucket", object.ErrNoBucket),
		reach("no such host", &net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true}),
		reach("nobody listens", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
		{
			name: "writes are denied", found: "write", as: bucket.Failed, needed: true,
			put: func(object.Store, string, []byte) error { return object.ErrDenied },
		},
		{
			name: "reads are denied", found: "read", as: bucket.Failed, needed: true,
			get: func(object.Store, string, int64, int64) (io.ReadCloser, error) { return nil, object.ErrDenied },
		},
		{
			name: "missing objects look denied", found: "read", as: bucket.Failed, needed: true,
			get: func(s object.Store, key string, off, n int64) (io.ReadCloser, error) {
				r, err := s.Get(ctx, key, off, n)
				if errors.Is(err, object.ErrNotExist) {
					err = object.ErrDenied
				}
				return r, err
			},
		},
		{
			name: "ranges are passed over", found: "read a range", as: bucket.Failed, needed: true,
			get: func(s object.Store, key string, _, _ int64) (io.ReadCloser, error) { return s.Get(ctx, key, 0, -1) },
		},
		{
			name: "put-if-absent replaces", found: "put-if-absent", as: bucket.Failed, needed: true,
			absent: func(s object.Store, key string, data []byte) error { return s.Put(ctx, key, data) },
		},
		{
			name: "deletions are denied", found: "delete", as: bucket.Failed, needed: true,
			delete: func(object.Store, string) error { return object.ErrDenied },
		},
		{
			name: "versions keep what was deleted", found: "delete", as: bucket.Failed, needed: true,
			absent: func(s object.Store, key string, data []byte) error {
				if strings.HasSuffix(key, "-one") {
					return object.ErrExist
				}
				return s.PutIfAbsent(ctx, key, data)
			},
		},
		{
			name: "a clock that is an hour late", found: "clock", as: bucket.Warning,
			head: func(s object.Store, key string) (object.Info, error) {
				info, err := s.Head(ctx, key)
				info.ModTime = info.ModTime.Add(-time.Hour)
				return info, err
			},
		},
		twoWinners(),
		staleAfterMissing(),
		staleListings(),
	}
}

// twoWinners looks, and then puts, like servers that emulate put-if-absent.
func twoWinners() breakage {
	ctx := context.Background()
	var mu sync.Mutex
	looked := map[string]int{}
	return breakage{
		name: "two winners", found: "one winner", as: bucket.Failed,
		absent: func(s object.Store, key string, data []byte) error {
			if !strings.Contains(key, "race") {
				return s.PutIfAbsent(ctx, key, data)
			}
			mu.Lock()
			looked[key]++
			n := looked[key]
			mu.Unlock()
			if n > 2 {
				return object.ErrExist
			}
			return s.Put(ctx, key, data) // the second looked before the first put
		},
	}
}

// staleAfterMissing remembers that there was no such object.
func staleAfterMissing() breakage {
	ctx := context.Background()
	var missing sync.Map
	return breakage{
		name: "a cache of what is missing", found: "consistency", as: bucket.Failed,
		get: func(s object.Store, key string, off, n int64) (io.ReadCloser, error) {
			if _, ok := missing.Load(key); ok {
				return nil, object.ErrNotExist
			}
			r, err := s.Get(ctx, key, off, n)
			if errors.Is(err, object.ErrNotExist) {
				missing.Store(key, true)
			}
			return r, err
		},
	}
}

// staleListings shows a deleted object once more.
func staleListings() breakage {
	ctx := context.Background()
	var deleted sync.Map
	return breakage{
		name: "listings that lag", found: "consistency", as: bucket.Failed,
		delete: func(s object.Store, key string) error {
			deleted.Store(key, true)
			return s.Delete(ctx, key)
		},
		list: func(s object.Store, prefix string, limit int) ([]object.Info, error) {
			if _, ok := deleted.LoadAndDelete(prefix); ok {
				return []object.Info{{Key: prefix, Size: 1}}, nil
			}
			return s.List(ctx, prefix, "", limit)
		},
	}
}

// breaking is a store with one breakage.
type breaking struct {
	object.Store
	how breakage
}

func (b *breaking) Put(ctx context.Context, key string, data []byte) error {
	if b.how.put != nil {
		if err := b.how.put(b.Store, key, data); err != nil {
			return err
		}
	}
	return b.Store.Put(context.WithoutCancel(ctx), key, data)
}

func (b *breaking) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	if b.how.absent != nil {
		return b.how.absent(b.Store, key, data)
	}
	return b.Store.PutIfAbsent(ctx, key, data)
}

func (b *breaking) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if b.how.get != nil {
		return b.how.get(b.Store, key, off, n)
	}
	return b.Store.Get(ctx, key, off, n)
}

func (b *breaking) Head(ctx context.Context, key string) (object.Info, error) {
	if b.how.head != nil {
		return b.how.head(b.Store, key)
	}
	return b.Store.Head(ctx, key)
}

func (b *breaking) Delete(ctx context.Context, key string) error {
	if b.how.delete != nil {
		return b.how.delete(b.Store, key)
	}
	return b.Store.Delete(ctx, key)
}

func (b *breaking) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	if b.how.list != nil {
		return b.how.list(b.Store, prefix, limit)
	}
	return b.Store.List(ctx, prefix, after, limit)
}
