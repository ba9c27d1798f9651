package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// errDead is what a source says that is not there.
var errDead = errors.New("connection refused")

// addresses of the sites of these tests.
const sourceAddress, nearAddress = "redis://source/0", "redis://near/0"

// failingOver runs a test on sites in memory and in Redis.
func failingOver(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("Model", func(t *testing.T) { test(t, modelWorld(t)) })
	t.Run("Redis", func(t *testing.T) { test(t, redisWorld(t).world) })
}

// lent is a site that outlives who closes it.
type lent struct{ mirror.Site }

func (lent) Close() error { return nil }

// dialer opens a site as commands do.
func dialer(site mirror.Site) func(context.Context, mirror.Info) (mirror.Site, error) {
	return func(context.Context, mirror.Info) (mirror.Site, error) { return lent{site}, nil }
}

func deadDialer(context.Context, mirror.Info) (mirror.Site, error) { return nil, errDead }

// moving opens an engine of a client of the mirror, which goes to where the source is.
func (w *world) moving(t testing.TB, opts mirror.EngineOptions) *mirror.Engine {
	t.Helper()
	opts.Near = w.nearClient()
	opts.Where = func(ctx context.Context) (mirror.Whereabouts, error) { return mirror.Where(ctx, w.near) }
	opts.Dial = func(ctx context.Context) (meta.Engine, error) {
		at, err := mirror.Where(ctx, w.near)
		switch {
		case err != nil:
			return nil, err
		case at.Here:
			return w.nearClient(), nil
		}
		return w.client(ctx)
	}
	opts.Logger = testLogger(t)
	e, err := mirror.NewEngine(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func (w *world) promote(t testing.TB, opts mirror.PromoteOptions) mirror.PromoteResult {
	t.Helper()
	opts.Logger, opts.Address = testLogger(t), nearAddress
	res, err := mirror.Promote(t.Context(), w.near, opts)
	if err != nil {
		t.Fatalf("promote: %v", err)
	}
	return res
}

// refusesChanges expects a site to take none.
func refusesChanges(t testing.TB, site mirror.Site, want error) {
	t.Helper()
	v, err := site.Volume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := site.Change(t.Context(), meta.Settings{Volume: v}); !errors.Is(err, want) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("a change: %v, want %v", err, want)
	}
}

// back is the world seen from the other side: what was the mirror is the source.
func (w *world) back() *world {
	return &world{
		source: w.near, near: w.source,
		upstream: func(context.Context) (mirror.Upstream, error) { return lent{w.near}, nil },
	}
}

// A source that answers is fenced first, and everything that it has is fetched: nothing is
// lost, whether or not a runner runs.
func TestPromise11FencedPromotion(t *testing.T) {
	failingOver(t, func(t *testing.T, w *world) {
		w.add(t)
		writer := newChurn(session(t, w.source), seeded(t), "w")
		stop := start(t, w.config(t))
		writer.run(t, 100)
		w.wait(t)
		stop()
		writer.run(t, 300)
		head, here := mustState(t, w.source), mustState(t, w.near)

		dry := w.promote(t, mirror.PromoteOptions{Dial: dialer(w.source), DryRun: true})
		if dry.Source != mirror.SourceFenced || dry.Loss.Possible || dry.Loss.Records != head.Position.Seq-here.Position.Seq || dry.Loss.Head != head.Position {
			t.Errorf("dry run: %+v, the source is at %s", dry, head.Position)
		}
		if mustState(t, w.source) != head || mustState(t, w.near) != here {
			t.Fatal("the dry run changed something")
		}
		res := w.promote(t, mirror.PromoteOptions{Dial: dialer(w.source)})
		if res.Source != mirror.SourceFenced || res.Loss.Possible || res.Last != head.Position || res.Position != (meta.Position{Epoch: 2, Seq: head.Position.Seq + 1}) {
			t.Errorf("promotion: %+v, the source was at %s", res, head.Position)
		}
		refusesChanges(t, w.source, meta.ErrFenced)
		if st, err := mirror.GetStatus(t.Context(), w.source, mirror.StatusOptions{}); err != nil || st.State != mirror.StateFenced || st.Reason == "" {
			t.Errorf("status of the old source: %+v, %v", st, err)
		}
		if st, err := mirror.GetStatus(t.Context(), w.near, mirror.StatusOptions{}); err != nil || st.Role != "source" || st.Site != "away" {
			t.Errorf("status of the new source: %+v, %v", st, err)
		}
		again := w.promote(t, mirror.PromoteOptions{Dial: dialer(w.source)})
		if !again.Already {
			t.Errorf("promoted twice: %+v", again)
		}
		newChurn(session(t, w.near), seeded(t), "n").run(t, 100)
		rejoined, err := mirror.Rejoin(t.Context(), w.source, w.near, mirror.RejoinOptions{SourceAddress: nearAddress})
		if err != nil || rejoined.Lost != 0 || rejoined.Copy {
			t.Fatalf("rejoin: %+v, %v", rejoined, err)
		}
		refusesChanges(t, w.source, meta.ErrReadOnly)
		b := w.back()
		start(t, b.config(t))
		b.mustBeEqual(t)
		if again, err := mirror.Rejoin(t.Context(), w.source, w.near, mirror.RejoinOptions{SourceAddress: nearAddress}); err != nil || !again.Already {
			t.Errorf("rejoined twice: %+v, %v", again, err)
		}
	})
}

// held is an upstream whose log does not come, while it still tells where it stands.
type held struct {
	mirror.Upstream
	hold *atomic.Bool
}

func (u held) Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error) {
	if u.hold.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return u.Upstream.Tail(ctx, after, limit, wait)
}

