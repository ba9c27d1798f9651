package metatest

import (
	"errors"
	"syscall"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
)

// testFailover exchanges a source and its replica, and back to where each refuses what it
// must.
func testFailover(f *feed) {
	t, ctx := f.t, f.t.Context()
	old, ok := f.pair.engine.(Replica)
	if !ok {
		t.Skip("the source cannot be fenced")
	}
	f.made("a", "b")
	independent := Replica(model.NewReplica(f.pair.clock.now))
	for _, r := range []Replica{f.replica, independent} {
		f.reset(r, meta.State{Chain: meta.EmptyChain})
		f.catchUp(r, func() int { return 100 })
	}
	before := f.state(old)
	testFence(f, old)
	if got := f.state(old); got != before {
		t.Fatalf("after a fence that was taken back the state is %+v, and was %+v", got, before)
	}
	fenced, err := old.Fence(ctx, "for good", "")
	before.Role = meta.RoleFenced
	if err != nil || fenced != before {
		t.Fatalf("fence: %+v, %v, want %+v", fenced, err, before)
	}

	v, err := f.source.Volume(ctx)
	if err != nil {
		t.Fatal(err)
	}
	skip := meta.Skip{Inodes: 1 << 20, Slices: 1 << 32}
	v.Source, v.Promotions = 2, []meta.Promotion{{Epoch: 2, Site: 2, From: 1, After: before.Position, Chain: before.Chain}}
	moved := f.state(f.replica)
	moved.Position.Seq--
	if _, err := f.replica.Promote(ctx, moved, v, skip); !errors.Is(err, meta.ErrMoved) {
		t.Errorf("promotion at another state: %v", err)
	}
	if _, err := f.replica.Promote(ctx, f.state(f.replica), v, meta.Skip{Slices: 1 << 48}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("promotion beyond all numbers: %v", err)
	}
	if _, err := old.Promote(ctx, before, v, skip); !errors.Is(err, meta.ErrReadOnly) {
		t.Errorf("promotion of a fenced source: %v", err)
	}
	var promoted [2]meta.State
	for i, r := range []Replica{f.replica, independent} {
		at := f.state(r)
		for range 2 { // the second finds it done
			if promoted[i], err = r.Promote(ctx, at, v, skip); err != nil {
				t.Fatalf("promote: %v", err)
			}
		}
	}
	want := before
	want.Role, want.Position, want.Chain = meta.RoleSource, meta.Position{Epoch: 2, Seq: before.Position.Seq + 1}, promoted[0].Chain
	want.NextIno, want.NextSlice = before.NextIno+skip.Inodes, before.NextSlice+skip.Slices
	if promoted[0] != want || promoted[1] != want {
		t.Errorf("promoted to %+v and %+v, want %+v", promoted[0], promoted[1], want)
	}
	if got, err := f.replica.Volume(ctx); err != nil || got.SourceSite() != 2 || len(got.Promotions) != 1 {
		t.Errorf("settings of the promoted: %+v, %v", got, err)
	}
	testNewSource(f, old, before)
}

