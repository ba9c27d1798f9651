package mirror_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"mirrorfs/meta"
)

// whenApplied notes when each record was applied.
type whenApplied struct {
	meta.Replica
	mu sync.Mutex
	at map[uint64]time.Time // by seq
}

func (r *whenApplied) Apply(ctx context.Context, from meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error) {
	s, err := r.Replica.Apply(ctx, from, entries, target)
	if err == nil {
		now := time.Now()
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range entries {
			r.at[entries[i].Position.Seq] = now
		}
	}
	return s, err
}

// BenchmarkLag measures, for each of b.N changes made at 2,000 a second, how long after its
// acknowledgement at the source it was applied at a mirror 30 ms away: half of them within
// p50-ms, 99 of 100 within p99-ms.
func BenchmarkLag(b *testing.B) {
	const perSecond = 2000
	s := redisWorld(b)
	s.proxy.delay(30 * time.Millisecond)
	e := session(b, s.local(b))
	s.add(b)
	cfg := s.config(b)
	cfg.CallTimeout, cfg.TailWait, cfg.Logger = time.Minute, time.Second, nil
	applied := &whenApplied{Replica: s.world.near, at: map[uint64]time.Time{}}
	cfg.Replica = applied
	start(b, cfg)
	s.wait(b)

	const workers = 32
	parents := make([]meta.Ino, workers)
	for i := range parents {
		parents[i] = change(b, e, dir(meta.RootIno, fmt.Sprint("d", i))).Node.Ino
	}
	var mu sync.Mutex
	acked := map[uint64]time.Time{}
	var all sync.WaitGroup
	b.ResetTimer()
	begin := time.Now()
	for w := range workers {
		all.Go(func() {
			for i := w; i < b.N; i += workers {
				if d := time.Until(begin.Add(time.Duration(i) * time.Second / perSecond)); d > 0 {
					<-time.After(d)
				}
				res := change(b, e, file(parents[w], fmt.Sprint("f", i)))
				now := time.Now()
				mu.Lock()
				acked[res.Position.Seq] = now
				mu.Unlock()
			}
		})
	}
	all.Wait()
	took := b.Elapsed()
	s.wait(b)
	applied.mu.Lock()
	defer applied.mu.Unlock()
	var lags []time.Duration
	for seq, at := range acked {
		lags = append(lags, applied.at[seq].Sub(at))
	}
	slices.Sort(lags)
	b.ReportMetric(float64(b.N)/took.Seconds(), "changes/s")
	b.ReportMetric(float64(lags[len(lags)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(lags[len(lags)*99/100].Microseconds())/1000, "p99-ms")
}
