package mirror_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror"
)

func mustSeen(t testing.TB, e *mirror.Engine) meta.Position {
	t.Helper()
	at, err := e.Seen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// reachesLate checks that a wait for a position ends after a step, and not without it.
func (s *twoSites) reachesLate(t testing.TB, at meta.Position, step func()) {
	t.Helper()
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := s.e.Reach(soon, at)
	if !errors.Is(err, meta.ErrBehind) || !errors.Is(err, syscall.ETIMEDOUT) {
		t.Fatalf("waiting for %s, which is not here: %v", at, err)
	}
	done := make(chan error, 1)
	go func() { done <- s.e.Reach(t.Context(), at) }()
	step()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// What an engine tells that it has seen is what it read and changed, wherever that was.
func TestSeen(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	session(t, s.e)
	other := session(t, mustClient(t, s.world))
	if at, here := mustSeen(t, s.e), mustState(t, s.near).Position; at != here {
		t.Errorf("before any read: %s, and the site stands at %s", at, here)
	}
	mine := change(t, s.e, file(meta.RootIno, "mine")).Position
	if at := mustSeen(t, s.e); at != mine {
		t.Errorf("after a change at %s: %s", mine, at)
	}
	theirs := change(t, other, file(meta.RootIno, "theirs")).Position
	if _, err := s.e.Change(t.Context(), file(meta.RootIno, "theirs")); !errors.Is(err, syscall.EEXIST) {
		t.Fatal(err)
	}
	if at := mustSeen(t, s.e); at.Before(theirs) {
		t.Errorf("after a refusal because of %s: %s", theirs, at)
	}
	s.wan.cut(true)
	if _, err := s.e.Seen(t.Context()); !errors.Is(err, meta.ErrUnreachable) {
		t.Errorf("what cannot be told was told: %v", err)
	}
	s.wan.cut(false)
	until(t, "the source answers again", func() bool { _, err := s.e.Seen(t.Context()); return err == nil })
}

func TestReach(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	other := session(t, mustClient(t, s.world))
	at := change(t, other, file(meta.RootIno, "f")).Position
	s.reachesLate(t, at, func() { s.catchUp(t) })
	if _, err := s.e.Lookup(t.Context(), meta.RootIno, "f"); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	if err := s.e.Reach(t.Context(), at); err != nil {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	at.Seq += 10
	if err := s.e.Reach(gone, at); !errors.Is(err, syscall.EINTR) {
		t.Errorf("a wait that was given up: %v", err)
	}
}

// While the first copy is under way, reads go to the source, and so do waits.
func TestReachDuringTheCopy(t *testing.T) {
	w := modelWorld(t)
	w.add(t)
	e, err := mirror.NewEngine(mirror.EngineOptions{Near: w.nearClient(), Dial: w.client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	other := session(t, mustClient(t, w))
	at := change(t, other, file(meta.RootIno, "f")).Position
	if err := e.Reach(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if seen := mustSeen(t, e); seen.Before(at) {
		t.Errorf("seen is %s, before %s, which was waited for", seen, at)
	}
	if _, err := e.Lookup(t.Context(), meta.RootIno, "f"); err != nil {
		t.Error(err)
	}
}

// Three clients, two of them at a mirror that lags by chance, pass a position on like a baton:
// each waits for it, must see what the one before did or saw, and then does something
// itself or only looks.
func TestPromise06PositionsAreHandedOn(t *testing.T) {
	rng := seeded(t)
	w := modelWorld(t)
	w.add(t)
	cfg := w.config(t)
	cfg.Replica = &lazyReplica{Replica: w.near, rng: rand.New(rand.NewPCG(rng.Uint64(), 5)), max: 5 * time.Millisecond}
	start(t, cfg)
	w.wait(t)
	source := session(t, mustClient(t, w))
	f := change(t, source, file(meta.RootIno, "f")).Node.Ino
	var mirrors [2]*mirror.Engine
	for i := range mirrors {
		var err error
		way := &wan{delay: delays(rng, time.Millisecond)}
		mirrors[i], err = mirror.NewEngine(mirror.EngineOptions{
			Near: w.nearClient(),
			Dial: func(ctx context.Context) (meta.Engine, error) {
				far, err := w.client(ctx)
				return &farEngine{Engine: far, w: way}, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = mirrors[i].Close() })
		session(t, mirrors[i])
	}
	baton, size := mustState(t, w.source).Position, uint64(0)
	for range 300 {
		who := rng.IntN(3)
		e := source
		if who < 2 {
			e = mirrors[who]
			if err := mirrors[who].Reach(t.Context(), baton); err != nil {
				t.Fatal(err)
			}
		}
		n, err := e.GetAttr(t.Context(), f)
		if err != nil || n.Attr.Size != size {
			t.Fatalf("client %d waited for %s and sees %d bytes instead of %d, %v", who, baton, n.Attr.Size, size, err)
		}
		if rng.IntN(2) == 0 {
			size++
			change(t, e, meta.SetAttr{Ino: f, Set: meta.SetSize, Size: size})
		}
		baton = mustState(t, w.source).Position
		if who < 2 {
			baton = mustSeen(t, mirrors[who])
		}
	}
}
