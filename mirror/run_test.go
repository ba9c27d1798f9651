package mirror_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror"
)

func TestCopyOfAnEmptyVolume(t *testing.T) {
	w := modelWorld(t)
	w.add(t)
	start(t, w.config(t))
	w.mustBeEqual(t)
}

func TestCopyAndFollowWhileOthersWrite(t *testing.T) {
	w := modelWorld(t)
	rng := seeded(t)
	a := newChurn(session(t, mustClient(t, w)), rng, "a")
	a.run(t, 2000)
	w.add(t)
	cfg := w.config(t)
	cfg.ScanRows = 40 // the model sorts all rows for each batch
	cfg.Replica = &slowReplica{Replica: w.near, load: 100 * time.Microsecond}
	start(t, cfg)
	b := newChurn(session(t, mustClient(t, w)), rng, "b")
	for range 20 {
		a.run(t, 50)
		b.run(t, 50)
	}
	w.mustBeEqual(t)
	a.run(t, 500)
	w.mustBeEqual(t)
	w.isCaughtUp(t)
}

// isCaughtUp wants the status to say so; the runner may not have noted it yet.
func (w *world) isCaughtUp(t testing.TB) {
	t.Helper()
	until(t, "the status of a mirror that is caught up", func() bool {
		st := w.status(t)
		return st.State == mirror.StateFollowing && st.LagRecords == 0 && st.LagSeconds == 0 && st.Applied == st.Position
	})
}

