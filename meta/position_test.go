package meta_test

import (
	"encoding/json"
	"testing"

	"mirrorfs/meta"
)

func TestParsePosition(t *testing.T) {
	for text, want := range map[string]meta.Position{
		"0-0":                             {},
		"1-1042":                          {Epoch: 1, Seq: 1042},
		"281474976710655-281474976710655": {Epoch: 1<<48 - 1, Seq: 1<<48 - 1},
	} {
		if got, err := meta.ParsePosition(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-", "1", "1-", "-1", "1-1-1", "01-1", "1-01", "+1-1", "1- 1", "1_0-1", "281474976710656-1", "1-281474976710656"} {
		if got, err := meta.ParsePosition(text); err == nil {
			t.Errorf("%q: accepted as %v", text, got)
		}
	}
}

func TestPositionOrder(t *testing.T) {
	sorted := []meta.Position{{}, {Epoch: 1, Seq: 1}, {Epoch: 1, Seq: 9}, {Epoch: 1, Seq: 10}, {Epoch: 2, Seq: 3}}
	for i, p := range sorted {
		for j, q := range sorted {
			if p.Before(q) != (i < j) || (p.Compare(q) == 0) != (i == j) {
				t.Errorf("%v and %v: Before %v, Compare %d", p, q, p.Before(q), p.Compare(q))
			}
		}
		if p.IsZero() != (i == 0) {
			t.Errorf("%v: IsZero %v", p, p.IsZero())
		}
	}
}

func TestPositionJSON(t *testing.T) {
	b, err := json.Marshal(meta.Position{Epoch: 3, Seq: 4})
	if err != nil || string(b) != `"3-4"` {
		t.Errorf("got %s, %v", b, err)
	}
	p := meta.Position{Epoch: 9}
	if err := json.Unmarshal(b, &p); err != nil || p != (meta.Position{Epoch: 3, Seq: 4}) {
		t.Errorf("got %v, %v", p, err)
	}
	if err := json.Unmarshal([]byte(`"x"`), &p); err == nil || p.Epoch != 3 {
		t.Errorf("a bad position gave %v, %v", p, err)
	}
}
