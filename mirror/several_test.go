package mirror_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
	"mirrorfs/mirror"
)

// twoMirrors are a source and two mirrors of it, one with all data and one with none.
type twoMirrors struct {
	source *redis.Engine
	full   *dataWorld // site 2
	demand *world     // site 3
}

// newTwoMirrors registers both mirrors. A change at either is sent to the source.
func newTwoMirrors(t *testing.T) *twoMirrors {
	t.Helper()
	s := redisWorldAt(t, redis.Options{}) // with a server's patience: the machine may be slow
	third := redistest.Start(t)
	far := openReplica(t, third, redis.Options{})
	t.Cleanup(func() { _ = far.Close() })
	demand := *s.world
	demand.near = far
	demand.nearClient = func() meta.Engine { return openReplica(t, third, redis.Options{}) }
	local := s.local(t)
	all := &twoMirrors{source: local, full: withData(t, s.world, local), demand: &demand}
	all.full.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
	if _, err := mirror.Add(t.Context(), demand.source, far, mirror.AddOptions{SourceAddress: "redis://source/0", Name: "third"}); err != nil {
		t.Fatal(err)
	}
	return all
}

// client is one at a mirror, as a mount is.
func (w *world) mirrorClient(t testing.TB) *mirror.Engine {
	t.Helper()
	e, err := mirror.NewEngine(mirror.EngineOptions{Near: w.nearClient(), Dial: w.client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	session(t, e)
	return e
}

// trimming is a runner's config that keeps as little of the logs as it may.
func trimming(cfg mirror.Config) mirror.Config {
	cfg.TrimInterval, cfg.KeepRecords = 10*time.Millisecond, 5
	return cfg
}

// has reports whether the source's log goes back to right after a position.
func (s *twoMirrors) has(t testing.TB, after meta.Position) bool {
	t.Helper()
	_, err := s.source.Tail(t.Context(), after, 1, 0)
	if err != nil && !errors.Is(err, meta.ErrGap) {
		t.Fatal(err)
	}
	return err == nil
}

// Two mirrors follow a source, each with data of its own kind, while programs write at all three sites. The
// log is kept for the slower one, and for nobody who was removed.
func TestTwoMirrorsOfASource(t *testing.T) {
	s := newTwoMirrors(t)
	rng := seeded(t)
	stopFull := start(t, trimming(s.full.data(t)))
	defer stopFull()
	stopDemand := start(t, trimming(s.demand.config(t)))
	s.full.wait(t)
	s.demand.wait(t)

	writers := []*churn{
		newChurn(s.full.e, rng, "home"),
		newChurn(s.full.mirrorClient(t), rng, "full"),
		newChurn(s.demand.mirrorClient(t), rng, "demand"),
	}
	for range 5 {
		for _, w := range writers {
			for range 30 {
				ch := w.next()
				if _, ok := ch.(meta.Commit); ok {
					continue // names data that nobody has written
				}
				if _, err := w.e.Change(t.Context(), ch); err != nil && errors.Is(err, meta.ErrUnreachable) {
					t.Fatal(err)
				}
			}
		}
	}
	one := s.full.write(t, meta.RootIno, "at the source", 1)
	two := s.full.write(t, meta.RootIno, "at the full mirror", 2)
	s.full.complete(t)
	s.full.mustHave(t, s.full.two, one, two)
	s.full.mustHave(t, s.full.one, one, two)
	s.full.mustBeEqual(t)
	s.demand.mustBeEqual(t)

	// One of them is away: the log waits for it, however far the other one is.
	stopDemand()
	away := mustState(t, s.demand.near).Position
	for i := range 100 {
		change(t, s.full.e, file(meta.RootIno, fmt.Sprint("while away ", i)))
	}
	s.full.mustBeEqual(t)
	until(t, "the source hears how far the mirror that is here has got", func() bool {
		m := s.mirrors(t)
		return m[0].Applied == mustState(t, s.source).Position && m[1].Applied.Before(m[0].Applied) && m[1].LagRecords >= 100
	})
	if _, err := s.source.TrimLog(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if !s.has(t, away) {
		t.Fatal("the log was trimmed before a mirror that is away")
	}
	stopDemand = start(t, trimming(s.demand.config(t)))
	s.demand.mustBeEqual(t)
	if !bytes.Equal(bytes.Join(rows(t, s.full.near), nil), bytes.Join(rows(t, s.demand.near), nil)) {
		t.Error("the mirrors differ")
	}

	// It goes for good: the log waits no longer.
	stopDemand()
	gone := mustState(t, s.demand.near).Position
	if _, err := mirror.Remove(t.Context(), s.demand.source, s.demand.near); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		change(t, s.full.e, file(meta.RootIno, fmt.Sprint("when gone ", i)))
	}
	until(t, "the log is trimmed", func() bool { return !s.has(t, gone) })
	if m := s.mirrors(t); len(m) != 1 {
		t.Errorf("%d mirrors are left", len(m))
	}
	s.full.mustBeEqual(t)
}

// mirrors is how the source sees its mirrors.
func (s *twoMirrors) mirrors(t testing.TB) []mirror.Status {
	t.Helper()
	st, err := mirror.GetStatus(t.Context(), s.source, mirror.StatusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return st.Mirrors
}
