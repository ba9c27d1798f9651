package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// The source is lost while blocks that its mirror's metadata names are in its bucket only: the
// promotion tells exactly which, before it is made and after, and they are copied once the old source has rejoined.
func TestPromise11DataThatIsElsewhere(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
		stop := start(t, d.data(t))
		for i := range 10 {
			d.write(t, meta.RootIno, fmt.Sprintf("here%d", i), uint8(1+i%2))
		}
		d.complete(t)
		d.one.down.Store(true)
		want := map[string]bool{}
		var away []meta.Slice
		for i := range 5 {
			name := fmt.Sprintf("away%d", i)
			away = append(away, d.write(t, meta.RootIno, name, 1))
			want["/"+name] = true
		}
		d.wait(t)
		stop()

		opts := mirror.PromoteOptions{Dial: deadDialer, Force: true, DryRun: true, Data: d.data(t).Data}
		check := func(res mirror.PromoteResult) {
			t.Helper()
			e := res.Data
			if e == nil || e.Objects != 5 || e.Bytes != 500 || e.Unfinished != "" || e.Everything || e.CompleteTo.IsZero() || fmt.Sprint(e.Sites) != "[home]" {
				t.Fatalf("the promotion tells of data elsewhere: %+v", e)
			}
			got := map[string]bool{}
			for _, f := range e.Files {
				got[f.Path] = f.Objects == 1 && f.Bytes == 100
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("of files %v, want %v", got, want)
			}
		}
		check(d.promote(t, opts))
		opts.DryRun = false
		check(d.promote(t, opts))

		// It comes back, with its bucket.
		d.one.down.Store(false)
		re, err := mirror.Rejoin(t.Context(), d.source, d.near, mirror.RejoinOptions{SourceAddress: nearAddress})
		if err != nil || re.Mode != mirror.ModeFull {
			t.Fatalf("rejoin: %+v, %v", re, err)
		}
		b := d.back()
		cfg := b.config(t)
		cfg.Data = d.data(t).Data
		cfg.Data.Site = d.source.(mirror.DataSite)
		start(t, cfg)
		until(t, "what was elsewhere is copied", func() bool {
			for _, s := range away {
				if _, err := get(t, d.two.Store, dataKey(s), 0, -1); err != nil {
					return false
				}
			}
			return true
		})
		d.mustHave(t, d.two, away...)
		b.mustBeEqual(t)
	})
}

// A mirror without a bucket has no data, and one whose data was never looked through is asked block
// by block.
func TestPromotionWithoutAWatermark(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
		d.write(t, meta.RootIno, "a", 1)
		there := d.write(t, meta.RootIno, "b", 1)
		put(t, d.two.Store, dataKey(there), content(there))
		cfg := d.data(t)
		data := cfg.Data
		cfg.Data = nil // nobody copies
		start(t, cfg)
		d.wait(t)
		res := d.promote(t, mirror.PromoteOptions{Dial: dialer(d.source), Data: data, DryRun: true})
		if e := res.Data; e == nil || e.Objects != 1 || len(e.Files) != 1 || e.Files[0].Path != "/a" || !e.CompleteTo.IsZero() {
			t.Errorf("data elsewhere: %+v", e)
		}
	})
}

// The source is lost, and what its mirror lacks is in segments in a bucket that answers: it is fetched from
// there, as a dry run has said. What is in no segment is lost, and told.
func TestPromise11SegmentsAreSalvaged(t *testing.T) {
	s := redisWorldAt(t, redis.Options{})
	w := s.world
	k := s.keepLog(t, 64<<10, 32<<10)
	w.add(t)
	stop := start(t, k.config())
	e := session(t, s.local(t))
	change(t, e, file(meta.RootIno, "first"))
	w.wait(t)
	stop()
	last := mustState(t, w.near).Position
	write(t, func() meta.Engine { return s.local(t) }, "archived", 4000)
	k.keep(10)
	archived := mustState(t, w.source)
	if k.reaches() {
		t.Fatal("the source's log still has what the mirror lacks: the test shows nothing")
	}
	for i := range 7 {
		change(t, e, file(meta.RootIno, fmt.Sprintf("in no segment %d", i)))
	}
	head := mustState(t, w.source).Position

	opts := mirror.PromoteOptions{Dial: deadDialer, Force: true, DryRun: true, Archive: k.archive}
	dry := w.promote(t, opts)
	if dry.Last != archived.Position || dry.Salvaged != archived.Position.Seq-last.Seq || mustState(t, w.near).Position != last {
		t.Fatalf("dry run: %+v; the mirror stands at %s, and segments go to %s", dry, mustState(t, w.near).Position, archived.Position)
	}
	opts.DryRun = false
	res := w.promote(t, opts)
	if res.Last != archived.Position || res.Salvaged != dry.Salvaged || !res.Loss.Possible {
		t.Fatalf("promotion: %+v", res)
	}
	told := 0
	re, err := mirror.Rejoin(t.Context(), w.source, w.near, mirror.RejoinOptions{
		SourceAddress: nearAddress, Lost: func(mirror.LostChange) error { told++; return nil },
	})
	if want := head.Seq - archived.Position.Seq; err != nil || re.Lost != want || uint64(told) != want {
		t.Errorf("rejoin: %+v, %v; %d changes were told, want %d", re, err, told, want)
	}
	b := w.back()
	start(t, b.config(t))
	b.mustBeEqual(t)
}

