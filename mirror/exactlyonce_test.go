package mirror_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// resetting makes connections that are reset by chance when something is sent on them: before
// it has arrived, or after, so that its answer is lost.
type resetting struct {
	mu     sync.Mutex
	rng    *rand.Rand
	every  int // one in so many sends
	resets atomic.Int64
}

func (r *resetting) chance() (before, after bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hit := r.rng.IntN(r.every) == 0
	before = hit && r.rng.IntN(2) == 0
	return before, hit && !before
}

func (r *resetting) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &resetConn{Conn: c, r: r}, nil
}

type resetConn struct {
	net.Conn
	r *resetting
}

func (c *resetConn) Write(p []byte) (int, error) {
	before, after := c.r.chance()
	if !before {
		n, err := c.Conn.Write(p)
		if err != nil || !after {
			return n, err
		}
	}
	c.r.resets.Add(1)
	return len(p), c.Close() // who waits for the answer is told
}

// Changes that a mirror forwards are made exactly once each, although connections are reset when one
// is sent on them: the source's log has as many records as there were changes, and each name
// once. MIRRORFS_LONG makes 10,000 of them, and resets one connection in a hundred.
func TestPromise05ForwardedExactlyOnce(t *testing.T) {
	const threads = 8
	changes, every := 400, 20 // few changes, so that some connections are surely reset
	if os.Getenv("MIRRORFS_LONG") != "" {
		changes, every = 10_000, 100
	}
	s := redisWorld(t)
	s.proxy.delay(50 * time.Millisecond)
	s.add(t)
	cfg := s.config(t)
	cfg.CallTimeout = patience
	start(t, cfg)
	s.wait(t)

	way := &resetting{rng: seeded(t), every: every}
	opts := redis.Options{ChangeTimeout: patience, CallTimeout: time.Minute, Dialer: way.dial}
	e, err := mirror.NewEngine(mirror.EngineOptions{
		Near:          s.nearClient(),
		Dial:          func(ctx context.Context) (meta.Engine, error) { return redis.Open(ctx, s.farAddr, opts) },
		ChangeTimeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	until(t, "a session starts although connections are reset", func() bool {
		return e.StartSession(t.Context(), meta.SessionInfo{Host: "test", Kind: "mount"}) == nil
	})
	parents := make([]meta.Ino, threads)
	for i := range parents {
		parents[i] = change(t, e, dir(meta.RootIno, fmt.Sprint("thread-", i))).Node.Ino
	}
	before := mustState(t, s.source)
	var all sync.WaitGroup
	for i, parent := range parents {
		all.Go(func() {
			for n := i; n < changes; n += threads {
				if _, err := e.Change(t.Context(), file(parent, fmt.Sprint("file-", n))); err != nil {
					t.Errorf("file %d: %v", n, err)
				}
			}
		})
	}
	all.Wait()
	after := mustState(t, s.source)
	if made := after.Position.Seq - before.Position.Seq; made != uint64(changes) {
		t.Errorf("%d records for %d changes", made, changes)
	}
	names := namesMade(t, s.source, before.Position, after.Position)
	for n := range changes {
		if times := names[fmt.Sprint("file-", n)]; times != 1 {
			t.Errorf("file %d was made %d times", n, times)
		}
	}
	if way.resets.Load() == 0 {
		t.Error("no connection was reset: the test proves nothing")
	}
	t.Logf("%d changes, %d connections reset", changes, way.resets.Load())
	s.mustBeEqual(t)
}

// namesMade counts the names that the records between two positions set.
func namesMade(t *testing.T, s meta.Source, from, to meta.Position) map[string]int {
	t.Helper()
	names := map[string]int{}
	for at := from; at.Before(to); {
		entries, err := s.Tail(t.Context(), at, 1000, 0)
		if err != nil || len(entries) == 0 {
			t.Fatalf("the log after %s: %d entries, %v", at, len(entries), err)
		}
		for i := range entries {
			r, err := meta.DecodeRecord(entries[i].Raw)
			if err != nil {
				t.Fatal(err)
			}
			for j := range r.Effects {
				if r.Effects[j].Kind == meta.EffectEntry {
					names[r.Effects[j].Name]++
				}
			}
			at = entries[i].Position
		}
	}
	return names
}
