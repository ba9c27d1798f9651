package meta

import (
	"crypto/sha1" //nolint:gosec // a checksum chain against mistakes, and the only hash Redis offers to functions
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Record is what one change did. See docs/format.md, "Record".
type Record struct {
	Op      Op
	Time    int64 // of the change, nanoseconds since the Unix epoch, by the client's clock
	Session SessionID
	Slot    uint16
	Number  uint32   // of the change in its session's slot
	After   Counters // as they are after the change
	Effects []Effect
}

const (
	recordVersion     = 1
	recordHeaderBytes = 49
	chainBytes        = 16
	// MaxRecordBytes bounds an encoded record.
	MaxRecordBytes = 8 << 20
	// EmptyChain is the checksum before the first record.
	EmptyChain = "0000000000000000"
)

// EffectKind says which table an effect is about, and whether it sets or deletes.
type EffectKind byte

// The kinds: upper case sets a row, lower case deletes it.
const (
	EffectInode        EffectKind = 'I' // Ino, Attr
	EffectInodeGone    EffectKind = 'i' // Ino
	EffectEntry        EffectKind = 'D' // Parent, Name, Type, Ino
	EffectEntryGone    EffectKind = 'd' // Parent, Name
	EffectChunk        EffectKind = 'C' // Ino, Index, Keep, Value: keep the first Keep bytes of the list, then Value
	EffectChunkGone    EffectKind = 'c' // Ino, Index
	EffectTarget       EffectKind = 'L' // Ino, Value
	EffectTargetGone   EffectKind = 'l' // Ino
	EffectXattr        EffectKind = 'X' // Ino, Name, Value
	EffectXattrGone    EffectKind = 'x' // Ino, Name
	EffectRefs         EffectKind = 'R' // Slice.ID, Count: references beyond the first; 0 deletes the row
	EffectFreed        EffectKind = 'F' // Seq, Time (ms), Slices
	EffectFreedGone    EffectKind = 'f' // Seq, Time (ms)
	EffectOrphan       EffectKind = 'O' // Time (ms), Ino, Parent, Name
	EffectOrphanGone   EffectKind = 'o' // Time (ms), Ino, Parent, Name
	EffectSession      EffectKind = 'S' // Session, Value (JSON SessionInfo)
	EffectSessionGone  EffectKind = 's' // Session
	EffectSetting      EffectKind = 'V' // Name, Value
	EffectSettingGone  EffectKind = 'v' // Name
	EffectReply        EffectKind = 'P' // Session, Slot, Value: a kept reply, empty deletes it; in scans only
	EffectMarks        EffectKind = 'K' // Seq: a group of slices, Value: their marks, empty deletes them; when sites are compared only
	EffectQuota        EffectKind = 'Q' // Quota
	EffectQuotaGone    EffectKind = 'q' // Ino
	EffectNames        EffectKind = 'H' // Ino, Parent, Count: names of a file in a directory, of one that has names in several; 0 deletes the row
	EffectSliceWritten EffectKind = 'N' // Slice: data that this change made known; no row
)

// Effect is one row as a change left it. Which fields mean something depends on
// Kind; the others are zero.
type Effect struct {
	Kind    EffectKind
	Ino     Ino
	Attr    Attr
	Parent  Ino
	Name    string
	Type    uint32 // type bits of a mode
	Index   uint32
	Keep    uint32 // bytes
	Value   []byte
	Slice   Slice
	Slices  []Slice
	Count   uint32
	Seq     uint64
	Quota   Quota
	Time    int64 // milliseconds since the Unix epoch
	Session SessionID
	Slot    uint16
}

// AppendRecord appends the encoded record to b, its checksum chained to the
// chain before it, and returns b and the new chain.
func AppendRecord(b []byte, r *Record, before string) ([]byte, string) {
	start := len(b)
	b = appendHeader(b, r)
	for i := range r.Effects {
		b = AppendEffect(b, &r.Effects[i])
	}
	chain := Chain(before, b[start:])
	return append(b, chain...), chain
}

func appendHeader(b []byte, r *Record) []byte {
	b = append(b, recordVersion, byte(r.Op))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Session))
	b = binary.BigEndian.AppendUint16(b, r.Slot)
	b = binary.BigEndian.AppendUint32(b, r.Number)
	b = append48(b, uint64(r.After.NextIno))
	b = append48(b, r.After.NextSlice)
	b = append(b, byte(r.After.Usage.Bytes>>48))
	b = append48(b, r.After.Usage.Bytes)
	return append48(b, r.After.Usage.Inodes)
}

// Chain computes the checksum after a record from the one before and the
// record's bytes without their checksum: the first 16 hex digits of SHA-1.
func Chain(before string, body []byte) string {
	h := sha1.New() //nolint:gosec // see the import
	h.Write([]byte(before))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))[:chainBytes]
}

// CheckChain reports whether an encoded record follows the chain before it, and
// returns the chain after it.
func CheckChain(before string, raw []byte) (string, bool) {
	if len(raw) < recordHeaderBytes+chainBytes {
		return "", false
	}
	body := raw[:len(raw)-chainBytes]
	chain := string(raw[len(body):])
	return chain, Chain(before, body) == chain
}

// DecodeRecord reads an encoded record. It checks the form, not the chain.
// Byte slices in the result share memory with b.
func DecodeRecord(b []byte) (Record, error) {
	if len(b) > MaxRecordBytes {
		return Record{}, fmt.Errorf("record of %d bytes: more than %d", len(b), MaxRecordBytes)
	}
	if len(b) < recordHeaderBytes+chainBytes {
		return Record{}, fmt.Errorf("record of %d bytes: shorter than its header", len(b))
	}
	r, err := decodeHeader(b)
	if err != nil {
		return Record{}, err
	}
	r.Effects, err = DecodeEffects(b[recordHeaderBytes : len(b)-chainBytes])
	return r, err
}

// RecordTime reads the time of an encoded record, nanoseconds since the Unix epoch, without
// decoding the rest, and whether there is one.
func RecordTime(raw []byte) (int64, bool) {
	if len(raw) < recordHeaderBytes+chainBytes || raw[0] != recordVersion {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(raw[2:])), true //nolint:gosec // as it was encoded
}

func decodeHeader(b []byte) (Record, error) {
	if b[0] != recordVersion {
		return Record{}, fmt.Errorf("record version %d: this program reads version %d; upgrade it", b[0], recordVersion)
	}
	r := Record{
		Op:      Op(b[1]),
		Time:    int64(binary.BigEndian.Uint64(b[2:])),
		Session: SessionID(binary.BigEndian.Uint64(b[10:])),
		Slot:    binary.BigEndian.Uint16(b[18:]),
		Number:  binary.BigEndian.Uint32(b[20:]),
	}
	r.After.NextIno = Ino(uint48(b[24:]))
	r.After.NextSlice = uint48(b[30:])
	r.After.Usage.Bytes = uint64(b[36])<<48 | uint48(b[37:])
	r.After.Usage.Inodes = uint48(b[43:])
	return r, nil
}
