package bucket

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// atOnce is how many requests are made at once where nothing is measured.
const atOnce = 16

// each calls f for 0 to n-1, workers at a time, until one fails.
func each(n, workers int, f func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(workers)
	for i := range n {
		group.Go(func() error { return f(i) })
	}
	return group.Wait()
}

// sample is what was measured of one operation.
type sample struct {
	count int
	took  time.Duration   // of all of them together
	times []time.Duration // of each, sorted
}

// perSecond is the rate of something of which each operation has amount.
func (s *sample) perSecond(amount float64) float64 {
	if s.took <= 0 {
		return 0
	}
	return float64(s.count) * amount / s.took.Seconds()
}

// percentile gives the time within which p of 100 operations ended.
func (s *sample) percentile(p int) time.Duration {
	if len(s.times) == 0 {
		return 0
	}
	return s.times[min(len(s.times)*p/100, len(s.times)-1)]
}

// limits of a measurement: it ends at the first one reached.
type limits struct {
	connections int
	operations  int           // 0: no limit
	time        time.Duration // after which no more begin; 0: no limit
}

// measure repeats an operation on several connections at once, each time with another
// number, from 0 on. The first error ends it.
func measure(ctx context.Context, l limits, operation func(ctx context.Context, i int) error) (sample, error) {
	var (
		next  atomic.Int64
		mu    sync.Mutex
		times []time.Duration
	)
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range l.connections {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				start := time.Now()
				if l.operations > 0 && i >= l.operations || l.time > 0 && i >= l.connections && start.Sub(began) >= l.time {
					return nil
				}
				if err := operation(ctx, i); err != nil {
					return err
				}
				took := time.Since(start)
				mu.Lock()
				times = append(times, took)
				mu.Unlock()
			}
		})
	}
	err := group.Wait()
	slices.Sort(times)
	return sample{count: len(times), took: time.Since(began), times: times}, err
}