// A source dies with changes that its mirror has heard of and not seen: the promotion tells
// exactly how many, and rejoin writes down exactly those.
func TestPromise11LossIsToldAndWrittenDown(t *testing.T) {
	failingOver(t, func(t *testing.T, w *world) {
		w.add(t)
		rng := seeded(t)
		writer := newChurn(session(t, w.source), rng, "w")
		var hold atomic.Bool
		cfg := w.config(t)
		cfg.Dial = func(ctx context.Context) (mirror.Upstream, error) {
			u, err := w.upstream(ctx)
			return held{u, &hold}, err
		}
		stop := start(t, cfg)
		writer.run(t, 200)
		w.wait(t)
		hold.Store(true)
		until(t, "the log is held", func() bool { // what was asked for before may still come
			head := mustState(t, w.source).Position
			change(t, writer.e, file(meta.RootIno, fmt.Sprintf("probe-%d", head.Seq)))
			return mustState(t, w.near).Position.Seq+2 < head.Seq
		})
		last := mustState(t, w.near).Position
		acknowledged := map[meta.Position]meta.Op{}
		for len(acknowledged) < 60 {
			ch, res, err := writer.step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !res.Position.IsZero() {
				acknowledged[res.Position] = ch.Op()
			}
		}
		head := mustState(t, w.source).Position
		until(t, "the mirror has heard of all", func() bool {
			st, err := mirror.GetStatus(t.Context(), w.near, mirror.StatusOptions{})
			return err == nil && st.Position == head
		})
		stop()
		if now := mustState(t, w.near).Position; now != last {
			t.Fatalf("the mirror went on from %s to %s", last, now)
		}

		res := w.promote(t, mirror.PromoteOptions{Dial: deadDialer, Force: true})
		if res.Source != mirror.SourceUnreachable || res.Last != last || !res.Loss.Possible || res.Loss.Head != head || res.Loss.Records != head.Seq-last.Seq {
			t.Fatalf("promotion: %+v, want what is between %s and %s lost", res, last, head)
		}
		if s := mustState(t, w.near); s.NextIno < meta.SkipOf(res.Loss.Records).Inodes || s.NextSlice < meta.SkipOf(0).Slices {
			t.Errorf("numbers that the old source may have given out are given out again: %+v", s.Counters)
		}
		newChurn(session(t, w.near), rng, "n").run(t, 50)

		// It comes back, knowing of nothing.
		if _, err := mirror.Rejoin(t.Context(), w.source, w.near, mirror.RejoinOptions{SourceAddress: nearAddress}); err == nil {
			t.Error("rejoin lost changes without telling anybody")
		}
		var lost []mirror.LostChange
		sealed := false
		re, err := mirror.Rejoin(t.Context(), w.source, w.near, mirror.RejoinOptions{
			SourceAddress: nearAddress,
			Lost:          func(l mirror.LostChange) error { lost = append(lost, l); return nil },
			Seal: func() error {
				sealed = true
				if mustState(t, w.source).Role != meta.RoleFenced {
					t.Error("the old source was changed before the report was safe")
				}
				return nil
			},
			Path: func(_ context.Context, ino meta.Ino) (string, error) { return fmt.Sprintf("/%d", ino), nil },
		})
		if err != nil || !re.Copy || re.Lost != res.Loss.Records || re.Common != last || !sealed {
			t.Fatalf("rejoin: %+v, %v", re, err)
		}
		if uint64(len(lost)) != res.Loss.Records {
			t.Fatalf("%d changes were told, and %d promised", len(lost), res.Loss.Records)
		}
		for i, l := range lost {
			if want := last.Seq + 1 + uint64(i); l.Position.Seq != want {
				t.Fatalf("change %d is at %s, want seq %d", i, l.Position, want)
			}
			if op, ok := acknowledged[l.Position]; ok && op.String() != l.Operation {
				t.Errorf("%s was %s, and is told as %s", l.Position, op, l.Operation)
			}
			delete(acknowledged, l.Position)
			if l.Client == nil || len(l.Inodes) > 0 && len(l.Paths) == 0 {
				t.Errorf("not enough is told: %+v", l)
			}
		}
		if len(acknowledged) > 0 {
			t.Errorf("acknowledged, lost and not told: %v", acknowledged)
		}
		b := w.back()
		start(t, b.config(t))
		b.mustBeEqual(t)
	})
}

