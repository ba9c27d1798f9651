package segments

import (
	"fmt"
	"strconv"
	"strings"

	"mirrorfs/meta"
)

// Prefix begins the keys of all segments of a volume.
func Prefix(volumeID string) string { return "log/" + volumeID + "/" }

// Name is what the key of a segment tells. In byte order of keys, segments are in the order
// of their last records: so one listing finds the segment that has a record.
type Name struct {
	First, Last meta.Position
	// Chain is the one after the last record.
	Chain string
}

const (
	// seqDigits is how many a number below 2^48 has at most.
	seqDigits = 15
	nameParts = 5
)

// key is the name as it follows Prefix: seq and epoch of the last record, of the first, chain.
func (n Name) key() string {
	return fmt.Sprintf("%0*d-%d-%0*d-%d-%s", seqDigits, n.Last.Seq, n.Last.Epoch, seqDigits, n.First.Seq, n.First.Epoch, n.Chain)
}

// afterLast comes after the keys of all segments that end at a seq, or before.
func afterLast(seq uint64) string {
	return fmt.Sprintf("%0*d-%s", seqDigits, seq, strings.Repeat("9", seqDigits))
}

// parseName reads what key made.
func parseName(key string) (Name, bool) {
	parts := strings.Split(key, "-")
	if len(parts) != nameParts || len(parts[4]) != chainBytes {
		return Name{}, false
	}
	var numbers [nameParts - 1]uint64
	for i := range numbers {
		n, err := strconv.ParseUint(parts[i], 10, 48)
		if err != nil {
			return Name{}, false
		}
		numbers[i] = n
	}
	n := Name{
		Last:  meta.Position{Seq: numbers[0], Epoch: numbers[1]},
		First: meta.Position{Seq: numbers[2], Epoch: numbers[3]},
		Chain: parts[4],
	}
	return n, n.key() == key && n.First.Seq <= n.Last.Seq
}
