package metatest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mirrorfs/meta"
)

// A random step about the trash says only which of what there is it is about. What that
// is, made completes from what the model knows.

// made makes the change of a step in both.
func (p *pair) made(ctx context.Context, c meta.Change) string {
	switch c := c.(type) {
	case meta.Purge:
		c.Orphan = p.orphan(ctx, c.Orphan)
		return p.change(ctx, c)
	case meta.Restore:
		c.Orphan = p.orphan(ctx, c.Orphan)
		return p.change(ctx, c)
	case meta.Reclaim:
		return p.reclaim(ctx, c.Rows[0].Seq)
	case meta.Settings:
		v, err := p.engine.Volume(ctx)
		if err != nil {
			return renderError(err)
		}
		v.Trash = c.Volume.Trash
		return p.change(ctx, meta.Settings{Volume: v})
	default:
		return p.change(ctx, c)
	}
}

// orphan completes an orphan of which only the inode is known, if it is one.
func (p *pair) orphan(ctx context.Context, o meta.Orphan) meta.Orphan {
	if whole, err := p.model.Orphan(ctx, o.Ino); err == nil {
		return whole
	}
	return o
}

// reclaim compares what the two say is freed, and reclaims some of it; which, a number
// decides.
func (p *pair) reclaim(ctx context.Context, pick uint64) string {
	r, ok := p.engine.(meta.Reclaimer)
	if !ok {
		return "" // it is a source's
	}
	want, err1 := allFreed(ctx, p.model)
	got, err2 := allFreed(ctx, r)
	if err1 != nil || err2 != nil {
		return fmt.Sprintf("listing what was freed: %v and %v", err1, err2)
	}
	if diff := difference(renderFreed(want), renderFreed(got)); diff != "" {
		return "freed: " + diff
	}
	rows := func(all []meta.Freed) []meta.Freed {
		from := int(pick % uint64(len(all)+1))
		some := slices.Clone(all[from:min(from+int(pick%5), len(all))])
		return append(some, meta.Freed{Seq: 1 << 40, Ms: 1}) // there is none such
	}
	return p.changes(ctx, meta.Reclaim{Rows: rows(want)}, meta.Reclaim{Rows: rows(got)})
}

// farFuture is after all that a test does.
func farFuture() time.Time { return time.Unix(1<<33, 0) }

// allFreed lists all that was freed, in small pages.
func allFreed(ctx context.Context, r meta.Reclaimer) ([]meta.Freed, error) {
	var all []meta.Freed
	var after meta.Freed
	for {
		page, err := r.Freed(ctx, after, farFuture(), treePage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all, after = append(all, page...), page[len(page)-1]
	}
}

// allOrphans lists all orphans, in small pages.
func allOrphans(ctx context.Context, p meta.Purger) ([]meta.Orphan, error) {
	var all []meta.Orphan
	var after meta.Orphan
	for {
		page, err := p.Orphans(ctx, after, farFuture(), treePage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all, after = append(all, page...), page[len(page)-1]
	}
}

// renderFreed leaves out the numbers of records, which count otherwise in the model, and
// the order of slices.
func renderFreed(rows []meta.Freed) string {
	var s strings.Builder
	for _, row := range rows {
		list := slices.Clone(row.Slices)
		slices.SortFunc(list, func(a, b meta.Slice) int { return int(int64(a.ID) - int64(b.ID)) })
		fmt.Fprintf(&s, "at %d: %v\n", row.Ms, list)
	}
	return s.String()
}
