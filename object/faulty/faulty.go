package faulty

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"mirrorfs/object"
)

// ErrInjected is wrapped by every error that this package makes up.
var ErrInjected = errors.New("injected fault")

// Op is an operation of a store.
type Op string

// The operations.
const (
	Put         Op = "put"
	PutIfAbsent Op = "put-if-absent"
	Get         Op = "get"
	Head        Op = "head"
	Delete      Op = "delete"
	List        Op = "list"
)

// Rates are the probabilities of the faults of one operation, each from 0 to 1;
// of several that are due, the first in this order happens.
type Rates struct {
	Error    float64 // an error, and nothing was done
	Throttle float64 // object.ErrThrottled, and nothing was done
	Hang     float64 // nothing until ctx ends: the caller needs a deadline
	After    float64 // done, and then an error (not of Get, Head and List)
	Slow     float64 // waits Options.SlowFor, and then does it
	Cut      float64 // Get: the body breaks with io.ErrUnexpectedEOF
	Short    float64 // Get: the body ends early as if it were whole
	Corrupt  float64 // Get: a bit of the body is wrong
}

// Options of a faulty store.
type Options struct {
	Seed    uint64
	All     Rates         // of every operation that has none of its own
	Rates   map[Op]Rates  // of one operation
	SlowFor time.Duration // of Slow, 10 ms if zero
}

// Store is a store with faults. It may be used concurrently.
type Store struct {
	object.Store
	seed    uint64
	slowFor time.Duration
	faults  atomic.Int64

	mu    sync.Mutex
	all   Rates
	rates map[Op]Rates
	calls map[call]uint64 // so far; grows with the keys used
}

type call struct {
	op  Op
	key string
}

// New puts faults in front of store.
func New(store object.Store, opts Options) *Store {
	s := &Store{
		Store: store, seed: opts.Seed, slowFor: opts.SlowFor,
		all: opts.All, rates: make(map[Op]Rates), calls: make(map[call]uint64),
	}
	if s.slowFor <= 0 {
		s.slowFor = 10 * time.Millisecond
	}
	for op, r := range opts.Rates {
		s.rates[op] = r
	}
	return s
}

// Unwrap returns the store without faults.
func (s *Store) Unwrap() object.Store { return s.Store }

// Set changes the rates of one operation from now on.
func (s *Store) Set(op Op, r Rates) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rates[op] = r
}

// SetAll changes the rates of every operation from now on.
func (s *Store) SetAll(r Rates) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.rates)
	s.all = r
}

// Faults is how many faults there were, Slow included.
func (s *Store) Faults() int64 { return s.faults.Load() }

// fate is what happens to one call.
type fate struct {
	Rates            // each 0 or 1
	roll  *rand.Rand // for where in a body
}

func (s *Store) decide(op Op, key string) fate {
	s.mu.Lock()
	r, ok := s.rates[op]
	if !ok {
		r = s.all
	}
	s.calls[call{op, key}]++
	nth := s.calls[call{op, key}]
	s.mu.Unlock()

	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%d", op, key, nth)
	roll := rand.New(rand.NewPCG(s.seed, h.Sum64()))
	due := false
	for _, rate := range []*float64{&r.Error, &r.Throttle, &r.Hang, &r.After, &r.Slow, &r.Cut, &r.Short, &r.Corrupt} {
		hit := roll.Float64() < *rate && !due
		*rate = 0
		if hit {
			*rate, due = 1, true
			s.faults.Add(1)
		}
	}
	return fate{r, roll}
}

// before does what happens before the call: an error means that it is not made.
func (s *Store) before(ctx context.Context, f fate, op Op, key string) error {
	err := ctx.Err()
	switch {
	case err != nil:
	case f.Error > 0:
		err = ErrInjected
	case f.Throttle > 0:
		err = fmt.Errorf("%w: %w", object.ErrThrottled, ErrInjected)
	case f.Hang > 0:
		<-ctx.Done()
		err = ctx.Err()
	case f.Slow > 0:
		timer := time.NewTimer(s.slowFor)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return object.Fail(string(op), key, err)
}

// change makes a call that changes something, with its faults.
func (s *Store) change(ctx context.Context, op Op, key string, do func() error) error {
	f := s.decide(op, key)
	if err := s.before(ctx, f, op, key); err != nil {
		return err
	}
	err := do()
	if err == nil && f.After > 0 {
		return object.Fail(string(op), key, fmt.Errorf("%w after the change", ErrInjected))
	}
	return err
}

// Put is the store's, with faults.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	return s.change(ctx, Put, key, func() error { return s.Store.Put(ctx, key, data) })
}

// PutIfAbsent is the store's, with faults.
func (s *Store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return s.change(ctx, PutIfAbsent, key, func() error { return s.Store.PutIfAbsent(ctx, key, data) })
}

// Delete is the store's, with faults.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.change(ctx, Delete, key, func() error { return s.Store.Delete(ctx, key) })
}

// Head is the store's, with faults.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	if err := s.before(ctx, s.decide(Head, key), Head, key); err != nil {
		return object.Info{}, err
	}
	return s.Store.Head(ctx, key)
}

// List is the store's, with faults; its key is the prefix.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	if err := s.before(ctx, s.decide(List, prefix), List, prefix); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, prefix, after, limit)
}

// Get is the store's, with faults, of which some show while the body is read.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	f := s.decide(Get, key)
	if err := s.before(ctx, f, Get, key); err != nil {
		return nil, err
	}
	r, err := s.Store.Get(ctx, key, off, n)
	if err != nil || f.Cut+f.Short+f.Corrupt == 0 {
		return r, err
	}
	return spoil(r, f, key)
}