// A mirror that is catching up from segments, behind a source whose log does not reach back any more: a promotion and
// a switch fetch the rest from there and lose nothing.
func TestPromise11PromotionWhileCatchingUpFromSegments(t *testing.T) {
	s := redisWorldAt(t, redis.Options{})
	w := s.world
	k := s.keepLog(t, 64<<10, 32<<10)
	w.add(t)
	stop := start(t, k.config())
	w.wait(t)
	stop()
	write(t, func() meta.Engine { return s.local(t) }, "archived", 4000)
	k.keep(10)
	if k.reaches() {
		t.Fatal("the source's log still has what the mirror lacks: the test shows nothing")
	}
	head := mustState(t, w.source).Position
	if res, err := mirror.Promote(t.Context(), w.near, mirror.PromoteOptions{Dial: dialer(w.source)}); !errors.Is(err, mirror.ErrRefused) {
		t.Errorf("a promotion without segments: %+v, %v", res, err)
	}
	if now := mustState(t, w.source); now.Role != meta.RoleSource {
		t.Fatalf("what was refused left the source %+v", now)
	}
	start(t, k.config()) // and the promotion comes into the middle
	res, err := mirror.Switch(t.Context(), w.near, mirror.SwitchOptions{
		Dial: dialer(w.source), Address: nearAddress, Archive: k.archive, Wait: patience, Logger: testLogger(t),
	})
	if err != nil || res.Last.Before(head) || res.Loss.Possible || !res.Rejoined {
		t.Fatalf("switch: %+v, %v, the source was at %s", res, err, head)
	}
	b := w.back()
	start(t, b.config(t))
	b.mustBeEqual(t)
}

// A site whose rows are of no one position is never promoted: neither an unfinished copy nor a
// repair that is under way.
func TestPromise11NoPromotionDuringARepair(t *testing.T) {
	w := modelWorld(t)
	writer := newChurn(session(t, w.source), seeded(t), "w")
	writer.run(t, 200)
	w.add(t)
	opts := mirror.PromoteOptions{Dial: dialer(w.source), Force: true}
	if _, err := mirror.Promote(t.Context(), w.near, opts); err == nil || !strings.Contains(err.Error(), "first copy") {
		t.Errorf("before the first copy: %v", err)
	}
	stop := start(t, w.config(t))
	w.mustBeEqual(t)
	stop()
	w.behind(t, meta.Effect{Kind: meta.EffectEntry, Parent: meta.RootIno, Name: "stray", Ino: 2, Type: 8})
	cfg := w.config(t)
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan struct{})
	cfg.Dial = func(ctx context.Context) (mirror.Upstream, error) {
		src, err := w.upstream(ctx)
		return &waitingSource{Upstream: src, begun: sync.OnceFunc(func() { close(begun) })}, err
	}
	var repairing sync.WaitGroup
	repairing.Go(func() { _, _ = mirror.Repair(ctx, cfg, mirror.RepairOptions{}) })
	<-begun
	if _, err := mirror.Promote(t.Context(), w.near, opts); err == nil || !strings.Contains(err.Error(), "repair") {
		t.Errorf("during a repair: %v", err)
	}
	cancel()
	repairing.Wait()
	if _, err := mirror.Promote(t.Context(), w.near, opts); err == nil || !strings.Contains(err.Error(), "repair") {
		t.Errorf("after a repair that was interrupted: %v", err)
	}
	if s := mustState(t, w.source); s.Role != meta.RoleSource {
		t.Errorf("the source was changed: %+v", s)
	}
	w.repair(t, mirror.RepairOptions{})
	if res, err := mirror.Promote(t.Context(), w.near, opts); err != nil || res.Loss.Possible {
		t.Errorf("after the repair: %+v, %v", res, err)
	}
}

