package segments_test

import (
	"errors"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror/segments"
)

// replica is an empty one that a log can be replayed into from its beginning.
func (s *source) replica() *model.Engine {
	s.t.Helper()
	v, err := s.Volume(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	r := model.NewReplica(nil)
	if err := r.Reset(s.t.Context(), v, start()); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// Whatever part of a log is in segments and whatever part is not, a replay ends exactly where
// it is to: at any position, and before the first record that is later than any time.
func TestReplayEndsAtItsLimit(t *testing.T) {
	s := newSource(t)
	for range 30 {
		s.now = s.now.Add(time.Second)
		s.change(1)
	}
	s.flush(s.archiver(s.options()))
	for range 10 {
		s.now = s.now.Add(time.Second)
		s.change(1)
	}
	for _, e := range s.log() {
		ns, _ := meta.RecordTime(e.Raw)
		r := s.replica()
		got, err := segments.Replay(t.Context(), r, start(), segments.Limit{Position: e.Position}, s.archive(), segments.LogOf(s))
		if err != nil || got.State.Position != e.Position || !got.Time.Equal(time.Unix(0, ns)) || got.AtEnd || got.Records != int64(e.Position.Seq) {
			t.Fatalf("to %s: %+v, %v", e.Position, got, err)
		}
		if st, err := r.State(t.Context()); err != nil || st.Position != e.Position {
			t.Errorf("to %s: the replica is at %s, %v", e.Position, st.Position, err)
		}
	}
	last := s.log()[len(s.log())-1].Position
	for seconds := range 40 {
		at := s.now.Add(-time.Duration(seconds) * time.Second)
		got, err := segments.Replay(t.Context(), s.replica(), start(), segments.Limit{Time: at.Add(time.Millisecond)}, s.archive(), segments.LogOf(s))
		if want := last.Seq - uint64(seconds); err != nil || got.State.Position.Seq != want || !got.Time.Equal(at) || got.AtEnd != (seconds == 0) {
			t.Fatalf("%d s before the end: %+v, %v; want %d", seconds, got, err, want)
		}
	}
	got, err := segments.Replay(t.Context(), s.replica(), start(), segments.Limit{}, s.archive())
	if err != nil || !got.AtEnd || got.State.Position != s.archived().Position {
		t.Errorf("of segments alone: %+v, %v", got, err)
	}
	if _, err := segments.Replay(t.Context(), s.replica(), start(), segments.Limit{Position: last}, s.archive()); !errors.Is(err, segments.ErrNotReached) {
		t.Errorf("to a position that is in no segment: %v", err)
	}
	none := meta.Position{Epoch: 2, Seq: 5}
	if _, err := segments.Replay(t.Context(), s.replica(), start(), segments.Limit{Position: none}, s.archive(), segments.LogOf(s)); !errors.Is(err, segments.ErrNotReached) {
		t.Errorf("to a position of another epoch: %v", err)
	}
}

// A log of another history than what was loaded is not replayed.
func TestReplayOfAnotherHistory(t *testing.T) {
	a, b := newSource(t), newSource(t)
	a.change(10)
	b.made = 1000
	b.change(20)
	from := meta.State{Chain: meta.EmptyChain}
	r := a.replica()
	log := a.log()
	from, err := r.Apply(t.Context(), from, log[:8], meta.Position{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := segments.Replay(t.Context(), r, from, segments.Limit{}, segments.LogOf(b))
	if !errors.Is(err, meta.ErrDiverged) || got.State.Position != log[7].Position {
		t.Errorf("another's log: %+v, %v", got, err)
	}
}
