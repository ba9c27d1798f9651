package meta

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in the log: after the record with this epoch and seq. The
// zero Position is before the first record.
type Position struct {
	Epoch uint64 // rises by one per promotion; below 2^48
	Seq   uint64 // rises by exactly one per record, also across epochs; below 2^48
}

// String writes a position as "epoch-seq", which is its stream ID in Redis.
func (p Position) String() string {
	return strconv.FormatUint(p.Epoch, 10) + "-" + strconv.FormatUint(p.Seq, 10)
}

// IsZero reports whether p is before the first record.
func (p Position) IsZero() bool { return p == Position{} }

// Compare orders positions: negative when p is before q. A later epoch is later
// whatever the seq.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.Seq, q.Seq))
}

// Before reports whether p is before q.
func (p Position) Before(q Position) bool { return p.Compare(q) < 0 }

// MarshalText writes the form of String.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the form of String.
func (p *Position) UnmarshalText(text []byte) error {
	q, err := ParsePosition(string(text))
	if err == nil {
		*p = q
	}
	return err
}

// ParsePosition reads "epoch-seq", for example "1-1042".
func ParsePosition(s string) (Position, error) {
	e, q, ok := strings.Cut(s, "-")
	epoch, err1 := strconv.ParseUint(e, 10, 48)
	seq, err2 := strconv.ParseUint(q, 10, 48)
	p := Position{Epoch: epoch, Seq: seq}
	if !ok || err1 != nil || err2 != nil || p.String() != s { // one spelling each: no leading zeros
		return Position{}, fmt.Errorf("position %q: want epoch-seq, for example 1-1042", s)
	}
	return p, nil
}
