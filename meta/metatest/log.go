package metatest

import (
	"errors"
	"strings"
	"time"

	"mirrorfs/meta"
)

// keepLog says how the log of a feed's source is kept.
func (f *feed) keepLog(keep time.Duration, bytes int64) {
	f.t.Helper()
	v, err := f.source.Volume(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	v.LogKeep, v.LogBytes = keep, bytes
	if diff := f.pair.change(f.t.Context(), meta.Settings{Volume: v}); diff != "" {
		f.t.Fatal(diff)
	}
}

// archived moves up to where the log is archived.
func (f *feed) archived(to meta.Archived) {
	f.t.Helper()
	from, err := f.source.Archived(f.t.Context())
	if err == nil {
		err = f.source.SetArchived(f.t.Context(), from, to)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func testArchived(f *feed) {
	t, ctx := f.t, f.t.Context()
	f.made("a", "b", "c")
	log := f.entries()
	is := func(want meta.Archived) {
		t.Helper()
		if got, err := f.source.Archived(ctx); err != nil || got != want {
			t.Errorf("archived: %+v, %v; want %+v", got, err, want)
		}
	}
	none, one := meta.Archived{}, meta.Archived{Position: log[0].Position}
	two := meta.Archived{Position: log[1].Position, Chain: strings.Repeat("a", len(meta.EmptyChain))}
	before := f.state(f.source)
	is(none)
	f.archived(one)
	is(one)
	if err := f.source.SetArchived(ctx, none, two); !errors.Is(err, meta.ErrMoved) {
		t.Errorf("from where it is not: %v", err)
	}
	is(one)
	f.archived(two)
	is(two)
	if err := f.source.SetArchived(ctx, one, two); err != nil {
		t.Errorf("made again: %v", err)
	}
	f.archived(none)
	is(none)
	if after := f.state(f.source); after != before {
		t.Errorf("archiving moved the log from %+v to %+v", before, after)
	}
	// What a site archived as a source is nothing to the replica that it becomes.
	f.reset(f.replica, meta.State{Chain: meta.EmptyChain})
	if err := f.replica.SetArchived(ctx, none, two); err != nil {
		t.Fatal(err)
	}
	f.reset(f.replica, meta.State{Chain: meta.EmptyChain})
	if got, err := f.replica.Archived(ctx); err != nil || got != none {
		t.Errorf("archived after a reset: %+v, %v", got, err)
	}
}

// A log that is kept is not trimmed before it is archived, and over a limit although a
// mirror lacks it.
func testTrimArchived(f *feed) {
	t, ctx := f.t, f.t.Context()
	f.keepLog(time.Hour, 0)
	f.made("a", "b", "c", "d", "e", "f", "g", "h")
	log := f.entries()
	trim := func(keep, left int) {
		t.Helper()
		if _, err := f.source.TrimLog(ctx, keep); err != nil {
			t.Fatal(err)
		}
		first, err := f.source.LogStart(ctx)
		if left == len(log) {
			if !errors.Is(err, meta.ErrGap) {
				t.Errorf("the log begins at %v, %v; want it empty", first.Position, err)
			}
			return
		}
		if err != nil || first.Position != log[left].Position || string(first.Raw) != string(log[left].Raw) {
			t.Errorf("the log begins at %v, %v; want %v", first.Position, err, log[left].Position)
		}
	}
	trim(0, 0)
	f.archived(meta.Archived{Position: log[3].Position})
	trim(len(log)-2, 2)
	trim(0, 4)
	f.archived(meta.Archived{Position: log[7].Position})
	if err := f.source.Acknowledge(ctx, meta.MirrorState{Site: 2, Name: "m", Applied: log[4].Position}); err != nil {
		t.Fatal(err)
	}
	trim(0, 5)
	f.keepLog(time.Hour, 1<<30) // far from full
	trim(0, 5)
	f.keepLog(time.Hour, 1)
	log = f.pastTrimmed(log)
	trim(100, 8)
	// Nothing of this holds a volume back that keeps no log.
	f.keepLog(0, 1)
	log = f.pastTrimmed(log)
	trim(0, 8)
	if err := f.source.ForgetMirror(ctx, 2); err != nil {
		t.Fatal(err)
	}
	trim(0, len(log))
	f.made("after")
	if diff := f.pair.compareAll(t); diff != "" {
		t.Error(diff)
	}
}

// pastTrimmed adds the records made since.
func (f *feed) pastTrimmed(log []meta.LogEntry) []meta.LogEntry {
	f.t.Helper()
	more, err := f.source.Tail(f.t.Context(), log[len(log)-1].Position, 100, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return append(log, more...)
}

func testClaims(f *feed) {
	t, ctx := f.t, f.t.Context()
	c, ok := f.pair.engine.(meta.Claims)
	if !ok {
		t.Fatal("the engine is no meta.Claims")
	}
	claim := func(name, owner string, want bool) {
		t.Helper()
		if got, err := c.Claim(ctx, name, owner, time.Hour); err != nil || got != want {
			t.Errorf("%s claims %s: %v, %v; want %v", owner, name, got, err, want)
		}
	}
	unclaim := func(name, owner string) {
		t.Helper()
		if err := c.Unclaim(ctx, name, owner); err != nil {
			t.Errorf("%s unclaims %s: %v", owner, name, err)
		}
	}
	before := f.state(f.source)
	claim("x", "a", true)
	claim("x", "b", false)
	claim("y", "b", true)
	claim("x", "a", true)
	unclaim("x", "b")
	claim("x", "b", false)
	unclaim("x", "a")
	unclaim("x", "a")
	claim("x", "b", true)
	// One that is not prolonged ends by itself.
	if got, err := c.Claim(ctx, "z", "a", time.Millisecond); err != nil || !got {
		t.Errorf("claim: %v, %v", got, err)
	}
	deadline := time.Now().Add(time.Minute)
	for free := false; !free; {
		f.pair.clock.advance(time.Millisecond)
		var err error
		if free, err = c.Claim(ctx, "z", "b", time.Hour); err != nil || !free && time.Now().After(deadline) {
			t.Fatalf("a claim does not end: %v, %v", free, err)
		}
	}
	if after := f.state(f.source); after != before {
		t.Errorf("claims moved the log to %+v", after)
	}
}
