package metatest

import (
	"crypto/sha1" //nolint:gosec // the sum that engines have
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"mirrorfs/meta"
)

// testCompare compares a source and its replica by sums of ranges, as they are, with every kind of row
// missing in turn, and with it put back.
func testCompare(t *testing.T, cfg Config, seed uint64) {
	f := newFeed(t, cfg)
	f.steps(newGenerator(seed, f.pair), opsOf(t, 1500))
	rng := rand.New(rand.NewPCG(seed, 4))
	f.reset(f.replica, meta.State{Chain: meta.EmptyChain})
	f.catchUp(f.replica, func() int { return 1 + rng.IntN(200) })
	if differ := f.differences(rng, true); len(differ) > 0 {
		t.Fatalf("parts that end at %q differ between a source and its replica", differ)
	}
	all, err := scan(t.Context(), f.source, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	of := map[meta.EffectKind][]meta.Effect{}
	for _, e := range all {
		of[e.Kind] = append(of[e.Kind], e)
	}
	if err := f.replica.Rebase(t.Context(), f.state(f.source)); err != nil {
		t.Fatal(err)
	}
	for kind, rows := range of {
		if kind == meta.EffectInode || kind == meta.EffectSession {
			continue // what hangs on it would be gone too
		}
		e := rows[rng.IntN(len(rows))]
		gone := meta.Gone(e)
		f.load(&gone)
		differ := f.differences(rng, false)
		marks := kind == meta.EffectFreed && len(differ) == 2 && differ[1] > "7" // freed slices are known
		if len(differ) != 1 && !marks || differ[0] <= meta.PlaceOf(&e) {
			t.Fatalf("without the row %c at %q, the parts that end at %q differ", kind, meta.PlaceOf(&e), differ)
		}
		f.load(&e)
		if differ := f.differences(rng, false); len(differ) > 0 {
			t.Fatalf("with the row %c at %q put back, the parts that end at %q differ", kind, meta.PlaceOf(&e), differ)
		}
	}
}

func (f *feed) load(e *meta.Effect) {
	f.t.Helper()
	if err := f.replica.Load(f.t.Context(), meta.AppendEffect(nil, e)); err != nil {
		f.t.Fatalf("load %c: %v", e.Kind, err)
	}
}

// differences gives the ends of the parts that differ. If deep, each sum is made from the rows
// too.
func (f *feed) differences(rng *rand.Rand, deep bool) []meta.Place {
	f.t.Helper()
	ctx := f.t.Context()
	var differ []meta.Place
	for from := meta.PlaceStart; from != meta.PlaceEnd; {
		there, err := f.source.Digest(ctx, from, nil, 1+rng.IntN(500))
		if err != nil || len(there.Parts) == 0 || there.State != f.state(f.source) {
			f.t.Fatalf("digest from %q: %+v, %v", from, there, err)
		}
		var ends []meta.Place
		for _, p := range there.Parts {
			if p.End <= from || len(ends) > 0 && p.End <= ends[len(ends)-1] {
				f.t.Fatalf("parts from %q end at %q, then %q", from, ends, p.End)
			}
			ends = append(ends, p.End)
		}
		here, err := f.replica.Digest(ctx, from, ends, 1000)
		if err != nil || len(here.Parts) != len(ends) {
			f.t.Fatalf("digest from %q of %d parts: %+v, %v", from, len(ends), here, err)
		}
		for i, p := range there.Parts {
			if here.Parts[i] != p {
				differ = append(differ, p.End)
			}
			if deep {
				if got := f.sum(f.source, from, p.End, 1+rng.IntN(50)); got != fmt.Sprintf("%d %x", p.Rows, p.Sum) {
					f.t.Fatalf("the rows from %q to %q sum up to %s, and the digest says %d %x", from, p.End, got, p.Rows, p.Sum)
				}
			}
			from = p.End
		}
	}
	return differ
}

// sum counts and sums up the rows of a range.
func (f *feed) sum(s meta.Comparer, from, to meta.Place, limit int) string {
	f.t.Helper()
	rows := map[string][]byte{}
	for cursor := meta.Cursor(nil); ; {
		b, err := s.Rows(f.t.Context(), from, to, cursor, limit)
		if err != nil {
			f.t.Fatalf("rows from %q to %q: %v", from, to, err)
		}
		effects, err := meta.DecodeEffects(b.Effects)
		if err != nil {
			f.t.Fatal(err)
		}
		for i := range effects {
			if at := meta.PlaceOf(&effects[i]); at < from || at >= to {
				f.t.Fatalf("rows from %q to %q: one at %q", from, to, at)
			}
			rows[meta.RowKey(&effects[i])] = meta.AppendEffect(nil, &effects[i])
		}
		if cursor = b.Next; cursor == nil {
			break
		}
	}
	var a, b uint64
	for _, row := range rows {
		h := sha1.Sum(row) //nolint:gosec // see the import
		a += binary.BigEndian.Uint64(h[:]) >> 16
		b += binary.BigEndian.Uint64(h[6:]) >> 16
	}
	const most = 1<<48 - 1
	return fmt.Sprintf("%d %012x%012x", len(rows), a&most, b&most)
}
