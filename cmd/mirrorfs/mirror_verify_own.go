package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/fsck"
	"mirrorfs/mirror"
)

// verifyOwn looks in the bucket of a mirror in data mode full, and nowhere else, for all blocks that it
// promises to hold: those of what its metadata names, up to the position that mirror status tells as complete_to.
func (c *cli) verifyOwn(ctx context.Context, v *volume, opts verifyOptions, bar *progress, r *fsck.Report) (err error) {
	p, err := mirror.Promised(ctx, v.near) // after the rows were read: what is newer is not promised yet
	site := v.Settings.Sites[v.Site.ID]
	if err != nil || p == nil || site.Bucket == "" {
		return err
	}
	bucket, err := c.openBucket(ctx, site.Bucket, site.Name, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	var wanted []chunk.SliceRef
	r.EachSlice(func(s meta.Slice) bool {
		_, borrowed := v.Settings.Origins[s.Home]
		if !borrowed && !p.Later[s.ID] && inSubtree(p.Subtree, func() string { return r.Path(r.Owner(s.ID)) }) {
			wanted = append(wanted, chunk.SliceRef{Slice: s.ID, Home: s.Home, Size: s.Size})
		}
		return true
	})
	var bad []badSlice
	audit := chunk.AuditOptions{
		BlockBytes: v.Settings.BlockBytes, Jobs: opts.jobs,
		Progress: func(n int) { bar.update("own copies of %d of %d slices", n, len(wanted)) },
		Bad: func(s chunk.SliceRef, err error) {
			bad = append(bad, badSlice{s, fmt.Errorf("in the bucket of site %s, which should have all up to %s: %w", site.Name, p.CompleteTo, err)})
		},
	}
	if opts.deep {
		blocks, err := chunk.New(bucket, nil, chunk.Options{BlockBytes: v.Settings.BlockBytes, Downloads: opts.jobs, Logger: c.log})
		if err != nil {
			return err
		}
		err = errors.Join(blocks.AuditDeep(ctx, wanted, audit), blocks.Close())
		if err != nil {
			return err
		}
	} else if err := chunk.Audit(ctx, bucket, bucket, wanted, audit); err != nil {
		return fmt.Errorf("bucket of site %s: %w", site.Name, err)
	}
	return tellBad(ctx, v, r, bad)
}

// inSubtree reports whether a path is that of a directory, or below it.
func inSubtree(subtree string, path func() string) bool {
	if subtree == "" {
		return true
	}
	dir := "/" + strings.Trim(subtree, "/")
	at := path()
	return at == dir || strings.HasPrefix(at, strings.TrimSuffix(dir, "/")+"/")
}
