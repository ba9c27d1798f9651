package segments_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror/segments"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

const volumeID = "volume-1"

// source is a volume that keeps its log, and a bucket for it.
type source struct {
	*model.Engine
	t      *testing.T
	bucket object.Store
	now    time.Time // of segments and records
	made   int
}

func newSource(t *testing.T) *source {
	t.Helper()
	s := &source{t: t, bucket: mem.New("log"), now: time.Unix(1_700_000_000, 0)}
	s.Engine = model.New(meta.Volume{Name: "test", ID: volumeID, LogKeep: time.Hour}, func() time.Time { return s.now })
	if err := s.StartSession(t.Context(), meta.SessionInfo{Kind: "test"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// change makes n changes.
func (s *source) change(n int) {
	s.t.Helper()
	for range n {
		s.made++
		if _, err := s.Change(s.t.Context(), meta.Make{Parent: meta.RootIno, Name: fmt.Sprint(s.made), Mode: meta.TypeFile | 0o644}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// set changes the settings.
func (s *source) set(change func(*meta.Volume)) {
	s.t.Helper()
	v, err := s.Volume(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	change(&v)
	if _, err := s.Change(s.t.Context(), meta.Settings{Volume: v}); err != nil {
		s.t.Fatal(err)
	}
}

// options are for small segments: some ten records each.
func (s *source) options() segments.Options {
	return segments.Options{Log: s.Client(), Bucket: s.bucket, Bytes: 2000, Age: time.Minute, Settle: time.Second, Now: func() time.Time { return s.now }}
}

func (s *source) archiver(opts segments.Options) *segments.Archiver {
	s.t.Helper()
	a, err := segments.NewArchiver(opts)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *source) flush(a *segments.Archiver) segments.Report {
	s.t.Helper()
	r, err := a.Flush(s.t.Context())
	if err != nil {
		s.t.Fatalf("flush: %v", err)
	}
	return r
}

func (s *source) round(a *segments.Archiver) segments.Report {
	s.t.Helper()
	r, err := a.Round(s.t.Context())
	if err != nil {
		s.t.Fatalf("round: %v", err)
	}
	return r
}

func (s *source) state() meta.State {
	s.t.Helper()
	st, err := s.State(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

func (s *source) archived() meta.Archived {
	s.t.Helper()
	at, err := s.Archived(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

func (s *source) archive() *segments.Archive {
	s.t.Helper()
	a, err := segments.NewArchive(volumeID, s.bucket)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *source) summary() segments.Summary {
	s.t.Helper()
	sum, err := s.archive().Summary(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return sum
}

// log is all of the log, as long as nothing is trimmed.
func (s *source) log() []meta.LogEntry {
	s.t.Helper()
	log, err := s.Tail(s.t.Context(), meta.Position{}, 1<<20, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return log
}

// replay reads the archive from a state to its end.
func (s *source) replay(from meta.State) ([]meta.LogEntry, error) {
	s.t.Helper()
	a := s.archive()
	var all []meta.LogEntry
	for {
		entries, err := a.Tail(s.t.Context(), from)
		if (errors.Is(err, meta.ErrGap) || errors.Is(err, meta.ErrDiverged)) && len(all) > 0 {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		for i := range entries {
			chain, ok := meta.CheckChain(from.Chain, entries[i].Raw)
			if !ok || entries[i].Position.Seq != from.Position.Seq+1 {
				s.t.Fatalf("%s does not follow %s", entries[i].Position, from.Position)
			}
			from.Position, from.Chain = entries[i].Position, chain
		}
		all = append(all, entries...)
	}
}

func start() meta.State { return meta.State{Chain: meta.EmptyChain} }

func (s *source) mustBe(got, want []meta.LogEntry) {
	s.t.Helper()
	same := slices.EqualFunc(got, want, func(a, b meta.LogEntry) bool { return a.Position == b.Position && string(a.Raw) == string(b.Raw) })
	if !same {
		s.t.Fatalf("%d records, want %d, or they differ", len(got), len(want))
	}
}

func TestArchiveHasTheLog(t *testing.T) {
	s := newSource(t)
	s.change(100)
	a := s.archiver(s.options())
	r := s.flush(a)
	log := s.log()
	if r.Records != len(log) || r.Segments < 5 || r.Bytes == 0 {
		t.Errorf("of %d records: %+v", len(log), r)
	}
	if at := s.archived(); at.Position != s.state().Position || at.Chain != s.state().Chain {
		t.Errorf("archived up to %+v of %+v", at, s.state())
	}
	got, err := s.replay(start())
	if err != nil {
		t.Fatal(err)
	}
	s.mustBe(got, log)
	if sum := s.summary(); sum.Segments != int64(r.Segments) || sum.Bytes != r.Bytes || sum.First != log[0].Position || sum.Last != s.state().Position {
		t.Errorf("there are %+v", sum)
	}
	if r := s.flush(a); r != (segments.Report{}) {
		t.Errorf("again: %+v", r)
	}
	// From each state on, with any record first.
	from := start()
	for i := range log {
		rest, err := s.archive().Tail(t.Context(), from)
		if err != nil || rest[0].Position != log[i].Position {
			t.Fatalf("after %s: %v", from.Position, err)
		}
		from.Position = log[i].Position
		from.Chain, _ = meta.CheckChain(from.Chain, log[i].Raw)
	}
	if _, err := s.archive().Tail(t.Context(), from); !errors.Is(err, meta.ErrGap) {
		t.Errorf("after the end: %v", err)
	}
}

// What is not due waits, so that segments become large, but not for ever.
func TestRoundWaitsForMore(t *testing.T) {
	s := newSource(t)
	a := s.archiver(s.options())
	s.change(3)
	if r := s.round(a); r.Segments != 0 {
		t.Errorf("at once: %+v", r)
	}
	s.now = s.now.Add(time.Minute)
	if r := s.round(a); r.Segments != 1 || r.Records != len(s.log()) {
		t.Errorf("when it is old: %+v", r)
	}
	s.change(50)
	if r := s.round(a); r.Segments != 0 {
		t.Errorf("before it is settled: %+v", r)
	}
	s.now = s.now.Add(time.Second)
	if r := s.round(a); r.Segments < 2 || r.Records == 50 || s.archived().Position == s.state().Position {
		t.Errorf("when there is more than a segment: %+v", r)
	}
	patient := s.options()
	patient.Patient = true
	p := s.archiver(patient)
	s.change(50)
	s.now = s.now.Add(time.Second)
	if r := s.round(p); r.Segments != 0 {
		t.Errorf("of a patient one: %+v", r)
	}
	s.now = s.now.Add(time.Minute)
	if r := s.round(p); r.Segments < 2 || s.archived().Position != s.state().Position {
		t.Errorf("of a patient one, when it is old: %+v", r)
	}
}

func TestNoArchiveUnlessWanted(t *testing.T) {
	s := newSource(t)
	s.set(func(v *meta.Volume) { v.LogKeep = 0 })
	a := s.archiver(s.options())
	if r := s.flush(a); r != (segments.Report{}) || s.summary().Segments != 0 {
		t.Errorf("of a volume that keeps none: %+v", r)
	}
	s.set(func(v *meta.Volume) { v.LogKeep = time.Hour })
	s.change(20)
	if r := s.flush(a); r.Segments == 0 {
		t.Errorf("of one that keeps them: %+v", r)
	}
	s.set(func(v *meta.Volume) { v.LogKeep = 0 })
	s.now = time.Now() // segments have the bucket's time
	if r := s.flush(a); r.Expired == 0 || s.summary().Segments != 0 || s.archived() != (meta.Archived{}) {
		t.Errorf("of one that keeps them no more: %+v, %+v", r, s.archived())
	}
}

func TestSegmentsExpire(t *testing.T) {
	s := newSource(t)
	s.now = time.Now()
	s.change(20)
	a := s.archiver(s.options())
	s.flush(a)
	before := s.summary().Segments
	s.now = s.now.Add(59 * time.Minute)
	if r := s.round(a); r.Expired != 0 {
		t.Errorf("within their time: %+v", r)
	}
	s.now = s.now.Add(time.Hour)
	if r := s.round(a); int64(r.Expired) != before || s.summary().Segments != 0 {
		t.Errorf("after it: %+v of %d", r, before)
	}
	if s.archived().Position != s.state().Position {
		t.Error("it begins to archive anew")
	}
}

// At a log that does not continue what was archived, all that it holds is archived.
func TestArchiveBeginsAnew(t *testing.T) {
	s := newSource(t)
	a := s.archiver(s.options())
	set := func(to meta.Archived) {
		t.Helper()
		if err := s.SetArchived(t.Context(), s.archived(), to); err != nil {
			t.Fatal(err)
		}
	}
	s.change(30)
	log := s.log()
	for name, wrong := range map[string]meta.Archived{
		"beyond its end":     {Position: meta.Position{Epoch: 1, Seq: 1000}, Chain: strings.Repeat("a", 16)},
		"of another history": {Position: log[10].Position, Chain: strings.Repeat("a", 16)},
	} {
		t.Run(name, func(t *testing.T) {
			set(wrong)
			s.flush(a)
			got, err := s.replay(start())
			if err != nil {
				t.Fatal(err)
			}
			s.mustBe(got, log)
		})
	}
	// What is there of another history goes.
	lost := newSource(t)
	lost.made = 1000
	lost.change(35)
	opts := lost.options()
	opts.Bucket = s.bucket
	lost.flush(lost.archiver(opts))
	set(lost.archived())
	s.flush(a)
	if sum := s.summary(); sum.Last != s.state().Position {
		t.Errorf("there is still %+v", sum)
	}
	if _, err := lost.replayIn(s.bucket); !errors.Is(err, meta.ErrDiverged) {
		t.Errorf("the lost history: %v", err)
	}
	// A log that was trimmed before segments were wanted.
	if _, err := s.TrimLog(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	set(meta.Archived{})
	s.bucket = mem.New("empty")
	a = s.archiver(s.options())
	first, err := s.LogStart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.flush(a)
	if sum := s.summary(); sum.First != first.Position || sum.Last != s.state().Position {
		t.Errorf("the log begins at %s, and there is %+v", first.Position, sum)
	}
	// And one of which nothing is left.
	if _, err := s.TrimLog(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	set(meta.Archived{})
	s.flush(a)
	s.change(5)
	s.flush(a)
	if s.archived().Position != s.state().Position {
		t.Errorf("archived %+v of %+v", s.archived(), s.state())
	}
}

// dying is a bucket whose client dies at some call: nothing that comes after is done.
type dying struct {
	object.Store
	left int
}

var errDied = errors.New("died")

func (d *dying) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	if d.left--; d.left == 0 {
		return errDied // before
	}
	err := d.Store.PutIfAbsent(ctx, key, data)
	if d.left--; d.left == 0 {
		return errDied // after
	}
	return err
}

// An archiver that dies before or after any of its segments is stored leaves nothing that
// harms: the next one goes on.
func TestArchiverDies(t *testing.T) {
	for left := 1; left < 12; left++ {
		s := newSource(t)
		s.change(100)
		opts := s.options()
		opts.Bucket = &dying{Store: s.bucket, left: left}
		if _, err := s.archiver(opts).Flush(t.Context()); !errors.Is(err, errDied) {
			t.Fatalf("it lives: %v", err)
		}
		s.change(7)
		if _, err := s.TrimLog(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		other := s.options()
		other.Bytes = 1500 // other segments
		s.flush(s.archiver(other))
		if s.archived().Position != s.state().Position {
			t.Errorf("archived %+v of %+v", s.archived(), s.state())
		}
		got, err := s.replay(start())
		if err != nil || got[len(got)-1].Position != s.state().Position {
			t.Fatalf("after a death at %d: %d records, %v", left, len(got), err)
		}
	}
}

// Archivers that do not know of each other, as when a claim ran out, store segments that
// overlap; none of them takes away what another has archived.
func TestArchiversAtOnce(t *testing.T) {
	s := newSource(t)
	s.change(200)
	deaf := func() segments.Log { return &deafLog{s.Client()} }
	done := make(chan error)
	const archivers = 4
	for i := range archivers {
		opts := s.options()
		opts.Log, opts.Bytes = deaf(), 1000+300*i
		a := s.archiver(opts)
		go func() {
			for {
				_, err := a.Flush(context.Background())
				if !errors.Is(err, meta.ErrMoved) {
					done <- err
					return
				}
			}
		}()
	}
	for range archivers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if s.archived().Position != s.state().Position {
		t.Errorf("archived %+v of %+v", s.archived(), s.state())
	}
	got, err := s.replay(start())
	if err != nil {
		t.Fatal(err)
	}
	s.mustBe(got, s.log())
}

// deafLog has every claim.
type deafLog struct{ *model.Engine }

func (*deafLog) Claim(context.Context, string, string, time.Duration) (bool, error) { return true, nil }

func TestOneArchiverAtATime(t *testing.T) {
	s := newSource(t)
	s.change(20)
	if mine, err := s.Claim(t.Context(), "archive", "other", time.Hour); err != nil || !mine {
		t.Fatal(err)
	}
	a := s.archiver(s.options())
	if r := s.flush(a); !r.Busy || r.Segments != 0 {
		t.Errorf("beside another: %+v", r)
	}
	if err := s.Unclaim(t.Context(), "archive", "other"); err != nil {
		t.Fatal(err)
	}
	if r := s.flush(a); r.Busy || r.Segments == 0 {
		t.Errorf("alone: %+v", r)
	}
}
