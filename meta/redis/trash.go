package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// due lists members of a sorted set of times, with n fields each.
func (e *Engine) due(ctx context.Context, set string, afterMs int64, after uint64, before time.Time, limit, n int) ([]string, error) {
	limit = min(max(limit, 0), meta.MaxPageEntries)
	reply, err := e.invoke(ctx, &call{function: "due", readOnly: true, args: []any{set, afterMs, after, before.UnixMilli(), limit}})
	if err != nil {
		return nil, err
	}
	return texts(reply, n)
}

// Orphans implements meta.Purger.
func (e *Engine) Orphans(ctx context.Context, after meta.Orphan, before time.Time, limit int) ([]meta.Orphan, error) {
	about := meta.Error{Op: "orphans"}
	rows, err := e.due(ctx, "o", after.UnlinkedMs, uint64(after.Ino), before, limit, 3)
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	var all []meta.Orphan
	for ; len(rows) > 0; rows = rows[3:] {
		o, err := decodeOrphan(rows[0], rows[1], rows[2])
		if err != nil {
			return nil, e.fail(ctx, about, err)
		}
		all = append(all, o)
	}
	return all, nil
}

// Orphan implements meta.Purger.
func (e *Engine) Orphan(ctx context.Context, ino meta.Ino) (meta.Orphan, error) {
	about := meta.Error{Op: "orphan", Ino: ino}
	reply, err := e.invoke(ctx, &call{function: "orphan", readOnly: true, args: []any{uint64(ino)}})
	if err != nil {
		return meta.Orphan{}, e.fail(ctx, about, err)
	}
	row, err := texts(reply, 2)
	if err != nil || len(row) == 0 {
		return meta.Orphan{}, e.fail(ctx, about, errMalformed)
	}
	o, err := decodeOrphan(string(append48(nil, uint64(ino))), row[0], row[1])
	if err != nil {
		return meta.Orphan{}, e.fail(ctx, about, err)
	}
	return o, nil
}

// decodeOrphan reads a member of the orphans, its score, and its place.
func decodeOrphan(member, score, place string) (meta.Orphan, error) {
	ms, err := strconv.ParseInt(score, 10, 64)
	if err != nil || len(member) != 6 || len(place) < 6 {
		return meta.Orphan{}, fmt.Errorf("orphan %q of %q at %q: %w", member, score, place, errMalformed)
	}
	return meta.Orphan{UnlinkedMs: ms, Ino: meta.Ino(uint48(member)), Parent: meta.Ino(uint48(place)), Name: place[6:]}, nil
}

// Freed implements meta.Reclaimer.
func (e *Engine) Freed(ctx context.Context, after meta.Freed, before time.Time, limit int) ([]meta.Freed, error) {
	about := meta.Error{Op: "freed"}
	rows, err := e.due(ctx, "f", after.Ms, after.Seq, before, limit, 2)
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	var all []meta.Freed
	for ; len(rows) > 0; rows = rows[2:] {
		f, err := decodeFreed(rows[0], rows[1])
		if err != nil {
			return nil, e.fail(ctx, about, err)
		}
		all = append(all, f)
	}
	return all, nil
}

// sliceBytes is the length of a slice in a row of freed ones: number, home, size.
const sliceBytes = 11

// decodeFreed reads a member of what was freed, and its score.
func decodeFreed(member, score string) (meta.Freed, error) {
	ms, err := strconv.ParseInt(score, 10, 64)
	if err != nil || len(member) < 6 || (len(member)-6)%sliceBytes != 0 {
		return meta.Freed{}, fmt.Errorf("freed slices %q of %q: %w", member, score, errMalformed)
	}
	f := meta.Freed{Seq: uint48(member), Ms: ms, Slices: make([]meta.Slice, 0, len(member)/sliceBytes)}
	for rest := member[6:]; rest != ""; rest = rest[sliceBytes:] {
		f.Slices = append(f.Slices, meta.Slice{ID: uint48(rest), Home: rest[6], Size: binary.BigEndian.Uint32([]byte(rest[7:]))})
	}
	return f, nil
}

// Known implements meta.Reclaimer.
func (e *Engine) Known(ctx context.Context, slices []uint64) ([]bool, error) {
	about := meta.Error{Op: "known"}
	if len(slices) > meta.MaxKnown {
		about.Errno = syscall.EINVAL
		return nil, &about
	}
	args := make([]any, len(slices))
	for i, id := range slices {
		args[i] = id
	}
	reply, err := e.invoke(ctx, &call{function: "known", readOnly: true, args: args})
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	text, ok := reply.(string)
	if !ok || len(text) != len(slices) || strings.Trim(text, "01") != "" {
		return nil, e.fail(ctx, about, errMalformed)
	}
	known := make([]bool, len(slices))
	for i := range known {
		known[i] = text[i] == '1'
	}
	return known, nil
}

// orphanArgs are how functions are told of an orphan.
func orphanArgs(o meta.Orphan) []any {
	return []any{o.UnlinkedMs, uint64(o.Ino), uint64(o.Parent), o.Name}
}

func reclaimArgs(c *meta.Reclaim) []any {
	args := make([]any, 0, 2*len(c.Rows))
	for i := range c.Rows {
		args = append(args, c.Rows[i].Seq, c.Rows[i].Ms)
	}
	return args
}
