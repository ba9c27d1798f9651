package object

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type measured struct {
	Store
	requests *prometheus.CounterVec   // by op and outcome
	bytes    *prometheus.CounterVec   // by op
	seconds  *prometheus.HistogramVec // by op
}

// WithMetrics counts requests by operation and outcome, bytes by operation, and
// how long requests take, each with the label store=name:
//
//	mirrorfs_object_requests_total{store,op,outcome}
//	mirrorfs_object_bytes_total{store,op}
//	mirrorfs_object_request_seconds{store,op}
//
// A Get lasts until its body is closed. Below WithRetry every attempt counts,
// above it every call. Several stores may share a registerer, also under one
// name; with a nil one the store itself is returned. It fails if the registerer
// has other metrics of these names.
func WithMetrics(store Store, name string, reg prometheus.Registerer) (Store, error) {
	if reg == nil {
		return store, nil
	}
	m := &measured{Store: store}
	constant := prometheus.Labels{"store": name}
	var errs [3]error
	m.requests, errs[0] = register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mirrorfs_object_requests_total", ConstLabels: constant,
		Help: "Requests to object stores, by operation and outcome.",
	}, []string{"op", "outcome"}))
	m.bytes, errs[1] = register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mirrorfs_object_bytes_total", ConstLabels: constant,
		Help: "Bytes of object bodies sent or received, by operation.",
	}, []string{"op"}))
	m.seconds, errs[2] = register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "mirrorfs_object_request_seconds", ConstLabels: constant,
		Help:    "Time of requests to object stores, bodies included, by operation.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 17), // to 33 s
	}, []string{"op"}))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return m, nil
}

// register gives the collector that was registered before, if there is one.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	err := reg.Register(c)
	if e := (prometheus.AlreadyRegisteredError{}); errors.As(err, &e) {
		if old, ok := e.ExistingCollector.(C); ok {
			return old, nil
		}
	}
	return c, err
}

// Unwrap returns the store without metrics.
func (m *measured) Unwrap() Store { return m.Store }

func (m *measured) done(op string, began time.Time, bytes int64, err error) {
	m.requests.WithLabelValues(op, outcome(err)).Inc()
	m.seconds.WithLabelValues(op).Observe(time.Since(began).Seconds())
	if bytes > 0 {
		m.bytes.WithLabelValues(op).Add(float64(bytes))
	}
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	for _, k := range []struct {
		err  error
		name string
	}{
		{ErrNotExist, "not_exist"},
		{ErrExist, "exist"},
		{ErrDenied, "denied"},
		{ErrThrottled, "throttled"},
		{ErrNoBucket, "no_bucket"},
		{ErrNoSpace, "no_space"},
		{ErrInvalid, "invalid"},
		{ErrTimeout, "timeout"},
		{context.DeadlineExceeded, "timeout"},
		{context.Canceled, "canceled"},
	} {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	return "error"
}

func (m *measured) Put(ctx context.Context, key string, data []byte) error {
	began := time.Now()
	err := m.Store.Put(ctx, key, data)
	m.done("put", began, sent(data, err), err)
	return err
}

func (m *measured) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	began := time.Now()
	err := m.Store.PutIfAbsent(ctx, key, data)
	m.done("put_if_absent", began, sent(data, err), err)
	return err
}

// sent counts what arrived: of a failed upload nobody knows how much went out.
func sent(data []byte, err error) int64 {
	if err != nil {
		return 0
	}
	return int64(len(data))
}

func (m *measured) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	began := time.Now()
	r, err := m.Store.Get(ctx, key, off, n)
	if err != nil {
		m.done("get", began, 0, err)
		return nil, err
	}
	return &measuredBody{ReadCloser: r, store: m, began: began}, nil
}

func (m *measured) Head(ctx context.Context, key string) (Info, error) {
	began := time.Now()
	info, err := m.Store.Head(ctx, key)
	m.done("head", began, 0, err)
	return info, err
}

func (m *measured) Delete(ctx context.Context, key string) error {
	began := time.Now()
	err := m.Store.Delete(ctx, key)
	m.done("delete", began, 0, err)
	return err
}

func (m *measured) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	began := time.Now()
	found, err := m.Store.List(ctx, prefix, after, limit)
	m.done("list", began, 0, err)
	return found, err
}

// measuredBody reports once, when it is closed.
type measuredBody struct {
	io.ReadCloser
	store *measured
	began time.Time
	bytes int64
	err   error // that ended the body, other than io.EOF
	done  bool
}

func (b *measuredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.count(int64(n), err)
	return n, err
}

// WriteTo keeps the shortcut of a body that has one.
func (b *measuredBody) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, b.ReadCloser)
	b.count(n, err)
	return n, err
}

func (b *measuredBody) count(n int64, err error) {
	b.bytes += n
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
}

// Version is that of the body within.
func (b *measuredBody) Version() string { return VersionOf(b.ReadCloser) }

func (b *measuredBody) Close() error {
	err := b.ReadCloser.Close()
	if !b.done {
		b.done = true
		b.store.done("get", b.began, b.bytes, errors.Join(b.err, err))
	}
	return err
}
