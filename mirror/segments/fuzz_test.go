package segments_test

import (
	"testing"

	"mirrorfs/meta"
	"mirrorfs/mirror/segments"
)

// FuzzDecode gives a decoder anything: it refuses it, or what it gives is a log.
func FuzzDecode(f *testing.F) {
	for _, n := range []int{1, 40} {
		f.Add(sample(f, n))
	}
	d, err := segments.NewDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := d.Decode(b)
		if err != nil {
			return
		}
		for i := 1; i < len(s.Entries); i++ {
			if s.Entries[i].Position.Seq != s.Entries[i-1].Position.Seq+1 {
				t.Errorf("%s follows %s", s.Entries[i].Position, s.Entries[i-1].Position)
			}
		}
		if len(s.Entries) == 0 {
			t.Error("no entries")
		}
		// What it decodes to is what encodes to the same.
		again, err := segments.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if two, err := d.Decode(again); err != nil || len(two.Entries) != len(s.Entries) || two.Before != s.Before || two.After != s.After {
			t.Errorf("encoded and decoded: %v", err)
		}
	})
}

// FuzzName gives the reader of names anything.
func FuzzName(f *testing.F) {
	f.Add("000000000000020-2-000000000000001-1-0123456789abcdef")
	f.Fuzz(func(t *testing.T, key string) {
		n, ok := segments.ParseName(key)
		if ok && (n.Key() != key || n.First.Seq > n.Last.Seq) {
			t.Errorf("%q is read as %+v", key, n)
		}
	})
}

func TestNamesAreInOrder(t *testing.T) {
	at := func(seq uint64) meta.Position { return meta.Position{Epoch: seq/100 + 1, Seq: seq} }
	last := ""
	for _, seq := range []uint64{1, 2, 9, 10, 99, 100, 101, 999_999_999, 1<<48 - 1} {
		for _, chain := range []string{"0000000000000000", "ffffffffffffffff"} {
			key := segments.Name{First: at(1), Last: at(seq), Chain: chain}.Key()
			if key <= last || key > segments.AfterLast(seq) || seq > 1 && key <= segments.AfterLast(seq-1) {
				t.Errorf("%s comes after %s", key, last)
			}
			last = key
		}
	}
}

// sample is a segment of n records.
func sample(t testing.TB, n int) []byte {
	t.Helper()
	var s segments.Segment
	chain := meta.EmptyChain
	s.Before = chain
	for i := range n {
		r := meta.Record{Op: meta.OpReserve, Time: int64(i), Session: 7, Effects: []meta.Effect{{Kind: meta.EffectEntry, Parent: 1, Name: "name", Type: meta.TypeFile, Ino: meta.Ino(i + 2)}}}
		e := meta.LogEntry{Position: meta.Position{Epoch: 1, Seq: uint64(i) + 1}}
		e.Raw, chain = meta.AppendRecord(nil, &r, chain)
		s.Entries = append(s.Entries, e)
	}
	s.After = chain
	b, err := segments.Encode(&s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
