package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// wantedRoom is how much more a digest of given parts may read than one that chooses its parts:
// what was chosen elsewhere must fit.
const wantedRoom = 3000

// Digest implements meta.Comparer.
func (e *Engine) Digest(ctx context.Context, from meta.Place, ends []meta.Place, limit int) (meta.Digest, error) {
	about := meta.Error{Op: "digest", Name: e.volume}
	limit = min(max(limit, 1), meta.MaxDigestRows)
	if len(ends) > 0 {
		limit += wantedRoom
	}
	args := []any{string(from), limit}
	for _, end := range ends {
		args = append(args, string(end))
	}
	reply, err := e.invoke(ctx, &call{function: "digest", readOnly: true, args: args})
	if err != nil {
		return meta.Digest{}, e.fail(ctx, about, err)
	}
	d, err := decodeDigest(reply)
	if err != nil {
		return d, e.fail(ctx, about, err)
	}
	return d, nil
}

func decodeDigest(reply any) (meta.Digest, error) {
	rows, ok := reply.([]any)
	if !ok || len(rows)%3 != 1 {
		return meta.Digest{}, errMalformed
	}
	text, _ := rows[0].(string)
	state, err := decodeState([]byte(text))
	if err != nil {
		return meta.Digest{}, err
	}
	d := meta.Digest{State: state}
	for rows = rows[1:]; len(rows) > 0; rows = rows[3:] {
		end, ok1 := rows[0].(string)
		n, ok2 := rows[1].(int64)
		sum, ok3 := rows[2].(string)
		if !ok1 || !ok2 || !ok3 {
			return d, errMalformed
		}
		d.Parts = append(d.Parts, meta.Part{End: meta.Place(end), Rows: int(n), Sum: sum})
	}
	return d, nil
}

// Rows implements meta.Comparer. Tables that have an order are read from the place on; the others are
// small, or seldom read, and read whole.
func (e *Engine) Rows(ctx context.Context, from, to meta.Place, cursor meta.Cursor, limit int) (meta.Batch, error) {
	about := meta.Error{Op: "rows", Name: e.volume}
	limit = min(max(limit, 1), maxScanRows)
	p, err := rowsFrom(from, cursor)
	if err != nil {
		return meta.Batch{}, e.fail(ctx, about, err)
	}
	var b meta.Batch
	switch p.stage {
	case stageInodes:
		b, err = e.scanInodes(ctx, p, limit)
	case stageFreed:
		b, err = e.freedRows(ctx, p, limit)
	case stageMarks:
		b, err = e.marksRows(ctx, p, to)
	default:
		b, err = e.scanRest(ctx, p, limit)
	}
	if err == nil {
		b.Effects, err = within(b.Effects, from, to)
	}
	if err == nil && b.Next != nil {
		var next place
		if next, err = parseCursor(b.Next); err == nil && !beforePlace(next, p.stage, to) {
			b.Next = nil
		}
	}
	if err != nil {
		return meta.Batch{}, e.fail(ctx, about, err)
	}
	return b, nil
}

// stageMarks goes through the marks of slices. No Scan gives them.
const stageMarks = 'k'

// stageOf are the stages of the tables, by the first byte of their places.
func stageOf(table byte) (byte, bool) {
	stage, ok := map[byte]byte{
		'1': stageInodes, '2': stageRefs, '3': stageQuotas, '4': stageFreed, '5': stageSessions, '6': stageSettings, '7': stageMarks,
	}[table]
	return stage, ok
}

// rowsFrom is where to begin, or to go on.
func rowsFrom(from meta.Place, cursor meta.Cursor) (place, error) {
	if cursor != nil {
		return parseCursor(cursor)
	}
	text := string(from)
	if text == "" {
		text = "1"
	}
	stage, ok := stageOf(text[0])
	if !ok {
		return place{}, fmt.Errorf("place %q: %w", from, errMalformed)
	}
	p := place{stage: stage, at: "0"}
	switch {
	case stage == stageInodes && len(text) < 7:
		p.at = "1\x00"
	case stage == stageInodes:
		p.at = formatUint(uint48(text[1:])) + "\x00"
		if name := text[7:]; name != "" {
			p.at += "d" + strings.TrimPrefix(name, "\x00")
		}
	case stage == stageFreed:
		p.at = text[1:]
	case stage == stageMarks && len(text) == 7:
		p.at = formatUint(uint48(text[1:]))
	}
	return p, nil
}

