package reclaim

import (
	"context"
	"errors"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// OrphanReport counts orphans.
type OrphanReport struct {
	// Due are those whose time was up, Purged those of them that this client
	// removed, Open those that a client has open.
	Due    int64 `json:"due"`
	Purged int64 `json:"purged"`
	Open   int64 `json:"open"`
}

// orphanBatch is how many orphans are asked for at once.
const orphanBatch = 256

// Orphans purges the orphans whose time is up.
func (r *Reclaimer) Orphans(ctx context.Context) error {
	v, err := r.opts.Meta.Volume(ctx)
	if err != nil {
		return err
	}
	return r.OrphansBefore(ctx, r.opts.Now().Add(-OrphanAge(&v)))
}

// OrphansBefore purges the orphans that were deleted before a time.
func (r *Reclaimer) OrphansBefore(ctx context.Context, before time.Time) error {
	var after meta.Orphan
	for {
		page, err := r.opts.Meta.Orphans(ctx, after, before, orphanBatch)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, o := range page {
			r.report.Orphans.Due++
			if r.opts.DryRun {
				continue
			}
			if over, err := r.purge(ctx, o); over || err != nil {
				return err
			}
		}
		after = page[len(page)-1]
		r.progress()
	}
}

// purge removes an orphan, and reports whether to leave the others to another client.
func (r *Reclaimer) purge(ctx context.Context, o meta.Orphan) (bool, error) {
	count := &r.report.Orphans
	for {
		if err := ctx.Err(); err != nil {
			return true, err
		}
		res, err := r.opts.Meta.Change(ctx, meta.Purge{Orphan: o})
		switch {
		case errors.Is(err, syscall.EBUSY):
			count.Open++
			return false, nil
		case errors.Is(err, syscall.ENOENT):
			return r.opts.Yield, nil
		case err != nil:
			return true, err
		}
		if _, left := res.Lookup(o.Ino); !left {
			count.Purged++
			return false, nil
		}
		o.UnlinkedMs = 0 // it was a part of a large file
	}
}