// It is refused when the runner has just heard of a source that does not answer here, when
// another site is at it, and when the copy is not complete.
func TestPromise11RefusedPromotions(t *testing.T) {
	failingOver(t, func(t *testing.T, w *world) {
		w.add(t)
		opts := mirror.PromoteOptions{Dial: deadDialer, Address: nearAddress}
		if _, err := mirror.Promote(t.Context(), w.near, opts); err == nil || errors.Is(err, mirror.ErrRefused) {
			t.Errorf("promotion of an empty mirror: %v", err)
		}
		start(t, w.config(t))
		session(t, w.source)
		w.wait(t)
		until(t, "the runner has told that the source lives", func() bool {
			dry := opts
			dry.DryRun = true
			res, err := mirror.Promote(t.Context(), w.near, dry)
			return err == nil && len(res.Refused) == 1
		})
		if res, err := mirror.Promote(t.Context(), w.near, opts); !errors.Is(err, mirror.ErrRefused) || len(res.Refused) != 1 {
			t.Errorf("promotion beside a source that lives: %+v, %v", res, err)
		}
		if _, err := w.source.Fence(t.Context(), `{"site_id":9,"site":"other"}`, ""); err != nil {
			t.Fatal(err)
		}
		opts.Dial = dialer(w.source)
		if res, err := mirror.Promote(t.Context(), w.near, opts); !errors.Is(err, mirror.ErrRefused) {
			t.Errorf("promotion beside another: %+v, %v", res, err)
		}
		if s := mustState(t, w.near); s.Role != meta.RoleMirror {
			t.Errorf("what was refused was done: %+v", s)
		}
		opts.Force = true
		if _, err := mirror.Promote(t.Context(), w.near, opts); err != nil {
			t.Errorf("forced: %v", err)
		}
	})
}

