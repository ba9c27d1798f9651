package object

import (
	"context"
	"errors"
	"io"
	"strings"
)

// prefixed is a part of another store.
type prefixed struct {
	Store
	prefix string
}

// WithPrefix gives the objects of store whose keys start with prefix, without
// it, so that several volumes can share a bucket. Prefix usually ends in '/'.
// Errors name the key that the caller used.
func WithPrefix(store Store, prefix string) Store {
	return &prefixed{Store: store, prefix: prefix}
}

// Unwrap returns the whole store.
func (p *prefixed) Unwrap() Store { return p.Store }

// String is the address with the prefix before the settings.
func (p *prefixed) String() string {
	addr, settings, found := strings.Cut(p.Store.String(), "?")
	addr = strings.TrimSuffix(addr, "/") + "/" + strings.Trim(p.prefix, "/")
	if found {
		addr += "?" + settings
	}
	return addr
}

func (p *prefixed) Put(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return Fail("put", key, err)
	}
	return p.fail(key, p.Store.Put(ctx, p.prefix+key, data))
}

func (p *prefixed) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return Fail("put-if-absent", key, err)
	}
	return p.fail(key, p.Store.PutIfAbsent(ctx, p.prefix+key, data))
}

func (p *prefixed) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := CheckKey(key); err != nil {
		return nil, Fail("get", key, err)
	}
	r, err := p.Store.Get(ctx, p.prefix+key, off, n)
	return r, p.fail(key, err)
}

func (p *prefixed) Head(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, Fail("head", key, err)
	}
	info, err := p.Store.Head(ctx, p.prefix+key)
	info.Key = strings.TrimPrefix(info.Key, p.prefix)
	return info, p.fail(key, err)
}

func (p *prefixed) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return Fail("delete", key, err)
	}
	return p.fail(key, p.Store.Delete(ctx, p.prefix+key))
}

func (p *prefixed) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	// The object whose whole key is the prefix would have an empty key here; being
	// after it, no listing shows it.
	found, err := p.Store.List(ctx, p.prefix+prefix, p.prefix+after, limit)
	for i := range found {
		found[i].Key = strings.TrimPrefix(found[i].Key, p.prefix)
	}
	return found, p.fail(prefix, err)
}

// fail puts the caller's key into an error that names the longer one.
func (p *prefixed) fail(key string, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return &Error{Op: e.Op, Key: key, Err: e.Err}
	}
	return err
}