func mustClient(t testing.TB, w *world) meta.Engine {
	t.Helper()
	e, err := w.client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// slowReplica takes its time to load, so that a copy is made while the source
// changes.
type slowReplica struct {
	meta.Replica
	load time.Duration
}

func (r *slowReplica) Load(ctx context.Context, effects []byte) error {
	t := time.NewTimer(r.load)
	defer t.Stop()
	select {
	case <-t.C:
		return r.Replica.Load(ctx, effects)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// crashReplica counts what is applied and copied, and stops the runner by chance
// before or after a call that writes, as a crash would.
type crashReplica struct {
	meta.Replica
	rng     *rand.Rand
	every   int // 1 in so many calls
	crash   context.CancelFunc
	applied *atomic.Int64
	resets  *atomic.Int64
}

var errCrash = errors.New("crash")

func (r *crashReplica) chance() bool { return r.rng != nil && r.rng.IntN(r.every) == 0 }

func (r *crashReplica) Reset(ctx context.Context, v meta.Volume, from meta.State) error {
	r.resets.Add(1)
	return r.Replica.Reset(ctx, v, from)
}

func (r *crashReplica) Apply(ctx context.Context, from meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error) {
	if r.chance() {
		r.crash()
		return from, errCrash
	}
	s, err := r.Replica.Apply(context.WithoutCancel(ctx), from, entries, target)
	if err == nil {
		r.applied.Add(int64(len(entries)))
	}
	if r.chance() {
		r.crash()
		return from, errCrash
	}
	return s, err
}

func TestPromise05ExactlyOnceApply(t *testing.T) {
	w := modelWorld(t)
	rng := seeded(t)
	w.add(t)
	writer := newChurn(session(t, mustClient(t, w)), rng, "w")
	var applied, resets atomic.Int64
	count := &crashReplica{Replica: w.near, applied: &applied, resets: &resets}

	run := func(every int, then func()) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := *count
		r.crash, r.every = cancel, every
		if every > 0 {
			r.rng = rand.New(rand.NewPCG(rng.Uint64(), 3))
		}
		cfg := w.config(t)
		cfg.Replica, cfg.ApplyRecords = &r, 3
		done := make(chan error, 1)
		go func() { done <- mirror.Run(ctx, cfg) }()
		then()
		cancel()
		if err := <-done; err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
	}
	run(0, func() { w.wait(t) })
	copied, first := resets.Load(), mustState(t, w.near).Position
	applied.Store(0)
	for range 30 {
		run(5, func() { writer.run(t, 20) })
	}
	run(0, func() { w.mustBeEqual(t) })
	if n := resets.Load() - copied; n != 0 {
		t.Errorf("%d further copies after the first was complete", n)
	}
	if last := mustState(t, w.near).Position; applied.Load() != int64(last.Seq-first.Seq) {
		t.Errorf("%d records applied between %s and %s", applied.Load(), first, last)
	}
}

func mustState(t testing.TB, s interface {
	State(context.Context) (meta.State, error)
},
) meta.State {
	t.Helper()
	state, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestTwoRunnersAtOnce(t *testing.T) {
	w := modelWorld(t)
	rng := seeded(t)
	writer := newChurn(session(t, mustClient(t, w)), rng, "w")
	writer.run(t, 1000)
	w.add(t)
	var applied, resets atomic.Int64
	for range 2 { // from the copy on
		cfg := w.config(t)
		cfg.ScanRows, cfg.ApplyRecords, cfg.ClaimTTL = 20, 3, patience
		slow := &slowReplica{Replica: w.near, load: 50 * time.Microsecond}
		cfg.Replica = &crashReplica{Replica: slow, applied: &applied, resets: &resets}
		start(t, cfg)
	}
	for range 30 {
		writer.run(t, 30)
	}
	w.mustBeEqual(t)
	if resets.Load() != 1 {
		t.Errorf("%d copies were made by two runners", resets.Load())
	}
}

// A runner that dies in the middle of the first copy is replaced by one that
// begins it anew.
func TestCopyBeginsAnewAfterACrash(t *testing.T) {
	w := modelWorld(t)
	newChurn(session(t, mustClient(t, w)), seeded(t), "w").run(t, 1000)
	w.add(t)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := w.config(t)
	cfg.ScanRows = 10
	cfg.Replica = &dyingReplica{Replica: w.near, left: 20, die: cancel}
	if err := mirror.Run(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	if s := mustState(t, w.near); s.Role != meta.RoleBootstrapping {
		t.Fatalf("half a copy is %c", s.Role)
	}
	start(t, w.config(t))
	w.mustBeEqual(t)
}

// dyingReplica ends its runner after some loads.
type dyingReplica struct {
	meta.Replica
	left int
	die  context.CancelFunc
}

func (r *dyingReplica) Load(ctx context.Context, effects []byte) error {
	if r.left--; r.left == 0 {
		r.die()
		return errCrash
	}
	return r.Replica.Load(ctx, effects)
}

// tampered gives the source's log as somebody left it.
type tampered struct {
	mirror.Upstream
	tail  func([]meta.LogEntry, error) ([]meta.LogEntry, error)
	state func(meta.State) meta.State
	vol   func(meta.Volume) meta.Volume
}

func (u *tampered) Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error) {
	entries, err := u.Upstream.Tail(ctx, after, limit, wait)
	if u.tail != nil {
		return u.tail(entries, err)
	}
	return entries, err
}

func (u *tampered) State(ctx context.Context) (meta.State, error) {
	s, err := u.Upstream.State(ctx)
	if u.state != nil {
		s = u.state(s)
	}
	return s, err
}

func (u *tampered) Volume(ctx context.Context) (meta.Volume, error) {
	v, err := u.Upstream.Volume(ctx)
	if u.vol != nil {
		v = u.vol(v)
	}
	return v, err
}

func TestPromise04NeverAHole(t *testing.T) {
	for _, c := range []struct {
		name   string
		tamper func(u *tampered)
		reason string
		state  string
	}{
		{"record left out", func(u *tampered) {
			u.tail = func(e []meta.LogEntry, err error) ([]meta.LogEntry, error) {
				if len(e) > 5 {
					e = append(e[:3:3], e[4:]...)
				}
				return e, err
			}
		}, "missing", mirror.StateStalled},
		{"log trimmed", func(u *tampered) {
			u.tail = func([]meta.LogEntry, error) ([]meta.LogEntry, error) {
				return nil, &meta.Error{Op: "tail", Err: meta.ErrGap}
			}
		}, "does not continue after", mirror.StateStalled},
		{"record damaged", func(u *tampered) {
			u.tail = func(e []meta.LogEntry, err error) ([]meta.LogEntry, error) {
				if len(e) > 3 {
					raw := append([]byte(nil), e[3].Raw...)
					raw[len(raw)/2] ^= 1
					e = append(e[:3:3], meta.LogEntry{Position: e[3].Position, Raw: raw})
				}
				return e, err
			}
		}, "fails its checksum", mirror.StateStalled},
		{"source restored to an older state", func(u *tampered) {
			u.state = func(s meta.State) meta.State { s.Position.Seq = 1; return s }
			u.tail = func([]meta.LogEntry, error) ([]meta.LogEntry, error) {
				return nil, &meta.Error{Op: "tail", Err: meta.ErrGap}
			}
		}, "behind the", mirror.StateStalled},
		{"another volume", func(u *tampered) {
			u.vol = func(v meta.Volume) meta.Volume { v.ID = "volume-2"; return v }
		}, "another volume", mirror.StateStalled},
		{"fenced source", func(u *tampered) {
			u.state = func(s meta.State) meta.State { s.Role = meta.RoleFenced; return s }
		}, "promoted", mirror.StateFenced},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := modelWorld(t)
			w.add(t)
			stop := start(t, w.config(t))
			w.wait(t)
			stop()
			writer := newChurn(session(t, mustClient(t, w)), seeded(t), "w")
			writer.run(t, 100)
			var repaired atomic.Bool
			cfg := w.config(t)
			cfg.Dial = func(ctx context.Context) (mirror.Upstream, error) {
				src, err := w.upstream(ctx)
				u := &tampered{Upstream: src}
				c.tamper(u)
				return &repairable{tampered: u, repaired: &repaired}, err
			}
			start(t, cfg)
			until(t, "it stops because "+c.reason, func() bool {
				st := w.status(t)
				return st.State == c.state && strings.Contains(st.Reason, c.reason)
			})
			// What is here is served, and equals the source at one position.
			mustBePrefix(t, w)
			repaired.Store(true)
			w.mustBeEqual(t)
			until(t, "it follows again", func() bool { return w.status(t).State == mirror.StateFollowing })
		})
	}
}

// repairable is a tampered source until it is repaired.
type repairable struct {
	*tampered
	repaired *atomic.Bool
}

func (u *repairable) Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error) {
	if u.repaired.Load() {
		return u.Upstream.Tail(ctx, after, limit, wait)
	}
	return u.tampered.Tail(ctx, after, limit, wait)
}

