package mirror_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"mirrorfs/meta"
)

// applyLog remembers which records were applied at a site.
type applyLog struct {
	meta.Replica

	mu      sync.Mutex
	applied []meta.Position
}

// Apply implements meta.Replica.
func (a *applyLog) Apply(ctx context.Context, from meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error) {
	s, err := a.Replica.Apply(ctx, from, entries, target)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		for i := range entries {
			a.applied = append(a.applied, entries[i].Position)
		}
	}
	return s, err
}

// Connections that break in the middle of replies, again and again, at other bytes each time: every record
// is applied, once and in order. (Known from others: ranges skipped after a disconnect.)
func TestPromise04RangesSkippedAfterADisconnect(t *testing.T) {
	s := patientWorld(t)
	rng := seeded(t)
	writer := newChurn(session(t, s.local(t)), rng, "w")
	s.add(t)
	log := &applyLog{Replica: s.world.near}
	cfg := s.config(t)
	cfg.Replica, cfg.TailRecords = log, 20
	start(t, cfg)
	s.wait(t)
	for round := range 5 {
		s.proxy.add("break", "limit_data", "downstream", fmt.Sprintf(`"bytes":%d`, 8000+rng.IntN(16_000)))
		for range 4 {
			s.proxy.reset()
			writer.run(t, 40)
		}
		if err := s.proxy.p.Toxics.RemoveToxic(t.Context(), "break"); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	s.mustBeEqual(t)
	log.mu.Lock()
	defer log.mu.Unlock()
	for i := 1; i < len(log.applied); i++ {
		if before, at := log.applied[i-1], log.applied[i]; at.Seq != before.Seq+1 {
			t.Errorf("%s was applied after %s", at, before)
		}
	}
	if len(log.applied) < 300 {
		t.Errorf("%d records were applied: the test shows little", len(log.applied))
	}
}
