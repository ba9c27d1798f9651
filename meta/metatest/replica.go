package metatest

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
)

// RunReplica runs the part of the suite that is about replicas only.
func RunReplica(t *testing.T, cfg Config) {
	if cfg.NewReplica == nil {
		t.Skip("there is no replica")
	}
	t.Run("Replay", func(t *testing.T) {
		newPlan(t, 1, 2, 1500).eachSeed(t, func(t *testing.T, seed uint64) { testReplay(t, cfg, seed) })
	})
	t.Run("FuzzyCopy", func(t *testing.T) {
		newPlan(t, 1, 2, 1500).eachSeed(t, func(t *testing.T, seed uint64) { testFuzzyCopy(t, cfg, seed) })
	})
	t.Run("Compare", func(t *testing.T) {
		newPlan(t, 1, 1, 1000).eachSeed(t, func(t *testing.T, seed uint64) { testCompare(t, cfg, seed) })
	})
	t.Run("Dump", func(t *testing.T) {
		newPlan(t, 1, 2, 1500).eachSeed(t, func(t *testing.T, seed uint64) { testDump(t, cfg, seed) })
	})
	for name, run := range map[string]func(*feed){
		"ApplyRefuses":  testApplyRefuses,
		"Bootstrapping": testBootstrapping,
		"NoChanges":     testNoChanges,
		"SourceRefuses": testSourceRefuses,
		"Records":       testRecords,
		"Tail":          testTail,
		"TrimLog":       testTrimLog,
		"Archived":      testArchived,
		"TrimArchived":  testTrimArchived,
		"Claims":        testClaims,
		"Mirrors":       testMirrors,
		"Local":         testLocal,
		"Failover":      testFailover,
	} {
		t.Run(name, func(t *testing.T) { run(newFeed(t, cfg)) })
	}
}

// feed is a source with a replica of it.
type feed struct {
	t       *testing.T
	pair    *pair
	source  meta.Source
	replica Replica
}

func newFeed(t *testing.T, cfg Config) *feed {
	t.Helper()
	p := newPair(t, cfg, nil)
	source, ok := p.engine.(meta.Source)
	if !ok {
		t.Fatalf("%T is no meta.Source", p.engine)
	}
	return &feed{t: t, pair: p, source: source, replica: cfg.NewReplica(t, p.clock.now)}
}

// steps runs random steps, which must not fail.
func (f *feed) steps(g *generator, n int) {
	f.t.Helper()
	for range n {
		s := g.step()
		if diff := f.pair.do(f.t.Context(), &s); diff != "" {
			f.t.Fatalf("%v: %s", s, diff)
		}
	}
}