// beforePlace tells whether a scan that goes on at a place of the stage may still find something
// before to.
func beforePlace(next place, stage byte, to meta.Place) bool {
	if next.stage != stage {
		return false
	}
	if stage != stageInodes || to == "" || to[0] != '1' {
		return true
	}
	number, at, _ := strings.Cut(next.at, "\x00")
	ino, err := strconv.ParseUint(number, 10, 48)
	if err != nil {
		return false
	}
	here := meta.PlaceOfInode(meta.Ino(ino))
	if name, ok := strings.CutPrefix(at, "d"); ok {
		here += meta.Place(name)
	}
	return here < to
}

// within leaves of encoded effects those between two places.
func within(effects []byte, from, to meta.Place) ([]byte, error) {
	rows, err := meta.DecodeEffects(effects)
	if err != nil {
		return nil, err
	}
	var b []byte
	for i := range rows {
		if at := meta.PlaceOf(&rows[i]); at >= from && at < to {
			b = meta.AppendEffect(b, &rows[i])
		}
	}
	return b, nil
}

// freedRows reads freed slices by their time. The cursor is the place of the row to go on at.
func (e *Engine) freedRows(ctx context.Context, p place, limit int) (meta.Batch, error) {
	least := "-inf"
	if len(p.at) >= 6 {
		least = formatUint(uint48(p.at))
	}
	limit = min(limit, 500)
	var b meta.Batch
	for offset := int64(0); ; offset += int64(limit) {
		var members []goredis.Z
		err := e.ask(ctx, "zrange", func(ctx context.Context) (err error) {
			members, err = e.client().ZRangeByScoreWithScores(ctx, e.prefix()+"f", &goredis.ZRangeBy{Min: least, Max: "+inf", Offset: offset, Count: int64(limit)}).Result()
			return err
		})
		if err != nil {
			return b, err
		}
		for _, z := range members {
			member, _ := z.Member.(string)
			at := string(append48(nil, uint64(z.Score))) + member[:min(6, len(member))]
			if at < p.at {
				continue
			}
			effect, err := freedEffect(member, strconv.FormatFloat(z.Score, 'f', -1, 64))
			if err != nil {
				return b, err
			}
			b.Effects = append(b.Effects, effect...)
		}
		if len(members) < limit {
			return b, nil
		}
		if len(b.Effects) > 0 {
			last, _ := members[len(members)-1].Member.(string)
			b.Next = place{stage: stageFreed, at: string(append48(nil, uint64(members[len(members)-1].Score))) + last[:6] + "\x00"}.cursor() // right after it
			return b, nil
		}
	}
}

// maxMarks bounds how many groups of slices one call gives.
const maxMarks = 64

// marksRows reads the marks of slices, a group of them a row.
func (e *Engine) marksRows(ctx context.Context, p place, to meta.Place) (meta.Batch, error) {
	first, err := strconv.ParseUint(p.at, 10, 48)
	if err != nil {
		return meta.Batch{}, err
	}
	s, err := e.State(ctx)
	if err != nil {
		return meta.Batch{}, err
	}
	end := s.NextSlice/slicesPerGroup + 1
	if len(to) == 7 && to[0] == '7' {
		end = min(end, uint48(string(to[1:])))
	}
	var b meta.Batch
	for group := first; group < min(end, first+maxMarks); group++ {
		var marks string
		err := e.ask(ctx, "get", func(ctx context.Context) (err error) {
			if marks, err = e.client().Get(ctx, e.prefix()+"k"+formatUint(group)).Result(); errors.Is(err, goredis.Nil) {
				err = nil
			}
			return err
		})
		if err != nil {
			return b, err
		}
		if marks = strings.TrimRight(marks, "\x00"); marks != "" {
			b.Effects = meta.AppendEffect(b.Effects, &meta.Effect{Kind: meta.EffectMarks, Seq: group, Value: []byte(marks)})
		}
	}
	if end > first+maxMarks && end < math.MaxInt64 {
		b.Next = place{stage: stageMarks, at: formatUint(first + maxMarks)}.cursor()
	}
	return b, nil
}

// Rebase implements meta.Replica.
func (e *Engine) Rebase(ctx context.Context, from meta.State) error {
	if len(from.Chain) != len(meta.EmptyChain) {
		return fmt.Errorf("rebase: checksum %q of the source's state: %w", from.Chain, errMalformed)
	}
	if _, err := e.invoke(ctx, &call{function: "rebase", args: []any{appendState(nil, &from)}}); err != nil {
		return e.fail(ctx, meta.Error{Op: "rebase", Name: e.volume}, err)
	}
	return nil
}
