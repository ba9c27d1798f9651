package main

import (
	"context"
	"errors"
	"fmt"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/fsck"
	"mirrorfs/object"
)

// badSlice is a slice of which a block is missing or damaged.
type badSlice struct {
	chunk.SliceRef
	err error
}

// fsckBlocks looks for the blocks of all slices that are in use, each in the bucket of its
// home first and then wherever a mount would look.
func (c *cli) fsckBlocks(ctx context.Context, v *volume, opts fsckOptions, bar *progress, r *fsck.Report) error {
	byHome, total := map[uint8][]chunk.SliceRef{}, 0
	r.EachSlice(func(s meta.Slice) bool {
		byHome[s.Home] = append(byHome[s.Home], chunk.SliceRef{Slice: s.ID, Home: s.Home, Size: s.Size})
		total++
		return true
	})
	var bad []badSlice
	done := 0
	for home, slices := range byHome {
		audit := chunk.AuditOptions{
			BlockBytes: v.Settings.BlockBytes, Jobs: opts.jobs,
			Progress: func(n int) { bar.update("blocks of %d of %d slices", done+n, total) },
			Bad:      func(s chunk.SliceRef, err error) { bad = append(bad, badSlice{s, err}) },
		}
		if err := c.auditHome(ctx, v, home, slices, audit, opts.deep); err != nil {
			return err
		}
		done += len(slices)
	}
	return tellBad(ctx, v, r, bad)
}

func (c *cli) auditHome(ctx context.Context, v *volume, home uint8, slices []chunk.SliceRef, opts chunk.AuditOptions, deep bool) (err error) {
	if deep {
		blocks, err := chunk.New(v.Store, nil, chunk.Options{BlockBytes: v.Settings.BlockBytes, Downloads: opts.Jobs, Logger: c.log})
		if err != nil {
			return err
		}
		return errors.Join(blocks.AuditDeep(ctx, slices, opts), blocks.Close())
	}
	store := v.Store
	if site := v.Settings.Sites[home]; site.Bucket != "" {
		near, err := c.openBucket(ctx, site.Bucket, site.Name, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, near.Close()) }()
		store = near
	}
	if err := chunk.Audit(ctx, store, v.Store, slices, opts); err != nil {
		return fmt.Errorf("bucket of site %d: %w", home, err)
	}
	return nil
}

// tellBad adds to a report what is still in use of the slices that are not all there.
func tellBad(ctx context.Context, v *volume, r *fsck.Report, bad []badSlice) error {
	for len(bad) > 0 {
		some := bad[:min(len(bad), meta.MaxKnown)]
		bad = bad[len(some):]
		ids := make([]uint64, len(some))
		for i := range some {
			ids[i] = some[i].Slice
		}
		known, err := v.near.Known(ctx, ids)
		if err != nil {
			return err
		}
		for i := range some {
			if known[i] { // the others were deleted since the metadata were read
				r.Add(some[i].Slice, r.Owner(some[i].Slice), problemOf(some[i].err))
			}
		}
	}
	return nil
}

func problemOf(err error) string {
	if errors.Is(err, object.ErrNotExist) {
		return "a block is missing: " + err.Error()
	}
	return err.Error()
}
