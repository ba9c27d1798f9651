package object

import (
	"context"
	"io"
	"sync"
)

type limited struct {
	Store
	slots chan struct{}
}

// WithLimit lets at most n requests run at once; others wait, as long as their
// ctx lasts. A Get counts until its body is closed, so whoever holds n bodies
// open and asks for more waits for himself.
func WithLimit(store Store, n int) Store {
	return &limited{Store: store, slots: make(chan struct{}, max(n, 1))}
}

// Unwrap returns the store without the limit.
func (l *limited) Unwrap() Store { return l.Store }

func (l *limited) take(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return Fail(op, key, err) // select would choose at random
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return Fail(op, key, ctx.Err())
	}
}

func (l *limited) give() { <-l.slots }

func (l *limited) Put(ctx context.Context, key string, data []byte) error {
	if err := l.take(ctx, "put", key); err != nil {
		return err
	}
	defer l.give()
	return l.Store.Put(ctx, key, data)
}

func (l *limited) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	if err := l.take(ctx, "put-if-absent", key); err != nil {
		return err
	}
	defer l.give()
	return l.Store.PutIfAbsent(ctx, key, data)
}

func (l *limited) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := l.take(ctx, "get", key); err != nil {
		return nil, err
	}
	r, err := l.Store.Get(ctx, key, off, n)
	if err != nil {
		l.give()
		return nil, err
	}
	return &limitedBody{ReadCloser: r, give: sync.OnceFunc(l.give)}, nil
}

func (l *limited) Head(ctx context.Context, key string) (Info, error) {
	if err := l.take(ctx, "head", key); err != nil {
		return Info{}, err
	}
	defer l.give()
	return l.Store.Head(ctx, key)
}

func (l *limited) Delete(ctx context.Context, key string) error {
	if err := l.take(ctx, "delete", key); err != nil {
		return err
	}
	defer l.give()
	return l.Store.Delete(ctx, key)
}

func (l *limited) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	if err := l.take(ctx, "list", prefix); err != nil {
		return nil, err
	}
	defer l.give()
	return l.Store.List(ctx, prefix, after, limit)
}

// limitedBody gives its slot back once, when it is first closed.
type limitedBody struct {
	io.ReadCloser
	give func()
}

func (b *limitedBody) Close() error {
	defer b.give()
	return b.ReadCloser.Close()
}

// Version is that of the body within.
func (b *limitedBody) Version() string { return VersionOf(b.ReadCloser) }

// WriteTo keeps the shortcut of a body that has one.
func (b *limitedBody) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, b.ReadCloser) }