// brokenTail is a source whose log cannot be read.
type brokenTail struct{ mirror.Site }

func (brokenTail) Tail(context.Context, meta.Position, int, time.Duration) ([]meta.LogEntry, error) {
	return nil, errDead
}

// A switch that cannot be brought to its end leaves the source as it was.
func TestPromise11SwitchGivesUp(t *testing.T) {
	failingOver(t, func(t *testing.T, w *world) {
		w.add(t)
		e := session(t, w.source)
		stop := start(t, w.config(t))
		w.wait(t)
		stop()
		change(t, e, file(meta.RootIno, "a"))
		before := mustState(t, w.source)
		_, err := mirror.Switch(t.Context(), w.near, mirror.SwitchOptions{
			Dial: dialer(brokenTail{w.source}), Address: nearAddress, Logger: testLogger(t),
		})
		if !errors.Is(err, errDead) {
			t.Fatalf("switch: %v", err)
		}
		if after := mustState(t, w.source); after != before {
			t.Errorf("the source was %+v and is %+v", before, after)
		}
		change(t, e, file(meta.RootIno, "b"))

		// One that was killed in between leaves it fenced, until it is aborted.
		if _, err := w.source.Fence(t.Context(), `{"site_id":2,"site":"away"}`, ""); err != nil {
			t.Fatal(err)
		}
		opts := mirror.SwitchOptions{Dial: dialer(w.source), Address: nearAddress, Logger: testLogger(t)}
		if _, err := mirror.AbortSwitch(t.Context(), w.near, opts); err != nil {
			t.Fatalf("abort: %v", err)
		}
		change(t, e, file(meta.RootIno, "c"))
		if _, err := mirror.Switch(t.Context(), w.near, opts); err != nil {
			t.Fatalf("switch: %v", err)
		}
		if _, err := mirror.AbortSwitch(t.Context(), w.near, opts); err == nil {
			t.Error("a switch was aborted that had been made")
		}
	})
}

// The parts are exchanged while clients of the mirror write: none of them sees an error, and
// everything that was acknowledged at either site is there.
func TestPromise11SwitchUnderLoad(t *testing.T) {
	s := redisWorld(t)
	w := s.world
	w.add(t)
	start(t, w.config(t))
	var all sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	over, switched := make(chan struct{}), make(chan struct{})
	write := func(who string, e meta.Engine, fenced bool) {
		after := 0
		for n := 0; ; n++ {
			name := fmt.Sprintf("%s-%d", who, n)
			_, err := e.Change(t.Context(), file(meta.RootIno, name))
			switch {
			case err == nil:
				mu.Lock()
				acknowledged[name] = true
				mu.Unlock()
			case fenced && errors.Is(err, syscall.EROFS):
				return
			default:
				t.Errorf("%s: %v", name, err)
				return
			}
			select {
			case <-switched:
				if after++; after == 20 {
					return
				}
			case <-over:
				return
			default:
			}
		}
	}
	for i := range 3 {
		e := session(t, w.moving(t, mirror.EngineOptions{ChangeTimeout: patience}))
		all.Go(func() { write(fmt.Sprintf("near%d", i), e, false) })
	}
	w.wait(t)
	far := session(t, s.local(t))
	all.Go(func() { write("far", far, true) })
	until(t, "all have begun", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return acknowledged["near0-5"] && acknowledged["near1-5"] && acknowledged["near2-5"] && acknowledged["far-5"]
	})
	res, err := mirror.Switch(t.Context(), w.near, mirror.SwitchOptions{
		Dial: dialer(w.source), Address: nearAddress, Wait: patience, Logger: testLogger(t),
	})
	if err != nil || !res.Rejoined || res.Loss.Possible {
		close(over)
		all.Wait()
		t.Fatalf("switch: %+v, %v", res, err)
	}
	close(switched)
	all.Wait()
	for name := range acknowledged {
		if _, err := w.near.Lookup(t.Context(), meta.RootIno, name); err != nil {
			t.Errorf("acknowledged and not there: %v", err)
		}
	}
	b := w.back()
	start(t, b.config(t))
	b.mustBeEqual(t)
	t.Logf("%d changes, and none for %.0f ms", len(acknowledged), 1000*res.FencedSeconds)
}