// testFence fences a source and takes it back.
func testFence(f *feed, old Replica) {
	t, ctx := f.t, f.t.Context()
	at := f.state(old)
	for _, note := range []string{"first", "first"} {
		if s, err := old.Fence(ctx, note, ""); err != nil || s.Role != meta.RoleFenced || s.Position != at.Position {
			t.Fatalf("fence: %+v, %v", s, err)
		}
	}
	if local, err := old.Local(ctx); err != nil || local[meta.LocalFence] != "first" {
		t.Errorf("the note is %q, %v", local[meta.LocalFence], err)
	}
	for _, c := range []meta.Change{
		meta.Make{Parent: root, Name: "c", Mode: meta.TypeFile}, meta.Settings{}, meta.EndOtherSession{ID: 1, Force: true}, meta.Reserve{Count: 1},
	} {
		if _, err := f.pair.engine.Change(ctx, c); !errors.Is(err, meta.ErrFenced) || !errors.Is(err, syscall.EROFS) {
			t.Errorf("%#v at a fenced source: %v", c, err)
		}
	}
	if _, err := old.Lookup(ctx, root, "a"); err != nil {
		t.Errorf("a question to a fenced source: %v", err)
	}
	if _, err := old.Fence(ctx, "second", "another"); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("a fence over one that was not seen: %v", err)
	}
	if _, err := old.Fence(ctx, "second", "first"); err != nil {
		t.Errorf("a fence over one that was seen: %v", err)
	}
	if err := old.Unfence(ctx, at, "first"); !errors.Is(err, meta.ErrMoved) {
		t.Errorf("an end of another's fence: %v", err)
	}
	wrong := at
	wrong.Chain = "0123456789abcdef"
	if err := old.Unfence(ctx, wrong, "second"); !errors.Is(err, meta.ErrMoved) {
		t.Errorf("an end of a fence at another state: %v", err)
	}
	for range 2 {
		if err := old.Unfence(ctx, at, "second"); err != nil {
			t.Errorf("unfence: %v", err)
		}
	}
	if local, err := old.Local(ctx); err != nil || local[meta.LocalFence] != "" {
		t.Errorf("the note of a fence that is over: %q, %v", local[meta.LocalFence], err)
	}
	if _, err := f.replica.Fence(ctx, "x", ""); !errors.Is(err, meta.ErrReadOnly) {
		t.Errorf("fence of a mirror: %v", err)
	}
}

// testNewSource changes the new source, and lets the old one follow.
func testNewSource(f *feed, old Replica, fenced meta.State) {
	t, ctx := f.t, f.t.Context()
	known, ok := f.replica.(meta.Purger)
	if !ok {
		t.Fatalf("%T is no meta.Purger", f.replica)
	}
	alive, err := known.Sessions(ctx)
	if err != nil || len(alive) == 0 {
		t.Fatalf("sessions of the new source: %v, %v", alive, err)
	}
	for _, s := range alive {
		if !s.Expires.After(f.pair.clock.now()) {
			t.Errorf("session %d was carried over and is dead since %v", s.ID, s.Expires)
		}
	}
	if err := f.replica.StartSession(ctx, sessionInfo()); err != nil {
		t.Fatalf("a session at the new source: %v", err)
	}
	made, err := f.replica.Change(ctx, meta.Make{Parent: root, Name: "new", Mode: meta.TypeFile | 0o644})
	if err != nil || made.Node.Ino < fenced.NextIno+1<<20 || made.Position.Epoch != 2 {
		t.Errorf("a file of the new source: %+v, %v", made, err)
	}
	if err := old.Acknowledge(ctx, meta.MirrorState{Site: 2, Name: "b"}); err != nil {
		t.Fatal(err)
	}
	wrong := fenced
	wrong.Position.Seq++
	if err := old.Demote(ctx, wrong); !errors.Is(err, meta.ErrMoved) {
		t.Errorf("demotion at another state: %v", err)
	}
	if err := f.replica.Demote(ctx, f.state(f.replica)); !errors.Is(err, meta.ErrReadOnly) {
		t.Errorf("demotion of a source: %v", err)
	}
	for range 2 {
		if err := old.Demote(ctx, fenced); err != nil {
			t.Fatalf("demote: %v", err)
		}
	}
	if told, err := old.Mirrors(ctx); err != nil || len(told) != 0 {
		t.Errorf("mirrors that a mirror knows: %v, %v", told, err)
	}
	entries, err := f.replica.Tail(ctx, fenced.Position, 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	end, err := old.Apply(ctx, f.state(old), entries, meta.Position{})
	if err != nil {
		t.Fatal(err)
	}
	want := f.state(f.replica)
	if want.Role = meta.RoleMirror; end != want {
		t.Errorf("the old source stands at %+v, want %+v", end, want)
	}
	a, errA := scan(ctx, f.replica, 100, nil)
	b, errB := scan(ctx, old, 100, nil)
	if diff := firstDifference(renderRows(a), renderRows(b)); diff != "" || errA != nil || errB != nil {
		t.Errorf("rows differ, new source first: %s (%v, %v)", diff, errA, errB)
	}
}
