package segments

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"mirrorfs/meta"
)

// A segment is stored as: magic 4, version 1, codec 1, 0 2, positions of the first and the
// last record I6 I6 each, records I4, chain before the first 16 (zero bytes when not known)
// and after the last 16, bytes of the records I4, bytes of them as stored I4, CRC32C I4 of
// all before and the records as stored, then those. See docs/format.md.
const (
	magic       = "mfsl"
	version     = 1
	codecZstd   = 1
	chainBytes  = len(meta.EmptyChain)
	headerBytes = 8 + 24 + 4 + 2*chainBytes + 8 + 4
	sumAt       = headerBytes - 4
)

// Bounds of a segment's records, in bytes. Whatever is beyond is damage to a reader.
const (
	// MaxBytes is the largest: one record alone may have meta.MaxRecordBytes.
	MaxBytes = 2 * meta.MaxRecordBytes
	// maxStoredBytes is the most that they are stored as.
	maxStoredBytes = MaxBytes + MaxBytes/8
)

// Segment is a part of a log.
type Segment struct {
	// Before is the chain before the first entry, empty when it is not known, and After
	// the one after the last.
	Before, After string
	// Entries are at least one, and follow each other.
	Entries []meta.LogEntry
}

// first and last are the positions of a segment's ends.
func (s *Segment) first() meta.Position { return s.Entries[0].Position }
func (s *Segment) last() meta.Position  { return s.Entries[len(s.Entries)-1].Position }

var (
	errCut      = errors.New("it is cut short")
	errNoSeg    = errors.New("it does not begin like a segment")
	errSizes    = errors.New("impossible sizes")
	errSum      = errors.New("wrong checksum")
	errContents = errors.New("its records are not what its header says")
)

// encoderWindowBytes is how far back an encoder looks: it has a client's memory while it is used.
const encoderWindowBytes = 512 << 10

// encoder makes segments. It may be used by several at once.
type encoder struct{ z *zstd.Encoder }

func newEncoder() (*encoder, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(encoderWindowBytes), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &encoder{z}, nil
}

// encode makes the object of a segment.
func (e *encoder) encode(s *Segment) []byte {
	var records []byte
	for i := range s.Entries {
		records = meta.AppendLogEntry(records, &s.Entries[i])
	}
	stored := e.z.EncodeAll(records, nil)
	b := make([]byte, 0, headerBytes+len(stored))
	b = append(b, magic...)
	b = append(b, version, codecZstd, 0, 0)
	for _, at := range []meta.Position{s.first(), s.last()} {
		b = append48(append48(b, at.Epoch), at.Seq)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Entries)))
	b = append(b, make([]byte, chainBytes)...)
	copy(b[len(b)-chainBytes:], s.Before)
	b = append(b, s.After...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(records)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(stored)))
	b = binary.BigEndian.AppendUint32(b, sumOf(b, stored))
	return append(b, stored...)
}

// Decoder reads segments. It may be used by several at once.
type Decoder struct{ z *zstd.Decoder }

// NewDecoder makes a Decoder, which holds nothing that must be closed.
func NewDecoder() (*Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxBytes))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &Decoder{z}, nil
}

// Decode reads a segment and checks that it is as it was stored, and that its entries follow
// each other. It does not compute the chain; that is for those who have the one before.
func (d *Decoder) Decode(b []byte) (*Segment, error) {
	if len(b) < headerBytes {
		return nil, errCut
	}
	if string(b[:4]) != magic || b[4] != version || b[5] != codecZstd {
		return nil, errNoSeg
	}
	head, stored := b[:headerBytes], b[headerBytes:]
	fields := head[8+24:]
	count := binary.BigEndian.Uint32(fields)
	before, after := string(fields[4:4+chainBytes]), string(fields[4+chainBytes:4+2*chainBytes])
	size, storedSize := binary.BigEndian.Uint32(head[sumAt-8:]), binary.BigEndian.Uint32(head[sumAt-4:])
	if size > MaxBytes || int64(storedSize) != int64(len(stored)) {
		return nil, errSizes
	}
	if sumOf(head[:sumAt], stored) != binary.BigEndian.Uint32(head[sumAt:]) {
		return nil, errSum
	}
	records, err := d.z.DecodeAll(stored, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errContents, err)
	}
	if len(records) != int(size) {
		return nil, errSizes
	}
	s := &Segment{Before: before, After: after}
	if before == string(make([]byte, chainBytes)) {
		s.Before = ""
	}
	if s.Entries, err = meta.DecodeLogEntries(records); err != nil {
		return nil, fmt.Errorf("%w: %w", errContents, err)
	}
	if err := s.check(count, head[8:]); err != nil {
		return nil, err
	}
	return s, nil
}

// check compares the entries with each other and with what the header says.
func (s *Segment) check(count uint32, ends []byte) error {
	if len(s.Entries) == 0 || uint32(len(s.Entries)) != count { //nolint:gosec // a segment has less than 16 MiB
		return errContents
	}
	first := meta.Position{Epoch: uint48(ends), Seq: uint48(ends[6:])}
	last := meta.Position{Epoch: uint48(ends[12:]), Seq: uint48(ends[18:])}
	if s.first() != first || s.last() != last {
		return errContents
	}
	for i := 1; i < len(s.Entries); i++ {
		if a, b := s.Entries[i-1].Position, s.Entries[i].Position; b.Seq != a.Seq+1 || b.Epoch < a.Epoch {
			return errContents
		}
	}
	raw := s.Entries[len(s.Entries)-1].Raw
	if len(raw) < chainBytes || string(raw[len(raw)-chainBytes:]) != s.After {
		return errContents
	}
	return nil
}

func sumOf(head, stored []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head, table), table, stored)
}

func append48(b []byte, n uint64) []byte {
	return append(b, byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func uint48(b []byte) uint64 {
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}
