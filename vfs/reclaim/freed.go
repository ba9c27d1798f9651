package reclaim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"syscall"

	"golang.org/x/sync/errgroup"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// FreedReport counts freed slices.
type FreedReport struct {
	// Due is what may be deleted, Deleted what this client deleted of it.
	Due     Amount `json:"due"`
	Deleted Amount `json:"deleted"`
	// Held is what only waits for mirrors, Waiting for which.
	Held    Amount   `json:"held"`
	Waiting []string `json:"waiting_for,omitempty"`
	// Postponed is what has gone from the buckets that answer, and waits for another one.
	Postponed Amount `json:"postponed"`
}

// Amount counts objects: of freed slices their blocks, whose bytes are those of the
// slices; else what the bucket says.
type Amount struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

func (a *Amount) add(objects, bytes int64) {
	a.Objects += objects
	a.Bytes += bytes
}

// Freed deletes the blocks of freed slices whose time is up, and then forgets the slices. Where one
// bucket of several does not answer it goes on with the others, and fails in the end.
func (r *Reclaimer) Freed(ctx context.Context) error {
	p := &pass{}
	if err := r.freed(ctx, p); err != nil || p.err == nil {
		return err
	}
	return fmt.Errorf("%d objects are not gone from every bucket: %w", r.report.Freed.Postponed.Objects, p.err)
}

func (r *Reclaimer) freed(ctx context.Context, p *pass) error {
	v, err := r.opts.Meta.Volume(ctx)
	if err != nil {
		return err
	}
	passed, waiting, err := r.passed(ctx, &v)
	if err != nil {
		return err
	}
	before := r.opts.Now().Add(-v.Trash - Grace(&v))
	b := batch{blockBytes: v.BlockBytes}
	var after meta.Freed
	for {
		page, err := r.opts.Meta.Freed(ctx, after, before, meta.MaxReclaimRows)
		if err != nil {
			return err
		}
		for _, row := range page {
			if row.Seq > passed {
				r.report.Freed.Held.add(b.blocks(row.Slices))
				r.report.Freed.Waiting = waiting
				continue
			}
			r.report.Freed.Due.add(b.blocks(row.Slices))
			if !r.opts.DryRun && !b.takes(&row) {
				if over, err := r.reclaim(ctx, &b, p); over || err != nil {
					return err
				}
			}
			b.add(&row)
		}
		if over, err := r.reclaim(ctx, &b, p); over || err != nil {
			return err
		}
		if len(page) == 0 {
			r.whole(p)
			return nil
		}
		after = page[len(page)-1]
		r.progress()
	}
}

// passed gives the seq of the last record that every mirror has applied, and the names of
// the mirrors that stand there. A mirror's site that never acknowledged stands before the first, and a
// hold where it was made.
func (r *Reclaimer) passed(ctx context.Context, v *meta.Volume) (uint64, []string, error) {
	told, err := r.opts.Meta.Mirrors(ctx)
	if err != nil {
		return 0, nil, err
	}
	at := map[uint8]uint64{}
	names := map[uint8]string{}
	for id, site := range v.Sites {
		if id != v.SourceSite() && !site.Shares && !site.Detached {
			at[id], names[id] = 0, site.Name
		}
	}
	for i := range told {
		at[told[i].Site], names[told[i].Site] = told[i].Applied.Seq, told[i].Name
	}
	least, slowest := uint64(math.MaxUint64), []string(nil)
	stands := func(seq uint64, name string) {
		switch {
		case seq < least:
			least, slowest = seq, []string{name}
		case seq == least:
			slowest = append(slowest, name)
		}
	}
	for id, seq := range at {
		stands(seq, names[id])
	}
	for name, h := range v.Holds {
		stands(h.Position.Seq, "hold "+name)
	}
	return least, slowest, nil
}

// batch is what is reclaimed by one change.
type batch struct {
	blockBytes int
	rows       []meta.Freed
	slices     int
}

// takes reports whether a row fits into the batch as well.
func (b *batch) takes(row *meta.Freed) bool {
	return len(b.rows) < meta.MaxReclaimRows && (b.slices == 0 || b.slices+len(row.Slices) <= meta.MaxReclaimSlices)
}

func (b *batch) add(row *meta.Freed) {
	b.rows = append(b.rows, *row)
	b.slices += len(row.Slices)
}

// blocks counts objects and bytes of slices.
func (b *batch) blocks(slices []meta.Slice) (objects, bytes int64) {
	for i := range slices {
		objects += int64(chunk.BlockCount(slices[i].Size, b.blockBytes))
		bytes += int64(slices[i].Size)
	}
	return objects, bytes
}

// reclaim deletes the blocks of a batch, which is empty afterwards, and reports whether
// to leave the others to another client.
func (r *Reclaimer) reclaim(ctx context.Context, b *batch, p *pass) (over bool, err error) {
	rows := b.rows
	b.rows, b.slices = nil, 0
	if len(rows) == 0 || r.opts.DryRun {
		return false, nil
	}
	if err := r.full(p); err != nil {
		return true, err
	}
	if err := r.deleteBlocks(ctx, b, rows, p); err != nil {
		return true, err
	}
	rows, alone, err := r.sort(ctx, b, rows, p)
	if err != nil || len(rows) == 0 {
		return !alone, err
	}
	res, err := r.opts.Meta.Change(ctx, meta.Reclaim{Rows: rows})
	if errors.Is(err, syscall.ENOENT) {
		return r.opts.Yield || !alone, nil
	}
	if err != nil {
		return true, err
	}
	gone := map[uint64]bool{}
	for i := range res.Effects {
		if e := &res.Effects[i]; e.Kind == meta.EffectFreedGone {
			gone[e.Seq] = true
		}
	}
	for i := range rows {
		if gone[rows[i].Seq] {
			r.report.Freed.Deleted.add(b.blocks(rows[i].Slices))
		}
	}
	return !alone || r.opts.Yield && len(gone) < len(rows), nil
}

// deleteBlocks deletes the blocks of all slices of some rows. Which rows are not gone from every
// bucket is in p afterwards.
func (r *Reclaimer) deleteBlocks(ctx context.Context, b *batch, rows []meta.Freed, p *pass) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Workers)
	for i := range rows {
		seq := rows[i].Seq
		for j := range rows[i].Slices {
			s := &rows[i].Slices[j]
			for n := range chunk.BlockCount(s.Size, b.blockBytes) {
				if r.opts.Postponed.has(seq) && p.failed(seq) {
					continue // the buckets that answer have nothing of it
				}
				if err := r.limiter.Wait(ctx); err != nil {
					return errors.Join(err, g.Wait())
				}
				key := chunk.Key(s.Home, s.ID, n)
				g.Go(func() error { return p.note(seq, r.delete(ctx, r.opts.Blocks, key)) })
			}
		}
	}
	return g.Wait()
}

func (r *Reclaimer) delete(ctx context.Context, from Deleter, key string) error {
	if err := from.Delete(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	r.opts.Logger.DebugContext(ctx, "deleted a block", slog.String("key", key))
	return nil
}
