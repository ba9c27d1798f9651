package metatest

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/dump"
)

// busySource is a source that changes between the parts of a scan.
type busySource struct {
	meta.Source
	between func()
}

// Scan does something else first.
func (s *busySource) Scan(ctx context.Context, from meta.Cursor, limit int) (meta.Batch, error) {
	s.between()
	return s.Source.Scan(ctx, from, limit)
}

// testDump dumps a volume while it changes, loads that elsewhere, and goes on there as with
// the volume itself.
func testDump(t *testing.T, cfg Config, seed uint64) {
	f := newFeed(t, cfg)
	to, ok := f.replica.(dump.Target)
	if !ok {
		t.Fatalf("%T is no dump.Target", f.replica)
	}
	g := newGenerator(seed, f.pair)
	f.steps(g, opsOf(t, 1500))
	rng := rand.New(rand.NewPCG(seed, 4))
	parts := 0
	busy := &busySource{Source: f.source, between: func() {
		// A scan of few rows at a time would never end if the volume grew as fast throughout.
		if parts++; parts <= 200 {
			f.steps(g, rng.IntN(12))
		}
	}}
	opts := dump.Options{Rows: 1 + rng.IntN(60), Records: 1 + rng.IntN(10)}
	var file bytes.Buffer
	wrote, err := dump.Write(t.Context(), &file, busy, opts)
	if err != nil {
		t.Fatalf("dump: %v", err)
	}
	checked, err := dump.Verify(t.Context(), bytes.NewReader(file.Bytes()), opts)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	open := func(context.Context, meta.Volume) (dump.Target, error) { return to, nil }
	loaded, err := dump.Load(t.Context(), &file, open, opts)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	if wrote != checked || wrote != loaded {
		t.Errorf("wrote %+v\nverified %+v\nloaded %+v", wrote, checked, loaded)
	}
	if got, want := f.state(f.replica), f.state(f.source); got != want {
		t.Fatalf("the state was %+v, and is after a load %+v", want, got)
	}
	f.same(f.replica)
	// It is a source now.
	if err := f.replica.StartSession(t.Context(), sessionInfo()); err != nil {
		t.Fatalf("a session after the load: %v", err)
	}
	made, err := f.replica.Change(t.Context(), meta.SetAttr{Ino: root, Set: meta.SetMode, Mode: 0o711})
	if err != nil || made.Position.Seq != loaded.Position.Seq+2 {
		t.Fatalf("a change after the load: %+v, %v", made.Position, err)
	}
	if problems := checkRows(t, f.replica); problems != "" {
		t.Fatalf("rows after that: %s", problems)
	}
}
