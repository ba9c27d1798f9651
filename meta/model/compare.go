package model

import (
	"context"
	"crypto/sha1" //nolint:gosec // the sum that engines have
	"encoding/binary"
	"slices"
	"strings"
	"syscall"

	"mirrorfs/meta"
)

// partRows is how many rows a part has that Digest chooses.
const partRows = 16

// placedRow is a row and its place.
type placedRow struct {
	at  meta.Place
	row []byte
}

// rowsBetween gives all rows in the order of their places, from one place up to another.
func (t *tables) rowsBetween(from, to meta.Place) []placedRow {
	var all []placedRow
	for _, r := range t.rows() {
		if at := meta.PlaceOf(&r.effect); at >= from && at < to {
			all = append(all, placedRow{at: at, row: meta.AppendEffect(nil, &r.effect)})
		}
	}
	slices.SortStableFunc(all, func(a, b placedRow) int { return strings.Compare(string(a.at), string(b.at)) })
	return all
}

// Digest implements meta.Comparer. It keeps no marks of slices, so it has no rows of them.
func (e *Engine) Digest(ctx context.Context, from meta.Place, ends []meta.Place, limit int) (meta.Digest, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	d := meta.Digest{State: e.v.state}
	rows := e.v.tables.rowsBetween(from, meta.PlaceEnd)
	if len(ends) == 0 {
		ends = chooseParts(rows, limit)
	}
	for _, end := range ends {
		n, _ := slices.BinarySearchFunc(rows, end, func(r placedRow, end meta.Place) int { return strings.Compare(string(r.at), string(end)) })
		d.Parts = append(d.Parts, meta.Part{End: end, Rows: n, Sum: sum(rows[:n])})
		rows = rows[n:]
	}
	return d, ctx.Err()
}

// chooseParts ends parts at every partRows-th row, and goes no further than the limit.
func chooseParts(rows []placedRow, limit int) []meta.Place {
	var ends []meta.Place
	for i := partRows; i < len(rows); i += partRows {
		if i > limit && len(ends) > 0 {
			return ends
		}
		// A place is never in two parts.
		if end := rows[i].at; end > rows[i-1].at {
			ends = append(ends, end)
		}
	}
	return append(ends, meta.PlaceEnd)
}

// sum adds up the sums of rows, 6 bytes twice.
func sum(rows []placedRow) string {
	var a, b uint64
	for _, r := range rows {
		h := sha1.Sum(r.row) //nolint:gosec // see the import
		a += binary.BigEndian.Uint64(h[:]) >> 16
		b += binary.BigEndian.Uint64(h[6:]) >> 16
	}
	out := binary.BigEndian.AppendUint64(nil, a<<16)[:6:6]
	return string(append(out, binary.BigEndian.AppendUint64(nil, b<<16)[:6]...))
}

// Rows implements meta.Comparer. A cursor is the place to go on at.
func (e *Engine) Rows(ctx context.Context, from, to meta.Place, cursor meta.Cursor, limit int) (meta.Batch, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	if cursor != nil {
		from = meta.Place(cursor)
	}
	var b meta.Batch
	rows := e.v.tables.rowsBetween(from, to)
	for i, r := range rows {
		if i >= max(limit, 1) && r.at > rows[i-1].at {
			b.Next = meta.Cursor(r.at)
			break
		}
		b.Effects = append(b.Effects, r.row...)
	}
	return b, ctx.Err()
}

// Rebase implements meta.Replica.
func (e *Engine) Rebase(ctx context.Context, from meta.State) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	if e.v.state.Role == meta.RoleSource {
		return &meta.Error{Op: "rebase", Errno: syscall.EROFS, Err: meta.ErrReadOnly}
	}
	e.v.state, e.v.log = from, nil
	e.v.state.Role = meta.RoleBootstrapping
	return ctx.Err()
}