// waitingSource says when it is asked for sums, and does not answer.
type waitingSource struct {
	mirror.Upstream
	begun func()
}

func (s *waitingSource) Digest(ctx context.Context, _ meta.Place, _ []meta.Place, _ int) (meta.Digest, error) {
	s.begun()
	<-ctx.Done()
	return meta.Digest{}, ctx.Err()
}

// The source lost the end of its log, and its mirror stalled: the mirror has all, so it can be promoted
// without a loss. If the source went on with other changes, that is told, and rejoin writes down just those.
func TestPromise11PromotionOfAStalledMirror(t *testing.T) {
	for name, more := range map[string]int{"behind": 0, "went on": 20, "went past": 300} {
		t.Run(name, func(t *testing.T) {
			w := modelWorld(t)
			rng := seeded(t)
			writer := newChurn(session(t, mustClient(t, w)), rng, "a")
			w.add(t)
			stop := start(t, w.config(t))
			w.wait(t)
			writer.run(t, 300)
			w.mustBeEqual(t)
			v, err := w.source.Volume(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			old := twin(t, w.source, v)
			lostAt := mustState(t, old).Position
			newChurn(writer.e, rng, "b").run(t, 100)
			w.mustBeEqual(t)
			stop()

			failed := &world{source: old, near: w.near, upstream: func(context.Context) (mirror.Upstream, error) { return old.Client(), nil }}
			if more > 0 {
				e := session(t, old.Client())
				for i := range more {
					change(t, e, file(meta.RootIno, fmt.Sprintf("other %d", i)))
				}
			}
			stop = failed.stalls(t, "")
			head, here := mustState(t, old).Position, mustState(t, w.near).Position
			res, err := mirror.Promote(t.Context(), w.near, mirror.PromoteOptions{Dial: dialer(old), Logger: testLogger(t)})
			if more > 0 {
				if !errors.Is(err, mirror.ErrRefused) || mustState(t, old).Role != meta.RoleSource {
					t.Fatalf("a promotion that loses changes: %+v, %v", res, err)
				}
				res, err = mirror.Promote(t.Context(), w.near, mirror.PromoteOptions{Dial: dialer(old), Force: true})
			}
			if err != nil || res.Loss.Possible != (more > 0) || res.Last != here {
				t.Fatalf("promotion: %+v, %v", res, err)
			}
			stop()
			var told []string
			re, err := mirror.Rejoin(t.Context(), old, w.near, mirror.RejoinOptions{
				SourceAddress: nearAddress, Lost: func(l mirror.LostChange) error { told = append(told, l.Operation); return nil },
			})
			if want := head.Seq - lostAt.Seq; err != nil || re.Lost != want || uint64(len(told)) != want || re.Common != lostAt {
				t.Fatalf("rejoin: %+v, %v; %d changes told, want %d, those after %s", re, err, len(told), want, lostAt)
			}
			b := failed.back()
			start(t, b.config(t))
			b.mustBeEqual(t)
		})
	}
}

// Several promote at once: one mirror is promoted, whoever does it, and of two mirrors one.
func TestPromise11PromotionsAtOnce(t *testing.T) {
	s := newThreeSites(t)
	writer := newChurn(session(t, s.source), seeded(t), "w")
	start(t, s.config(t))
	start(t, s.thirdConfig(t))
	writer.run(t, 100)
	s.wait(t)
	s.thirdHasAll(t)
	errs := make([]error, 6)
	var all sync.WaitGroup
	for i := range errs {
		site, address := s.near, nearAddress
		if i%2 == 1 {
			site, address = s.third, "redis://third/0"
		}
		all.Go(func() {
			_, errs[i] = mirror.Promote(t.Context(), site, mirror.PromoteOptions{Dial: dialer(s.source), Address: address, Logger: testLogger(t)})
		})
	}
	all.Wait()
	won := 0
	for _, site := range []mirror.Site{s.near, s.third} {
		if mustState(t, site).Role == meta.RoleSource {
			won++
		}
	}
	for i, err := range errs {
		site := s.near
		if i%2 == 1 {
			site = s.third
		}
		if isSource := mustState(t, site).Role == meta.RoleSource; isSource != (err == nil) {
			t.Errorf("promotion %d: %v, and its site is the source: %v", i, err, isSource)
		}
	}
	if won != 1 || mustState(t, s.source).Role != meta.RoleFenced {
		t.Errorf("%d sites were promoted, the old source is %+v", won, mustState(t, s.source))
	}
}
