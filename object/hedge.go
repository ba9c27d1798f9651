package object

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// HedgeOptions of WithHedge; zero fields take the default given with each.
type HedgeOptions struct {
	// Share is how many second requests there may be for each first one, on the
	// average: 0.05. As many as Burst, 8, may come at once.
	Share float64
	Burst int
	// Minimum is how many reads there must have been before anything is known: 100.
	Minimum int
	// Floor is the least time after which a second request is made: 5 ms.
	Floor time.Duration
	// Metrics counts the second requests, by store=Name; nil means none.
	Metrics prometheus.Registerer
	Name    string
}

func (o HedgeOptions) withDefaults() HedgeOptions {
	if o.Share <= 0 {
		o.Share = 0.05
	}
	if o.Burst <= 0 {
		o.Burst = 8
	}
	if o.Minimum <= 0 {
		o.Minimum = 100
	}
	setDefault(&o.Floor, 5*time.Millisecond)
	return o
}

type hedging struct {
	Store
	opts HedgeOptions
	made *prometheus.CounterVec // by which of the two answered first; nil: none

	mu     sync.Mutex
	recent [hedgeWindow]time.Duration // times to the first byte of the last requests, as a ring
	count  int                        // of times that were noted
	after  time.Duration              // when a second request is made; 0: not known yet
	budget float64                    // second requests that may be made now
}

const (
	hedgeWindow  = 512 // requests whose times are looked at
	hedgeRefresh = 64  // requests after which the 99th percentile is computed anew
)

// WithHedge asks a second time for what has not begun to come when 99 of 100 reads
// would have, and takes what comes first: a slow request is slow by its server or its
// connection more often than by what it asks for. The other request is given up. It is
// a Get's beginning that is hedged; a body that is slow later is for WithRetry.
//
// The time is that of the last requests, so a store that has become slow as a whole
// sets it anew; and Share bounds what such a store has to bear meanwhile.
func WithHedge(store Store, opts HedgeOptions) (Store, error) {
	h := &hedging{Store: store, opts: opts.withDefaults()}
	h.budget = float64(h.opts.Burst)
	if opts.Metrics != nil {
		var err error
		h.made, err = register(opts.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mirrorfs_object_hedged_reads_total", ConstLabels: prometheus.Labels{"store": opts.Name},
			Help: "Reads that were asked for a second time because they were slow, by which request answered first.",
		}, []string{"won"}))
		if err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Unwrap returns the store without second requests.
func (h *hedging) Unwrap() Store { return h.Store }

// answer is what one of two requests came to.
type answer struct {
	body   io.ReadCloser
	err    error
	cancel context.CancelFunc
	second bool
}

func (h *hedging) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	began := time.Now()
	after := h.patience()
	answers := make(chan answer, 2) // so that the loser never waits
	ask := func(second bool) context.CancelFunc {
		ctx, cancel := context.WithCancel(ctx)
		go func() {
			body, err := h.Store.Get(ctx, key, off, n)
			answers <- answer{body, err, cancel, second}
		}()
		return cancel
	}
	cancels := []context.CancelFunc{ask(false)}
	asked := 1
	var slow <-chan time.Time
	if after > 0 {
		timer := time.NewTimer(after)
		defer timer.Stop()
		slow = timer.C
	}
	var errs []error
	for {
		select {
		case <-slow:
			slow = nil
			if h.spend() {
				cancels = append(cancels, ask(true))
				asked++
			}
		case a := <-answers:
			if a.err != nil {
				a.cancel()
				errs = append(errs, a.err)
				if len(errs) < asked && !final(a.err) {
					continue // the other one may do better
				}
				h.discard(answers, asked-len(errs), cancels)
				return nil, errs[len(errs)-1]
			}
			h.note(time.Since(began))
			h.won(asked, a.second)
			for i, cancel := range cancels {
				if (i == 1) != a.second {
					cancel()
				}
			}
			h.discard(answers, asked-len(errs)-1, nil)
			return &hedgedBody{ReadCloser: a.body, cancel: a.cancel}, nil
		}
	}
}

// discard gives up the requests that are still under way.
func (h *hedging) discard(answers <-chan answer, n int, cancels []context.CancelFunc) {
	for _, cancel := range cancels {
		cancel()
	}
	if n == 0 {
		return
	}
	go func() {
		for range n {
			a := <-answers
			a.cancel()
			if a.err == nil {
				_ = a.body.Close() // nobody reads it
			}
		}
	}()
}

// patience is after how long a second request is due, 0 for never.
func (h *hedging) patience() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.budget = min(h.budget+h.opts.Share, float64(h.opts.Burst))
	return h.after
}

// spend takes a second request out of the budget.
func (h *hedging) spend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.budget < 1 {
		return false
	}
	h.budget--
	return true
}

// note remembers how long a read took to begin.
func (h *hedging) note(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recent[h.count%hedgeWindow] = took
	h.count++
	if h.count < h.opts.Minimum || h.count > h.opts.Minimum && h.count%hedgeRefresh != 0 {
		return
	}
	times := slices.Clone(h.recent[:min(h.count, hedgeWindow)])
	slices.Sort(times)
	h.after = max(times[len(times)*99/100], h.opts.Floor)
}

func (h *hedging) won(asked int, second bool) {
	if h.made == nil || asked < 2 {
		return
	}
	which := "first"
	if second {
		which = "second"
	}
	h.made.WithLabelValues(which).Inc()
}

// hedgedBody ends its request when it is closed.
type hedgedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *hedgedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// Version is that of the body within.
func (b *hedgedBody) Version() string { return VersionOf(b.ReadCloser) }

// WriteTo keeps the shortcut of a body that has one.
func (b *hedgedBody) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, b.ReadCloser) }
