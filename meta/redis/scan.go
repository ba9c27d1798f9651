package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mirrorfs/meta"
)

// The stages of a scan, in order. A cursor is the stage, the number of inodes so far (8
// bytes), and where in the stage to go on: of inodes the next one in decimal, a zero byte
// and a place in it; of the others a cursor of Redis.
const (
	stageInodes   = 'i'
	stageRefs     = 'r'
	stageFreed    = 'f'
	stageSessions = 's'
	stageSettings = 'v'
	stageQuotas   = 'q'
)

// maxScanRows bounds a batch, so that no call keeps the server for long.
const maxScanRows = 4000

// place is a decoded cursor.
type place struct {
	stage byte
	done  uint64
	at    string
}

func (p place) cursor() meta.Cursor {
	return append(binary.BigEndian.AppendUint64([]byte{p.stage}, p.done), p.at...)
}

func parseCursor(c meta.Cursor) (place, error) {
	if c == nil {
		return place{stage: stageInodes, at: "1\x00"}, nil
	}
	if len(c) < 10 {
		return place{}, fmt.Errorf("scan cursor %q: %w", c, errMalformed)
	}
	return place{stage: c[0], done: binary.BigEndian.Uint64(c[1:]), at: string(c[9:])}, nil
}

// Scan implements meta.Source.
func (e *Engine) Scan(ctx context.Context, from meta.Cursor, limit int) (meta.Batch, error) {
	about := meta.Error{Op: "scan", Name: e.volume}
	p, err := parseCursor(from)
	if err != nil {
		return meta.Batch{}, e.fail(ctx, about, err)
	}
	limit = min(max(limit, 1), maxScanRows)
	var b meta.Batch
	if p.stage == stageInodes {
		b, err = e.scanInodes(ctx, p, limit)
	} else {
		b, err = e.scanRest(ctx, p, limit)
	}
	if err != nil {
		return meta.Batch{}, e.fail(ctx, about, err)
	}
	return b, nil
}

// scanInodes gives inodes and all that hangs on them.
func (e *Engine) scanInodes(ctx context.Context, p place, limit int) (meta.Batch, error) {
	ino, at, _ := strings.Cut(p.at, "\x00")
	reply, err := e.invoke(ctx, &call{function: "scan", readOnly: true, args: []any{ino, at, limit}})
	if err != nil {
		return meta.Batch{}, err
	}
	parts, ok := reply.([]any)
	if !ok || len(parts) != 4 {
		return meta.Batch{}, errMalformed
	}
	next, _ := parts[0].(string)
	nextAt, _ := parts[1].(string)
	total, _ := parts[2].(int64)
	rows, _ := parts[3].([]any)
	b := meta.Batch{Total: uint64(total)} //nolint:gosec // a count
	for _, row := range rows {
		fields, ok := row.([]any)
		if !ok || len(fields) != 3 {
			return b, errMalformed
		}
		if b.Effects, err = appendRow(b.Effects, fields); err != nil {
			return b, err
		}
		if fields[0] == "I" {
			p.done++
		}
	}
	b.Done = p.done
	if next == "0" {
		b.Next = place{stage: stageRefs, done: p.done, at: "0"}.cursor()
	} else {
		b.Next = place{stage: stageInodes, done: p.done, at: next + "\x00" + nextAt}.cursor()
	}
	return b, nil
}

// appendRow appends the effects of what the function scan gives for an inode.
func appendRow(b []byte, fields []any) ([]byte, error) {
	kind, _ := fields[0].(string)
	text, _ := fields[1].(string)
	n, err := strconv.ParseUint(text, 10, 48)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	ino := meta.Ino(n)
	if kind == "I" || kind == "L" || kind == "O" {
		value, ok := fields[2].(string)
		switch {
		case !ok || kind == "O" && len(value) < 12:
			return nil, errMalformed
		case kind == "L":
			return meta.AppendEffect(b, &meta.Effect{Kind: meta.EffectTarget, Ino: ino, Value: []byte(value)}), nil
		case kind == "O":
			return meta.AppendEffect(b, &meta.Effect{
				Kind: meta.EffectOrphan, Time: int64(uint48(value)), Ino: ino, Parent: meta.Ino(uint48(value[6:])), Name: value[12:], //nolint:gosec // 6 bytes
			}), nil
		}
		b = append48(append(b, 'I'), n)
		return append(append(b, byte(len(value))), value...), nil
	}
	pairs, err := texts(fields[2], 2)
	if err != nil {
		return nil, err
	}
	return appendPairs(b, kind, ino, pairs)
}