func (f *feed) state(s interface {
	State(ctx context.Context) (meta.State, error)
},
) meta.State {
	f.t.Helper()
	state, err := s.State(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return state
}

// reset empties a replica, to begin at a state of the source.
func (f *feed) reset(r meta.Replica, from meta.State) {
	f.t.Helper()
	v, err := f.source.Volume(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if err := r.Reset(f.t.Context(), v, from); err != nil {
		f.t.Fatalf("reset: %v", err)
	}
	got := f.state(r)
	if from.Role = meta.RoleBootstrapping; got != from {
		f.t.Fatalf("after reset the state is %+v, want %+v", got, from)
	}
}

// catchUp applies what follows in the log, in batches, up to the source's position,
// which is also the target.
func (f *feed) catchUp(r meta.Replica, batch func() int) {
	f.t.Helper()
	ctx, state, end := f.t.Context(), f.state(r), f.state(f.source)
	for state.Position != end.Position {
		entries, err := f.source.Tail(ctx, state.Position, batch(), 0)
		if err != nil || len(entries) == 0 {
			f.t.Fatalf("tail after %v: %d entries, %v", state.Position, len(entries), err)
		}
		role := state.Role
		if state, err = r.Apply(ctx, state, entries, end.Position); err != nil {
			f.t.Fatalf("apply: %v", err)
		}
		if want := entries[len(entries)-1].Position; state.Position != want {
			f.t.Fatalf("applied up to %v, and the state says %v", want, state.Position)
		}
		if reached := state.Position == end.Position; role == meta.RoleBootstrapping && (state.Role == meta.RoleMirror) != reached {
			f.t.Fatalf("at %v of %v the role is %c", state.Position, end.Position, state.Role)
		}
	}
	if state.Role = end.Role; state != end {
		f.t.Fatalf("the replica's state is %+v, the source's %+v", state, end)
	}
}

// same compares all rows of a site with the source's, and looks whether they agree
// with each other.
func (f *feed) same(r meta.Source) {
	f.t.Helper()
	want, err := scan(f.t.Context(), f.source, 1000, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	got, err := scan(f.t.Context(), r, 100, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if a, b := renderRows(want), renderRows(got); a != b {
		f.t.Fatalf("rows differ, source first: %s", firstDifference(a, b))
	}
	if problems := checkRows(f.t, r); problems != "" {
		f.t.Fatalf("rows of the replica: %s", problems)
	}
	if e, ok := r.(meta.Engine); ok {
		if diff := firstDifference(renderTree(f.t.Context(), f.pair.model), renderTree(f.t.Context(), e)); diff != "" {
			f.t.Fatalf("trees: %s", diff)
		}
	}
}

// testReplay replays a whole log into an empty replica, and into a model.
func testReplay(t *testing.T, cfg Config, seed uint64) {
	f := newFeed(t, cfg)
	f.steps(newGenerator(seed, f.pair), opsOf(t, 1500))
	rng := rand.New(rand.NewPCG(seed, 2))
	independent := model.NewReplica(f.pair.clock.now)
	for _, r := range []Replica{f.replica, independent} {
		f.reset(r, meta.State{Chain: meta.EmptyChain})
		f.catchUp(r, func() int { return 1 + rng.IntN(200) })
		f.same(r)
	}
	if cfg.SameKeys != nil {
		cfg.SameKeys(t, f.pair.engine, f.replica)
	}
}

// testFuzzyCopy copies a volume while it changes, and then replays what happened.
func testFuzzyCopy(t *testing.T, cfg Config, seed uint64) {
	f := newFeed(t, cfg)
	g := newGenerator(seed, f.pair)
	f.steps(g, opsOf(t, 1500))
	ctx, rng := t.Context(), rand.New(rand.NewPCG(seed, 3))
	for range 2 { // the second time, the replica has something to forget
		f.reset(f.replica, f.state(f.source))
		var cursor meta.Cursor
		for {
			batch, err := f.source.Scan(ctx, cursor, 1+rng.IntN(60))
			if err != nil {
				t.Fatal(err)
			}
			// A load that is repeated changes nothing.
			for range 1 + rng.IntN(2) {
				if err := f.replica.Load(ctx, batch.Effects); err != nil {
					t.Fatal(err)
				}
			}
			if cursor = batch.Next; cursor == nil {
				break
			}
			f.steps(g, rng.IntN(12))
		}
		f.catchUp(f.replica, func() int { return 1 + rng.IntN(50) })
		f.same(f.replica)
		f.steps(g, 100)
		f.catchUp(f.replica, func() int { return 1 + rng.IntN(10) })
		f.same(f.replica)
	}
}

// entries gives the whole log.
func (f *feed) entries() []meta.LogEntry {
	f.t.Helper()
	entries, err := f.source.Tail(f.t.Context(), meta.Position{}, 1000, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return entries
}

func (f *feed) made(names ...string) {
	f.t.Helper()
	for _, name := range names {
		if diff := f.pair.change(f.t.Context(), meta.Make{Parent: root, Name: name, Mode: meta.TypeFile | 0o644}); diff != "" {
			f.t.Fatal(diff)
		}
	}
}

// testApplyRefuses gives a replica what it must not apply. After each refusal it is
// as before.
func testApplyRefuses(f *feed) {
	t, ctx := f.t, f.t.Context()
	f.made("a", "b", "c", "d")
	log := f.entries()
	f.reset(f.replica, meta.State{Chain: meta.EmptyChain})
	state, err := f.replica.Apply(ctx, f.state(f.replica), log[:3], meta.Position{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := scan(ctx, f.replica, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	broken := func(i, at int) meta.LogEntry {
		e := meta.LogEntry{Position: log[i].Position, Raw: append([]byte(nil), log[i].Raw...)}
		e.Raw[at] ^= 1
		return e
	}
	older, other := state, state
	older.Position.Seq--
	other.Chain = "0123456789abcdef"
	later := log[3]
	later.Position.Seq++
	for name, c := range map[string]struct {
		from    meta.State
		entries []meta.LogEntry
		want    error
	}{
		"applied already":       {older, log[2:4], meta.ErrMoved},
		"another history":       {other, log[3:4], meta.ErrMoved},
		"from zero again":       {meta.State{Chain: meta.EmptyChain}, log[:3], meta.ErrMoved},
		"a gap":                 {state, log[4:], meta.ErrGap},
		"a gap inside":          {state, []meta.LogEntry{log[3], log[5]}, meta.ErrGap},
		"a repetition":          {state, log[2:], meta.ErrGap},
		"another position":      {state, []meta.LogEntry{later}, meta.ErrGap},
		"a changed byte":        {state, []meta.LogEntry{broken(3, 30)}, meta.ErrDiverged},
		"a changed sum":         {state, []meta.LogEntry{broken(3, len(log[3].Raw)-1)}, meta.ErrDiverged},
		"a changed byte, later": {state, []meta.LogEntry{log[3], broken(4, 60)}, meta.ErrDiverged},
		"a short record":        {state, []meta.LogEntry{{Position: log[3].Position, Raw: log[3].Raw[:20]}}, meta.ErrDiverged},
		"nothing":               {state, []meta.LogEntry{{Position: log[3].Position}}, meta.ErrDiverged},
	} {
		if _, err := f.replica.Apply(ctx, c.from, c.entries, meta.Position{}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		after, err := scan(ctx, f.replica, 100, nil)
		if err != nil || renderRows(after) != renderRows(before) || f.state(f.replica) != state {
			t.Fatalf("%s: the replica is not what it was: state %+v, %v", name, f.state(f.replica), err)
		}
	}
	if same, err := f.replica.Apply(ctx, state, nil, meta.Position{}); err != nil || same != state {
		t.Errorf("no entries: %+v, %v", same, err)
	}
	f.catchUp(f.replica, func() int { return 2 })
	f.same(f.replica)
}

// testBootstrapping reads a replica whose first copy is not complete: under a view it
// has reached nothing, whatever its position.
func testBootstrapping(f *feed) {
	t, ctx := f.t, f.t.Context()
	f.made("a", "b")
	var observed int
	views := map[string]meta.Reader{
		"observed": f.replica.View(meta.ViewOptions{Observe: func(meta.Position) { observed++ }}),
		"at least": f.replica.View(meta.ViewOptions{AtLeast: meta.Position{Epoch: 1, Seq: 1}}),
	}
	f.reset(f.replica, f.state(f.source))
	for name, view := range views {
		if _, err := view.StatFS(ctx); !errors.Is(err, meta.ErrBehind) || observed > 0 {
			t.Errorf("%s, during bootstrap: %v, %d times", name, err, observed)
		}
	}
	batch, err := f.source.Scan(ctx, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	for err = f.replica.Load(ctx, batch.Effects); err == nil && batch.Next != nil; err = f.replica.Load(ctx, batch.Effects) {
		if batch, err = f.source.Scan(ctx, batch.Next, 1); err != nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	f.made("c")
	f.catchUp(f.replica, func() int { return 1 })
	for name, view := range views {
		if _, err := view.Lookup(ctx, root, "c"); err != nil {
			t.Errorf("%s, after bootstrap: %v", name, err)
		}
	}
	f.same(f.replica)
}

// testNoChanges sends changes to a replica.
func testNoChanges(f *feed) {
	t, ctx := f.t, f.t.Context()
	f.made("a")
	f.reset(f.replica, meta.State{Chain: meta.EmptyChain})
	f.catchUp(f.replica, func() int { return 100 })
	if err := f.replica.StartSession(ctx, sessionInfo()); !errors.Is(err, meta.ErrReadOnly) {
		t.Errorf("a session at a replica: %v", err)
	}
	for _, c := range []meta.Change{
		meta.Make{Parent: root, Name: "b", Mode: meta.TypeFile}, meta.Settings{}, meta.EndOtherSession{ID: 1, Force: true}, meta.Reserve{Count: 1},
	} {
		if _, err := f.replica.Change(ctx, c); !errors.Is(err, meta.ErrReadOnly) || !errors.Is(err, syscall.EROFS) {
			t.Errorf("%#v at a replica: %v", c, err)
		}
	}
	// Load is for bootstrap only.
	e := meta.Effect{Kind: meta.EffectSetting, Name: "x"}
	if err := f.replica.Load(ctx, meta.AppendEffect(nil, &e)); !errors.Is(err, meta.ErrReadOnly) {
		t.Errorf("load into a mirror: %v", err)
	}
	f.same(f.replica)
}

// testSourceRefuses treats a source as a replica.
func testSourceRefuses(f *feed) {
	r, ok := f.pair.engine.(meta.Replica)
	if !ok {
		f.t.Skip("the source cannot be a replica")
	}
	f.made("a")
	state := f.state(r)
	if err := r.Reset(f.t.Context(), meta.Volume{Name: "test"}, state); !errors.Is(err, meta.ErrReadOnly) {
		f.t.Errorf("reset: %v", err)
	}
	if err := r.Load(f.t.Context(), nil); err != nil && !errors.Is(err, meta.ErrReadOnly) {
		f.t.Errorf("load: %v", err)
	}
	if _, err := r.Apply(f.t.Context(), state, nil, meta.Position{}); !errors.Is(err, meta.ErrReadOnly) {
		f.t.Errorf("apply: %v", err)
	}
	if after := f.state(r); after != state {
		f.t.Errorf("the state was %+v, is %+v", state, after)
	}
	if diff := f.pair.compareAll(f.t); diff != "" {
		f.t.Error(diff)
	}
}
