package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// AppendEffect appends the encoded effect to b. See docs/format.md, "Effects".
func AppendEffect(b []byte, e *Effect) []byte {
	b = append(b, byte(e.Kind))
	switch e.Kind {
	case EffectInode:
		b = append48(b, uint64(e.Ino))
		n := len(b)
		b = AppendInode(append(b, 0), &e.Attr)
		b[n] = byte(len(b) - n - 1)
	case EffectInodeGone, EffectTargetGone:
		b = append48(b, uint64(e.Ino))
	case EffectEntry:
		b = appendName(append48(b, uint64(e.Parent)), e.Name)
		b = append48(append(b, byte(e.Type>>12)), uint64(e.Ino))
	case EffectEntryGone:
		b = appendName(append48(b, uint64(e.Parent)), e.Name)
	case EffectChunk:
		b = binary.BigEndian.AppendUint32(append48(b, uint64(e.Ino)), e.Index)
		b = appendBytes(binary.BigEndian.AppendUint32(b, e.Keep), e.Value)
	case EffectChunkGone:
		b = binary.BigEndian.AppendUint32(append48(b, uint64(e.Ino)), e.Index)
	case EffectTarget:
		b = appendBytes(append48(b, uint64(e.Ino)), e.Value)
	case EffectXattr:
		b = appendBytes(appendName(append48(b, uint64(e.Ino)), e.Name), e.Value)
	case EffectXattrGone:
		b = appendName(append48(b, uint64(e.Ino)), e.Name)
	default:
		b = appendOther(b, e)
	}
	return b
}

// appendOther appends the kinds that are not about one file.
func appendOther(b []byte, e *Effect) []byte {
	switch e.Kind {
	case EffectRefs:
		b = binary.BigEndian.AppendUint32(append48(b, e.Slice.ID), e.Count)
	case EffectFreed:
		b = append48(append48(b, e.Seq), uint64(e.Time))
		b = binary.BigEndian.AppendUint32(b, uint32(len(e.Slices)))
		for _, s := range e.Slices {
			b = appendSlice(b, s)
		}
	case EffectFreedGone:
		b = append48(append48(b, e.Seq), uint64(e.Time))
	case EffectOrphan, EffectOrphanGone:
		b = append48(append48(append48(b, uint64(e.Time)), uint64(e.Ino)), uint64(e.Parent))
		b = appendName(b, e.Name)
	case EffectSession:
		b = appendBytes(binary.BigEndian.AppendUint64(b, uint64(e.Session)), e.Value)
	case EffectSessionGone:
		b = binary.BigEndian.AppendUint64(b, uint64(e.Session))
	case EffectSetting:
		b = appendBytes(appendName(b, e.Name), e.Value)
	case EffectSettingGone:
		b = appendName(b, e.Name)
	case EffectReply:
		b = appendBytes(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(b, uint64(e.Session)), e.Slot), e.Value)
	case EffectMarks:
		b = appendBytes(append48(b, e.Seq), e.Value)
	case EffectQuota:
		b = appendQuota(append48(b, uint64(e.Quota.Dir)), &e.Quota)
	case EffectQuotaGone:
		b = append48(b, uint64(e.Ino))
	case EffectNames:
		b = binary.BigEndian.AppendUint32(append48(append48(b, uint64(e.Ino)), uint64(e.Parent)), e.Count)
	case EffectSliceWritten:
		b = appendSlice(b, e.Slice)
	}
	return b
}

// ListExtents is how long the extent list of an EffectChunk is.
func (e *Effect) ListExtents() int { return (int(e.Keep) + len(e.Value)) / extentBytes }

func appendName(b []byte, name string) []byte {
	return append(append(b, byte(len(name))), name...)
}

