package object_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// paced answers each Get after the next of its pauses, and the usual one when there are no
// more; one that is negative never answers.
type paced struct {
	object.Store
	usual time.Duration

	mu       sync.Mutex
	pauses   []time.Duration
	errs     []error // of the answers, nil where none
	calls    int
	given    int // bodies
	closed   int
	canceled int
}

func (p *paced) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	p.mu.Lock()
	p.calls++
	pause, err := p.usual, error(nil)
	if len(p.pauses) > 0 {
		pause, p.pauses = p.pauses[0], p.pauses[1:]
	}
	if len(p.errs) > 0 {
		err, p.errs = p.errs[0], p.errs[1:]
	}
	p.mu.Unlock()
	if pause < 0 {
		pause = 24 * time.Hour
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		p.mu.Lock()
		p.canceled++
		p.mu.Unlock()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	r, err := p.Store.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.given++
	p.mu.Unlock()
	return pacedBody{r, p}, nil
}

type pacedBody struct {
	io.ReadCloser
	of *paced
}

func (b pacedBody) Close() error {
	b.of.mu.Lock()
	b.of.closed++
	b.of.mu.Unlock()
	return b.ReadCloser.Close()
}

// hedged gives a store with an object "key" whose reads take 10 ms, known as such.
func hedged(t *testing.T, opts object.HedgeOptions) (*paced, object.Store) {
	t.Helper()
	p := &paced{Store: mem.New("t"), usual: 10 * time.Millisecond}
	if err := p.Put(t.Context(), "key", []byte("data")); err != nil {
		t.Fatal(err)
	}
	opts.Minimum = 20
	s, err := object.WithHedge(p, opts)
	if err != nil {
		t.Fatal(err)
	}
	for range opts.Minimum {
		mustRead(t, s)
	}
	if p.calls != opts.Minimum {
		t.Fatalf("%d requests for %d reads", p.calls, opts.Minimum)
	}
	p.calls = 0
	return p, s
}

func mustRead(t *testing.T, s object.Store) {
	t.Helper()
	r, err := s.Get(t.Context(), "key", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || string(data) != "data" {
		t.Fatalf("%q, %v", data, err)
	}
}

// A read that does not begin is asked for again, and the one that hangs is given up.
func TestHedgeOfARequestThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		p, s := hedged(t, object.HedgeOptions{Metrics: reg, Name: "t"})
		p.pauses = []time.Duration{-1}
		began := time.Now()
		mustRead(t, s)
		if took := time.Since(began); took != 20*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
		if p.calls != 2 || p.canceled != 1 || p.given != p.closed {
			t.Errorf("%d requests, %d given up, %d of %d bodies closed", p.calls, p.canceled, p.closed, p.given)
		}
		const want = `
# HELP mirrorfs_object_hedged_reads_total Reads that were asked for a second time because they were slow, by which request answered first.
# TYPE mirrorfs_object_hedged_reads_total counter
mirrorfs_object_hedged_reads_total{store="t",won="second"} 1
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "mirrorfs_object_hedged_reads_total"); err != nil {
			t.Error(err)
		}
	})
}

// The first may win after all; the second is given up, and its body closed if it has one.
func TestHedgeThatWasNotNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := hedged(t, object.HedgeOptions{})
		for _, second := range []time.Duration{-1, 5 * time.Millisecond} { // never, and at the same time
			p.pauses = []time.Duration{15 * time.Millisecond, second}
			mustRead(t, s)
			synctest.Wait()
		}
		if p.calls != 4 || p.given != p.closed || p.canceled < 1 {
			t.Errorf("%d requests, %d given up, %d of %d bodies closed", p.calls, p.canceled, p.closed, p.given)
		}
	})
}

// A store that is slow as a whole gets few more requests than it would, and is known soon.
func TestHedgeBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := hedged(t, object.HedgeOptions{Share: 0.1, Burst: 5})
		p.usual = time.Second
		const reads = 100
		for range reads {
			mustRead(t, s)
		}
		if extra := p.calls - reads; extra < 5 || extra > 5+reads/10 {
			t.Errorf("%d second requests", extra)
		}
		p.calls, p.usual = 0, 900*time.Millisecond
		time.Sleep(time.Minute)
		for range 10 {
			mustRead(t, s)
		}
		if p.calls != 10 {
			t.Errorf("%d second requests when it is known to be slow", p.calls-10)
		}
	})
}

// Errors: one that is final is the answer, another waits for the second request if
// there is one.
func TestHedgeErrors(t *testing.T) {
	passing := errors.New("passing")
	for name, test := range map[string]struct {
		pauses []time.Duration
		errs   []error
		want   error
		calls  int
	}{
		"at once":           {[]time.Duration{0}, []error{passing}, passing, 1},
		"first, then good":  {[]time.Duration{15 * time.Millisecond, 20 * time.Millisecond}, []error{passing}, nil, 2},
		"second, then good": {[]time.Duration{30 * time.Millisecond, 0}, []error{nil, passing}, nil, 2},
		"both":              {[]time.Duration{30 * time.Millisecond, 0}, []error{passing, passing}, passing, 2},
		"final":             {[]time.Duration{-1, 0}, []error{nil, object.ErrNotExist}, object.ErrNotExist, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := hedged(t, object.HedgeOptions{})
				p.pauses, p.errs = test.pauses, test.errs
				r, err := s.Get(t.Context(), "key", 0, -1)
				if err == nil {
					err = r.Close()
				}
				if !errors.Is(err, test.want) || p.calls != test.calls {
					t.Errorf("%v after %d requests", err, p.calls)
				}
				synctest.Wait()
				if p.given != p.closed {
					t.Errorf("%d of %d bodies closed", p.closed, p.given)
				}
			})
		})
	}
}

// The end of the caller's ctx ends both.
func TestHedgeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := hedged(t, object.HedgeOptions{})
		p.pauses = []time.Duration{-1, -1}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Get(ctx, "key", 0, -1); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		if p.canceled != 2 {
			t.Errorf("%d of 2 requests were given up", p.canceled)
		}
	})
}
