package segments_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/mirror/segments"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// get reads the nth segment.
func (s *source) get(n int) (key string, body []byte) {
	s.t.Helper()
	list, err := s.bucket.List(s.t.Context(), segments.Prefix(volumeID), "", n+1)
	if err != nil || len(list) <= n {
		s.t.Fatalf("%d segments, %v", len(list), err)
	}
	r, err := s.bucket.Get(s.t.Context(), list[n].Key, 0, -1)
	if err != nil {
		s.t.Fatal(err)
	}
	if body, err = io.ReadAll(r); err != nil {
		s.t.Fatal(err)
	}
	return list[n].Key, body
}

func (s *source) put(key string, body []byte) {
	s.t.Helper()
	if err := s.bucket.Put(s.t.Context(), key, body); err != nil {
		s.t.Fatal(err)
	}
}

// A segment in which any byte is wrong, or that is cut, is found out, and not used.
func TestDamagedSegment(t *testing.T) {
	s := newSource(t)
	s.change(40)
	s.flush(s.archiver(s.options()))
	key, body := s.get(1)
	d, err := segments.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		wrong := bytes.Clone(body)
		wrong[i] ^= 0x10
		if _, err := d.Decode(wrong); err == nil && i != 6 && i != 7 {
			t.Errorf("byte %d of %d is wrong, and nobody notices", i, len(body))
		}
		if _, err := d.Decode(body[:i]); err == nil {
			t.Errorf("cut to %d of %d, and nobody notices", i, len(body))
		}
	}
	wrong := bytes.Clone(body)
	wrong[len(wrong)/2] ^= 1
	s.put(key, wrong)
	got, err := s.replay(start())
	var damaged *segments.DamagedError
	if !errors.As(err, &damaged) || damaged.Key != key {
		t.Fatalf("after %d records: %v", len(got), err)
	}
	// One that is right, under another's name.
	_, other := s.get(2)
	s.put(key, other)
	if _, err := s.replay(start()); !errors.As(err, &damaged) || damaged.Key != key {
		t.Errorf("another's segment: %v", err)
	}
	// Another that has the records, in another bucket, will do.
	copied := newSource(t)
	copied.put(key, body)
	a, err := segments.NewArchive(volumeID, s.bucket, copied.bucket)
	if err != nil {
		t.Fatal(err)
	}
	state := start()
	for _, e := range got {
		state.Position = e.Position
		state.Chain, _ = meta.CheckChain(state.Chain, e.Raw)
	}
	if entries, err := a.Tail(t.Context(), state); err != nil || entries[0].Position.Seq != state.Position.Seq+1 {
		t.Errorf("from the other bucket: %v", err)
	}
	if err := s.bucket.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.archive().Tail(t.Context(), state); !errors.Is(err, meta.ErrGap) {
		t.Errorf("a segment is missing: %v", err)
	}
}

// Segments of a history that ended, as of a source that lost its tail, continue no other.
func TestSegmentsOfAnotherHistory(t *testing.T) {
	a, b := newSource(t), newSource(t)
	a.change(30)
	b.made = 1000 // other names
	b.change(60)
	a.flush(a.archiver(a.options()))
	if _, err := b.replayIn(a.bucket); !errors.Is(err, meta.ErrDiverged) {
		t.Errorf("in the other's bucket: %v", err)
	}
	// Both are in one bucket, and each finds its own.
	opts := b.options()
	opts.Bucket = a.bucket
	b.flush(b.archiver(opts))
	for _, s := range []*source{a, b} {
		got, err := s.replayIn(a.bucket)
		if err != nil {
			t.Fatal(err)
		}
		s.mustBe(got, s.log()[forked:])
	}
}

// forked is how many records it takes for two sources in memory to differ: they begin alike.
const forked = 3

// replayIn reads from a bucket what follows those.
func (s *source) replayIn(bucket object.Store) ([]meta.LogEntry, error) {
	from := start()
	for _, e := range s.log()[:forked] {
		from.Position = e.Position
		from.Chain, _ = meta.CheckChain(from.Chain, e.Raw)
	}
	other := &source{Engine: s.Engine, t: s.t, bucket: bucket}
	return other.replay(from)
}

// After a promotion, what the old source wrote and the new one never saw continues the same
// chain. What the new one wrote in its epoch is right.
func TestNewerEpochIsRight(t *testing.T) {
	s := newSource(t)
	s.change(10)
	s.flush(s.archiver(s.options()))
	log := s.log()
	var fork meta.State
	chain := meta.EmptyChain
	for _, e := range log[:5] {
		chain, _ = meta.CheckChain(chain, e.Raw)
		fork = meta.State{Position: e.Position, Chain: chain}
	}
	var promoted segments.Segment
	promoted.Before = chain
	for i := range 3 {
		r := meta.Record{Op: meta.OpReserve, Session: 9}
		e := meta.LogEntry{Position: meta.Position{Epoch: 2, Seq: fork.Position.Seq + uint64(i) + 1}}
		e.Raw, chain = meta.AppendRecord(nil, &r, chain)
		promoted.Entries = append(promoted.Entries, e)
	}
	promoted.After = chain
	body, err := segments.Encode(&promoted)
	if err != nil {
		t.Fatal(err)
	}
	name := segments.Name{First: promoted.Entries[0].Position, Last: promoted.Entries[2].Position, Chain: chain}
	for _, bucket := range []object.Store{s.bucket, mem.New("new")} {
		if err := bucket.PutIfAbsent(t.Context(), segments.Prefix(volumeID)+name.Key(), body); err != nil {
			t.Fatal(err)
		}
		a, err := segments.NewArchive(volumeID, s.bucket, bucket)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Tail(t.Context(), fork); err != nil || got[0].Position.Epoch != 2 {
			t.Errorf("after %s: %v, %v", fork.Position, got, err)
		}
	}
}

func TestForeignObjectsAreLeftAlone(t *testing.T) {
	s := newSource(t)
	s.change(20)
	s.flush(s.archiver(s.options()))
	for _, key := range []string{"x", "000000000000001-1-000000000000001-1-short", "000000000000001-1-000000000000002-1-0123456789abcdef"} {
		s.put(segments.Prefix(volumeID)+key, []byte("foreign"))
	}
	s.put(segments.Prefix("other")+"x", []byte("foreign"))
	got, err := s.replay(start())
	if err != nil {
		t.Fatal(err)
	}
	s.mustBe(got, s.log())
}

// A bucket that fails is no gap.
func TestBucketFails(t *testing.T) {
	a, err := segments.NewArchive(volumeID, denied{mem.New("x")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Tail(t.Context(), start()); !errors.Is(err, object.ErrDenied) || errors.Is(err, meta.ErrGap) {
		t.Errorf("a bucket that may not be listed: %v", err)
	}
}

type denied struct{ object.Store }

func (denied) List(_ context.Context, prefix, _ string, _ int) ([]object.Info, error) {
	return nil, object.Fail("list", prefix, object.ErrDenied)
}
