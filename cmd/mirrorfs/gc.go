package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/object"
	"mirrorfs/vfs/reclaim"
)

// gcOptions are the flags of gc.
type gcOptions struct {
	delete bool
	noList bool
	minAge time.Duration
	drop   string // name of a hold
	rate   float64
}

func newGCCommand(c *cli) *cobra.Command {
	opts := gcOptions{minAge: reclaim.DefaultLeakAge}
	cmd := &cobra.Command{
		Use:   "gc META",
		Short: "Find and delete what takes space for nothing",
		Long: `gc looks through the volume at META, its source, for what takes space for nothing:

  - deleted files whose trash time is up;
  - freed blocks: of data that was overwritten or purged, once the trash time, the
    grace and all mirrors have passed;
  - leaked blocks: objects in the buckets that no metadata knows, older than
    --min-age. A client that died while it was writing leaves some.

It tells what there is, and with --delete deletes it. What is in a bucket and is no
block is told and never touched. What a volume refers to that was restored from this one
is kept (restore --from), until --drop-hold NAME lets go of it. Mounts of the source do the first two by
themselves all the time. gc can be stopped at any time, run again, and run several
times at once.`,
		Example: "  mirrorfs gc redis://10.0.0.5/0\n  mirrorfs gc redis://10.0.0.5/0 --delete --rate 500",
		Args:    exactArgs("META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.drop != "" {
				return c.gcDropHold(cmd.Context(), args[0], opts.drop)
			}
			return c.gc(cmd.Context(), args[0], opts)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.delete, "delete", false, "delete what is found")
	f.BoolVar(&opts.noList, "no-list", false, "do not list the buckets: leaked blocks are not looked for")
	f.DurationVar(&opts.minAge, "min-age", opts.minAge, "age from which on a block that no metadata knows is taken for leaked; longer than any client may be cut off and come back")
	f.StringVar(&opts.drop, "drop-hold", "", "only let go of what is kept under this name for a volume that was restored from this one")
	f.Float64Var(&opts.rate, "rate", 0, "most objects deleted per second (0: no limit)")
	return cmd
}

// gcResult is what gc prints.
type gcResult struct {
	Delete bool `json:"delete"`
	Listed bool `json:"listed"`
	reclaim.Report
}

func (c *cli) gc(ctx context.Context, addr string, opts gcOptions) error {
	if opts.minAge < 0 || opts.rate < 0 {
		return usagef("gc: --min-age and --rate want 0 or more")
	}
	return c.asClient(ctx, addr, func(ctx context.Context, v *volume) error {
		if v.Mirror {
			return usagef("%s is a mirror: give the metadata address of the source", addr)
		}
		p := c.newProgress()
		defer p.done()
		r, err := reclaim.New(reclaim.Options{
			Meta: v.near, Blocks: v.Store, DryRun: !opts.delete, Rate: opts.rate, Logger: c.log,
			Progress: func(r reclaim.Report) {
				p.update("%d deleted files, %d freed blocks, %d objects listed, %d leaked", r.Orphans.Due, r.Freed.Due.Objects, r.Leaked.Listed.Objects, r.Leaked.Leaked.Objects)
			},
		})
		if err != nil {
			return err
		}
		err = errors.Join(r.Orphans(ctx), r.Freed(ctx))
		if (err == nil || errors.Is(err, object.ErrPartial)) && !opts.noList {
			err = errors.Join(err, c.gcBuckets(ctx, v, r, opts.minAge))
		}
		p.done()
		result := gcResult{Delete: opts.delete, Listed: !opts.noList, Report: r.Report()}
		return errors.Join(c.print(result, result.write), err)
	})
}

// gcBuckets looks for leaked blocks in the bucket of each site that answers.
func (c *cli) gcBuckets(ctx context.Context, v *volume, r *reclaim.Reclaimer, age time.Duration) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(v.Settings.Sites)) {
		site := v.Settings.Sites[id]
		if site.Bucket == "" {
			continue
		}
		bucket, err := c.openBucket(ctx, site.Bucket, site.Name, nil)
		if err == nil {
			err = errors.Join(r.Leaked(ctx, bucket, age), bucket.Close())
		}
		if errors.Is(err, reclaim.ErrMirrorAstray) {
			return err
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("bucket of site %s: %w", site.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *gcResult) write(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	verb := func(done string) string {
		if r.Delete {
			return done
		}
		return "found"
	}
	pick := func(due, done reclaim.Amount) string {
		if r.Delete {
			return amount(done)
		}
		return amount(due)
	}
	files := r.Orphans.Due
	if r.Delete {
		files = r.Orphans.Purged
	}
	fmt.Fprintf(w, "deleted files whose time is up\t%d %s\n", files, verb("purged"))
	if r.Orphans.Open > 0 {
		fmt.Fprintf(w, "  still open\t%d\n", r.Orphans.Open)
	}
	fmt.Fprintf(w, "freed blocks whose time is up\t%s %s\n", pick(r.Freed.Due, r.Freed.Deleted), verb("deleted"))
	if r.Freed.Held.Objects > 0 {
		fmt.Fprintf(w, "  waiting for %s\t%s\n", strings.Join(r.Freed.Waiting, ", "), amount(r.Freed.Held))
	}
	if r.Freed.Postponed.Objects > 0 {
		fmt.Fprintf(w, "  gone from the buckets that answer only\t%s\n", amount(r.Freed.Postponed))
	}
	if r.Listed {
		l := &r.Leaked
		fmt.Fprintf(w, "leaked blocks\t%s %s\n", pick(l.Leaked, l.Deleted), verb("deleted"))
		fmt.Fprintf(w, "blocks not known yet, too young to be leaked\t%s\n", amount(l.Young))
		fmt.Fprintf(w, "all objects\t%s\n", amount(l.Listed))
		if l.Kept.Objects > 0 {
			fmt.Fprintf(w, "blocks of changes that a promotion may have lost, left alone\t%s\n", amount(l.Kept))
		}
		if l.Ahead.Objects > 0 {
			fmt.Fprintf(w, "blocks of numbers not given out (metadata is older than the bucket), left alone\t%s\n", amount(l.Ahead))
		}
		if l.Foreign.Objects > 0 {
			fmt.Fprintf(w, "objects that are no blocks, left alone\t%s: %s\n", amount(l.Foreign), strings.Join(l.ForeignNames, " "))
		}
	}
	_ = w.Flush()
	if !r.Delete {
		fmt.Fprintln(out, "nothing was deleted; --delete does it")
	}
}

func amount(a reclaim.Amount) string {
	return fmt.Sprintf("%d objects, %s", a.Objects, formatBytes(a.Bytes))
}