// A client's change reaches the source, and the answer does not come back. The mirror that is
// promoted has the change: it answers, and makes nothing again. What it does not have, it makes.
func TestPromise11ResendAcrossAPromotion(t *testing.T) {
	s := redisWorldAt(t, redis.Options{ChangeTimeout: patience, CallTimeout: 300 * time.Millisecond})
	w := s.world
	w.upstream = func(ctx context.Context) (mirror.Upstream, error) { return redis.Open(ctx, s.sourceAddr, quick()) }
	w.add(t)
	stop := start(t, w.config(t))
	e := session(t, w.moving(t, mirror.EngineOptions{ChangeTimeout: patience}))
	change(t, e, file(meta.RootIno, "before"))
	w.wait(t)
	s.proxy.add("cut back", "timeout", "downstream", `"timeout":0`) // requests go there
	type outcome struct {
		res meta.Result
		err error
	}
	answers := make(chan outcome, 1)
	go func() {
		res, err := e.Change(context.WithoutCancel(t.Context()), file(meta.RootIno, "once"))
		answers <- outcome{res, err}
	}()
	until(t, "the mirror has the change", func() bool {
		_, err := w.near.Lookup(t.Context(), meta.RootIno, "once")
		return err == nil
	})
	stop()
	made := mustState(t, w.near).Position
	res := w.promote(t, mirror.PromoteOptions{Dial: deadDialer, Force: true})
	got := <-answers
	if got.err != nil || made.Before(got.res.Position) || got.res.Position.Epoch != 1 {
		t.Errorf("the answer is %+v, %v; the change was made by %s", got.res, got.err, made)
	}
	if now := mustState(t, w.near).Position; now != res.Position {
		t.Errorf("the new source is at %s after its promotion at %s: something was made again", now, res.Position)
	}
	if res := change(t, e, file(meta.RootIno, "after")); res.Position.Epoch != 2 {
		t.Errorf("a change after it: %+v", res)
	}
	if _, err := w.near.Lookup(t.Context(), meta.RootIno, "after"); err != nil {
		t.Errorf("it is not here: %v", err)
	}
	if err := e.Heartbeat(t.Context(), nil); err != nil && !errors.Is(err, meta.ErrLocksInDoubt) {
		t.Errorf("heartbeat: %v", err)
	}
}

// The same client goes on at sites in memory, whose engines cannot move: with another session.
func TestClientGoesOnAtThePromotedMirror(t *testing.T) {
	w := modelWorld(t)
	w.add(t)
	stop := start(t, w.config(t))
	e := session(t, w.moving(t, mirror.EngineOptions{}))
	made := change(t, e, file(meta.RootIno, "a"))
	w.wait(t)
	stop()
	w.promote(t, mirror.PromoteOptions{Dial: dialer(w.source)})
	if _, err := e.Change(t.Context(), file(meta.RootIno, "b")); !errors.Is(err, meta.ErrSessionEnded) {
		t.Fatalf("a change at the new source: %v", err)
	}
	session(t, e)
	change(t, e, file(meta.RootIno, "b"))
	if n, err := e.Lookup(t.Context(), meta.RootIno, "a"); err != nil || n.Ino != made.Node.Ino {
		t.Errorf("what was there: %+v, %v", n, err)
	}
	if r, ok := meta.AsReclaimer(e); !ok || r == nil {
		t.Error("a client of the new source reclaims nothing")
	}
}
