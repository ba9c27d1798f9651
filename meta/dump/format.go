package dump

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"mirrorfs/meta"
)

// magic begins a dump; the number is the format's version.
const magic = "mirrorfs dump 1\n"

// The kinds of parts, in the order in which they can come.
const (
	partHeader = 'H' // JSON of header
	partRows   = 'R' // effects of a scan
	partLog    = 'L' // records, each with position and length
	partEnd    = 'E' // JSON of end
)

// How the content of a part is stored.
const (
	codecRaw  = 0
	codecZstd = 1
)

// A part is stored as: kind 1, codec 1, number I4 (from 0), bytes as stored I4, bytes of
// the content I4, CRC32C I4 of what is before and the content as stored, then the content.
const (
	partHeaderBytes = 18
	partSumAt       = 14
)

// Bounds of a part's content. A reader takes what a writer never makes for damage.
const (
	// maxPartBytes is the largest: a record alone may have meta.MaxRecordBytes.
	maxPartBytes = 2 * meta.MaxRecordBytes
	// fullPartBytes is when a part of rows or records takes no more.
	fullPartBytes = 1 << 20
)

// header is the first part: which volume, and where its copy begins.
type header struct {
	Volume  meta.Volume `json:"volume"`
	From    state       `json:"from"`
	Created time.Time   `json:"created"`
	Program string      `json:"program,omitempty"` // that wrote it
}

// end is the last part: what a reader must have come to.
type end struct {
	State  state  `json:"state"`
	Counts Counts `json:"counts"`
	// SHA256 is of all bytes before this part, in hex.
	SHA256 string `json:"sha256"`
}

// state is a meta.State without the role.
type state struct {
	Position   meta.Position `json:"position"`
	Chain      string        `json:"chain"`
	NextInode  meta.Ino      `json:"next_inode"`
	NextSlice  uint64        `json:"next_slice"`
	UsedBytes  uint64        `json:"used_bytes"`
	UsedInodes uint64        `json:"used_inodes"`
}

func stateOf(s *meta.State) state {
	return state{s.Position, s.Chain, s.NextIno, s.NextSlice, s.Usage.Bytes, s.Usage.Inodes}
}

func (s *state) meta(role meta.Role) meta.State {
	return meta.State{Position: s.Position, Chain: s.Chain, Role: role, Counters: meta.Counters{
		NextIno: s.NextInode, NextSlice: s.NextSlice, Usage: meta.Usage{Bytes: s.UsedBytes, Inodes: s.UsedInodes},
	}}
}

// Counts is what a dump holds. A row that changed during the scan may be in it twice.
type Counts struct {
	Parts   uint64 `json:"parts"`
	Inodes  uint64 `json:"inodes"`
	Entries uint64 `json:"entries"`
	Rows    uint64 `json:"rows"`    // of all tables, inodes and entries included
	Records uint64 `json:"records"` // of the log
}

func (c *Counts) rows(effects []meta.Effect) {
	c.Rows += uint64(len(effects))
	for i := range effects {
		switch effects[i].Kind {
		case meta.EffectInode:
			c.Inodes++
		case meta.EffectEntry:
			c.Entries++
		default:
		}
	}
}

// Summary tells of a dump that was written, read or loaded.
type Summary struct {
	Volume   string        `json:"volume"`
	ID       string        `json:"id"`
	Position meta.Position `json:"position"` // the state that it holds
	Created  time.Time     `json:"created"`
	// Latest is when the last change was made while it was written, if there was one.
	Latest time.Time  `json:"latest,omitzero"`
	Used   meta.Usage `json:"used"`
	Counts Counts     `json:"counts"`
	Bytes  int64      `json:"bytes"` // of the dump
}

// DamagedError says where a dump is damaged, cut short, or no dump at all.
type DamagedError struct {
	Offset int64 // of the part that is damaged, in bytes from the dump's start
	Part   uint64
	Err    error
}

// Error names the place.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the dump is damaged at byte %d (part %d): %v", e.Offset, e.Part, e.Err)
}

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

var (
	errNoDump  = errors.New("it does not begin like a dump of mirrorfs")
	errCut     = errors.New("it is cut short")
	errSum     = errors.New("wrong checksum")
	errOrder   = errors.New("a part is missing, repeated or out of order")
	errSizes   = errors.New("impossible sizes")
	errContent = errors.New("content that cannot be decoded")
	errEnd     = errors.New("what it holds is not what its end says")
	errRest    = errors.New("something follows its end")
)

// appendPart appends the header of a part to b.
func appendPartHeader(b []byte, kind, codec byte, number uint64, stored []byte, size int) []byte {
	start := len(b)
	b = append(b, kind, codec)
	b = binary.BigEndian.AppendUint32(b, uint32(number))
	b = binary.BigEndian.AppendUint32(b, uint32(len(stored)))
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	return binary.BigEndian.AppendUint32(b, partSum(b[start:], stored))
}

func partSum(head, stored []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head, table), table, stored)
}

func decodeJSON(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", errContent, err)
	}
	return nil
}
