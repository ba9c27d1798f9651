package object

import (
	"context"
	"io"
	"sync"
)

type limited struct {
	Store
	gate *Gate
}

// WithLimit lets at most n requests run at once; others wait, as long as their
// ctx lasts. A Get counts until its body is closed, so whoever holds n bodies
// open and asks for more waits for himself.
func WithLimit(store Store, n int) Store { return WithGate(store, NewGate(n)) }

// WithGate is WithLimit with a bound that changes.
func WithGate(store Store, gate *Gate) Store { return &limited{Store: store, gate: gate} }

// Unwrap returns the store without the limit.
func (l *limited) Unwrap() Store { return l.Store }

// run makes a request when its turn has come.
func (l *limited) run(ctx context.Context, op, key string, request func() error) error {
	if err := l.gate.enter(ctx); err != nil {
		return Fail(op, key, err)
	}
	err := request()
	l.gate.leave(err == nil)
	return err
}

func (l *limited) Put(ctx context.Context, key string, data []byte) error {
	return l.run(ctx, "put", key, func() error { return l.Store.Put(ctx, key, data) })
}

func (l *limited) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return l.run(ctx, "put-if-absent", key, func() error { return l.Store.PutIfAbsent(ctx, key, data) })
}

func (l *limited) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := l.gate.enter(ctx); err != nil {
		return nil, Fail("get", key, err)
	}
	r, err := l.Store.Get(ctx, key, off, n)
	if err != nil {
		l.gate.leave(false)
		return nil, err
	}
	return &limitedBody{ReadCloser: r, leave: sync.OnceFunc(func() { l.gate.leave(true) })}, nil
}

func (l *limited) Head(ctx context.Context, key string) (info Info, err error) {
	err = l.run(ctx, "head", key, func() error { info, err = l.Store.Head(ctx, key); return err })
	return info, err
}

func (l *limited) Delete(ctx context.Context, key string) error {
	return l.run(ctx, "delete", key, func() error { return l.Store.Delete(ctx, key) })
}

func (l *limited) List(ctx context.Context, prefix, after string, limit int) (found []Info, err error) {
	err = l.run(ctx, "list", prefix, func() error { found, err = l.Store.List(ctx, prefix, after, limit); return err })
	return found, err
}

// limitedBody gives its slot back once, when it is first closed.
type limitedBody struct {
	io.ReadCloser
	leave func()
}

func (b *limitedBody) Close() error {
	defer b.leave()
	return b.ReadCloser.Close()
}

// Version is that of the body within.
func (b *limitedBody) Version() string { return VersionOf(b.ReadCloser) }

// WriteTo keeps the shortcut of a body that has one.
func (b *limitedBody) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, b.ReadCloser) }