// appendPairs appends the entries, names, extent lists or extended attributes of an inode.
func appendPairs(b []byte, kind string, ino meta.Ino, pairs []string) ([]byte, error) {
	var effects []meta.Effect
	for ; len(pairs) > 0; pairs = pairs[2:] {
		name, value := pairs[0], pairs[1]
		switch kind {
		case "H":
			dir, err1 := strconv.ParseUint(name, 10, 48)
			count, err2 := strconv.ParseUint(value, 10, 32)
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("names of inode %d: %w", ino, err)
			}
			effects = append(effects, meta.Effect{Kind: meta.EffectNames, Ino: ino, Parent: meta.Ino(dir), Count: uint32(count)})
		case "X":
			effects = append(effects, meta.Effect{Kind: meta.EffectXattr, Ino: ino, Name: name, Value: []byte(value)})
		case "C":
			index, err := strconv.ParseUint(name, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("chunk of inode %d: %w", ino, err)
			}
			effects = append(effects, meta.Effect{Kind: meta.EffectChunk, Ino: ino, Index: uint32(index), Value: []byte(value)})
		case "D":
			number, err := strconv.ParseUint(value, 10, 52)
			if err != nil {
				return nil, fmt.Errorf("entry %q of inode %d: %w", name, ino, err)
			}
			effects = append(effects, meta.Effect{Kind: meta.EffectEntry, Parent: ino, Name: name, Type: uint32(number&15) << 12, Ino: meta.Ino(number >> 4)})
		default:
			return nil, errMalformed
		}
	}
	// In order, the copy of a directory gets full pages.
	slices.SortFunc(effects, func(a, b meta.Effect) int { return strings.Compare(a.Name, b.Name) })
	for i := range effects {
		b = meta.AppendEffect(b, &effects[i])
	}
	return b, nil
}

// table is one that is not about one file.
type table struct {
	key    string
	sorted bool // a sorted set, not a hash
	effect func(name, value string) ([]byte, error)
	next   byte // stage of the table after it
}

func tables() map[byte]table {
	return map[byte]table{
		stageRefs:     {key: "r", effect: refsEffect, next: stageQuotas},
		stageQuotas:   {key: "q", effect: quotaEffect, next: stageFreed},
		stageFreed:    {key: "f", sorted: true, effect: freedEffect, next: stageSessions},
		stageSessions: {key: "v", effect: sessionEffect, next: stageSettings},
		stageSettings: {key: "cfg", effect: settingEffect},
	}
}

// scanRest gives the tables that are not about one file.
func (e *Engine) scanRest(ctx context.Context, p place, limit int) (meta.Batch, error) {
	cursor, err := strconv.ParseUint(p.at, 10, 64)
	if err != nil {
		return meta.Batch{}, fmt.Errorf("scan cursor: %w", err)
	}
	table, ok := tables()[p.stage]
	if !ok {
		return meta.Batch{}, fmt.Errorf("scan cursor: %w", errMalformed)
	}
	var pairs []string
	var next uint64 // not cursor: an attempt that fails sets it
	err = e.ask(ctx, "scan", func(ctx context.Context) (err error) {
		scan := e.client().HScan
		if table.sorted {
			scan = e.client().ZScan
		}
		pairs, next, err = scan(ctx, e.prefix()+table.key, cursor, "", int64(limit)).Result()
		return err
	})
	if err != nil {
		return meta.Batch{}, err
	}
	b := meta.Batch{Done: p.done, Total: p.done}
	for ; len(pairs) > 1; pairs = pairs[2:] {
		effect, err := table.effect(pairs[0], pairs[1])
		if err != nil {
			return b, err
		}
		b.Effects = append(b.Effects, effect...)
	}
	switch {
	case next != 0:
		b.Next = place{stage: p.stage, done: p.done, at: formatUint(next)}.cursor()
	case table.next != 0:
		b.Next = place{stage: table.next, done: p.done, at: "0"}.cursor()
	}
	return b, nil
}

func refsEffect(slice, count string) ([]byte, error) {
	id, err1 := strconv.ParseUint(slice, 10, 48)
	n, err2 := strconv.ParseUint(count, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("references to slice %q: %w", slice, err)
	}
	return meta.AppendEffect(nil, &meta.Effect{Kind: meta.EffectRefs, Slice: meta.Slice{ID: id}, Count: uint32(n)}), nil
}

func quotaEffect(dir, value string) ([]byte, error) {
	q, err := decodeQuota(dir, value)
	if err != nil {
		return nil, err
	}
	return meta.AppendEffect(nil, &meta.Effect{Kind: meta.EffectQuota, Quota: q}), nil
}

func freedEffect(member, score string) ([]byte, error) {
	f, err := decodeFreed(member, score)
	if err != nil {
		return nil, err
	}
	return meta.AppendEffect(nil, &meta.Effect{Kind: meta.EffectFreed, Seq: f.Seq, Time: f.Ms, Slices: f.Slices}), nil
}

// sessionEffect makes an effect of a field of {v}:v: a session or a kept reply. The
// other fields are no rows.
func sessionEffect(field, value string) ([]byte, error) {
	switch {
	case len(field) == 9 && field[0] == 's':
		id := binary.BigEndian.Uint64([]byte(field[1:]))
		return meta.AppendEffect(nil, &meta.Effect{Kind: meta.EffectSession, Session: meta.SessionID(id), Value: []byte(value)}), nil
	case len(field) == 11 && field[0] == 'r':
		id, slot := binary.BigEndian.Uint64([]byte(field[1:])), binary.BigEndian.Uint16([]byte(field[9:]))
		return meta.AppendEffect(nil, &meta.Effect{Kind: meta.EffectReply, Session: meta.SessionID(id), Slot: slot, Value: []byte(value)}), nil
	}
	return nil, nil
}

func settingEffect(name, value string) ([]byte, error) {
	return meta.AppendEffect(nil, &meta.Effect{Kind: meta.EffectSetting, Name: name, Value: []byte(value)}), nil
}
