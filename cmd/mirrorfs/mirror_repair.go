package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mirrorfs/mirror"
)

func newMirrorRepairCommand(c *cli) *cobra.Command {
	var opts mirror.RepairOptions
	cmd := &cobra.Command{
		Use:   "repair MIRROR_META",
		Short: "Make a mirror what its source is, copying only what differs",
		Long: `repair is for a mirror that has stalled because its source lost records or its log does
not reach back, and for one of which mirror verify says that rows differ. It
compares sums of ranges of rows, copies the rows that differ, removes those that the source
does not have, and lets the mirror follow from there, while the source is in use. What the mirror
had and the source lost is gone afterwards: the source is right.

Until it is done, clients of the mirror read at the source. It can be interrupted: the
next repair or any runner of the mirror goes on where it was. --dry-run compares and
tells what would be copied.`,
		Example: "  mirrorfs mirror repair redis://redis.b.example/0 --dry-run\n  mirrorfs mirror repair redis://redis.b.example/0",
		Args:    exactArgs("MIRROR_META"),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.mirrorRepair(cmd.Context(), args[0], opts) },
	}
	cmd.Flags().BoolVar(&opts.DryRun, "dry-run", false, "compare only, and tell what would be copied")
	return cmd
}

func (c *cli) mirrorRepair(ctx context.Context, addr string, opts mirror.RepairOptions) (err error) {
	site, info, err := c.openMirror(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	bar := c.newProgress()
	defer bar.done()
	opts.Progress = func(text string) { bar.update("%s", text) }
	archive := c.newLogArchive(site, nil)
	defer func() { err = errors.Join(err, archive.close()) }()
	r, err := mirror.Repair(ctx, mirror.Config{
		Dial: func(ctx context.Context) (mirror.Upstream, error) {
			return c.openSource(ctx, info.Source, sourceTimeout)
		},
		Replica: site, Archive: archive, Logger: c.log,
	}, opts)
	if err != nil {
		return err
	}
	bar.done()
	return c.print(r, func(w io.Writer) {
		for i := range r.Differences {
			fmt.Fprintln(w, &r.Differences[i])
		}
		if r.More > 0 {
			fmt.Fprintf(w, "and %d more\n", r.More)
		}
		what := "copied"
		if r.DryRun {
			what = "to be copied"
		}
		fmt.Fprintf(w, "mirror %s of volume %s: %d rows compared, %d %s, %d removed; it was at %s and is at %s\n",
			r.Site, r.Volume, r.Compared, r.Copied, what, r.Removed, r.Before, r.Position)
	})
}