func (u *repairable) State(ctx context.Context) (meta.State, error) {
	if u.repaired.Load() {
		return u.Upstream.State(ctx)
	}
	return u.tampered.State(ctx)
}

func (u *repairable) Volume(ctx context.Context) (meta.Volume, error) {
	if u.repaired.Load() {
		return u.Upstream.Volume(ctx)
	}
	return u.tampered.Volume(ctx)
}

// mustBePrefix replays the source's log into an empty replica up to where the
// mirror stands, and compares.
func mustBePrefix(t testing.TB, w *world) {
	t.Helper()
	here := mustState(t, w.near)
	entries, err := w.source.Tail(t.Context(), meta.Position{}, 1<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	ref := model.NewReplica(nil)
	if err := ref.Reset(t.Context(), mustVolume(t, w.source), meta.State{Chain: meta.EmptyChain}); err != nil {
		t.Fatal(err)
	}
	s, err := ref.Apply(t.Context(), mustState(t, ref), entries[:here.Position.Seq], here.Position)
	if err != nil {
		t.Fatal(err)
	}
	if s != here {
		t.Errorf("the mirror stands at %+v: want %+v", here, s)
	}
	want, got := rows(t, ref), rows(t, w.near)
	if len(want) != len(got) {
		t.Fatalf("%d rows: want %d", len(got), len(want))
	}
	for i := range want {
		if string(want[i]) != string(got[i]) {
			t.Fatalf("row %q: want %q", got[i], want[i])
		}
	}
}