func appendBytes(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func appendSlice(b []byte, s Slice) []byte {
	return binary.BigEndian.AppendUint32(append(append48(b, s.ID), s.Home), s.Size)
}

// sliceBytes is the length of an encoded Slice.
const sliceBytes = 11

// DecodeEffects reads encoded effects up to the end of b. Byte slices in the
// result share memory with b. An Effect is about 40 times larger than the
// shortest encoded one, so whoever calls it bounds b.
func DecodeEffects(b []byte) ([]Effect, error) { return DecodeDamaged(b, nil) }

// DecodeDamaged is DecodeEffects for rows that may be damaged: it leaves out inodes whose
// value cannot be decoded, and calls bad for them.
func DecodeDamaged(b []byte, bad func(ino Ino, err error)) ([]Effect, error) {
	var effects []Effect
	d := decoder{rest: b}
	for len(d.rest) > 0 {
		at := len(b) - len(d.rest)
		e := d.effect()
		var damaged *inodeError
		if bad != nil && errors.As(d.err, &damaged) {
			d.err = nil
			bad(e.Ino, damaged)
			continue
		}
		if d.err != nil {
			return nil, fmt.Errorf("effect %q at byte %d: %w", rune(e.Kind), at, d.err)
		}
		effects = append(effects, e)
	}
	return effects, nil
}

// inodeError says that a whole inode value was read and makes no sense.
type inodeError struct{ error }

// Unwrap gives the cause.
func (e *inodeError) Unwrap() error { return e.error }

var (
	errShort = errors.New("cut short")
	errKind  = errors.New("unknown kind")
)

// decoder takes fields off the front of rest; after the first error it gives zeros.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.rest) {
		if d.err == nil {
			d.err = errShort
		}
		return make([]byte, min(n, 8))
	}
	v := d.rest[:n:n]
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) u8() byte      { return d.take(1)[0] }
func (d *decoder) u16() uint16   { return binary.BigEndian.Uint16(d.take(2)) }
func (d *decoder) u32() uint32   { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) u48() uint64   { return uint48(d.take(6)) }
func (d *decoder) u64() uint64   { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) ino() Ino      { return Ino(d.u48()) }
func (d *decoder) name() string  { return string(d.variable(int(d.u8()))) }
func (d *decoder) bytes() []byte { return d.variable(int(d.u32())) }

func (d *decoder) variable(n int) []byte {
	if d.err == nil && n > len(d.rest) {
		d.err = errShort
	}
	if d.err != nil {
		return nil
	}
	return d.take(n)
}

func (d *decoder) slice() Slice {
	return Slice{ID: d.u48(), Home: d.u8(), Size: d.u32()}
}

func (d *decoder) effect() Effect {
	e := Effect{Kind: EffectKind(d.u8())}
	switch e.Kind {
	case EffectInode:
		e.Ino = d.ino()
		value := d.variable(int(d.u8()))
		if d.err == nil {
			var err error
			if e.Attr, err = DecodeInode(value); err != nil {
				d.err = &inodeError{err}
			}
		}
	case EffectInodeGone, EffectTargetGone:
		e.Ino = d.ino()
	case EffectEntry:
		e.Parent, e.Name = d.ino(), d.name()
		e.Type, e.Ino = uint32(d.u8())<<12, d.ino()
	case EffectEntryGone:
		e.Parent, e.Name = d.ino(), d.name()
	case EffectChunk:
		e.Ino, e.Index, e.Keep, e.Value = d.ino(), d.u32(), d.u32(), d.bytes()
	case EffectChunkGone:
		e.Ino, e.Index = d.ino(), d.u32()
	case EffectTarget:
		e.Ino, e.Value = d.ino(), d.bytes()
	case EffectXattr:
		e.Ino, e.Name, e.Value = d.ino(), d.name(), d.bytes()
	case EffectXattrGone:
		e.Ino, e.Name = d.ino(), d.name()
	default:
		d.otherEffect(&e)
	}
	return e
}

// otherEffect reads the kinds that are not about one file.
func (d *decoder) otherEffect(e *Effect) {
	switch e.Kind {
	case EffectRefs:
		e.Slice.ID, e.Count = d.u48(), d.u32()
	case EffectFreed:
		e.Seq, e.Time = d.u48(), int64(d.u48())
		n := int(d.u32())
		if n > len(d.rest)/sliceBytes {
			d.err = errShort
			return
		}
		e.Slices = make([]Slice, 0, n)
		for range n {
			e.Slices = append(e.Slices, d.slice())
		}
	case EffectFreedGone:
		e.Seq, e.Time = d.u48(), int64(d.u48())
	case EffectOrphan, EffectOrphanGone:
		e.Time, e.Ino, e.Parent, e.Name = int64(d.u48()), d.ino(), d.ino(), d.name()
	case EffectSession:
		e.Session, e.Value = SessionID(d.u64()), d.bytes()
	case EffectSessionGone:
		e.Session = SessionID(d.u64())
	case EffectSetting:
		e.Name, e.Value = d.name(), d.bytes()
	case EffectSettingGone:
		e.Name = d.name()
	case EffectReply:
		e.Session, e.Slot, e.Value = SessionID(d.u64()), d.u16(), d.bytes()
	case EffectMarks:
		e.Seq, e.Value = d.u48(), d.bytes()
	case EffectQuota:
		dir, value := d.ino(), d.variable(quotaBytes)
		if d.err == nil {
			e.Quota, d.err = DecodeQuota(dir, value)
		}
	case EffectQuotaGone:
		e.Ino = d.ino()
	case EffectNames:
		e.Ino, e.Parent, e.Count = d.ino(), d.ino(), d.u32()
	case EffectSliceWritten:
		e.Slice = d.slice()
	default:
		d.err = errKind
	}
}
