package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// promoteOptions are the flags of mirror promote.
type promoteOptions struct {
	address       string
	force, dryRun bool
	timeout       time.Duration
}

const addressUsage = "where other sites reach MIRROR_META; default: as it is given"

func newMirrorPromoteCommand(c *cli) *cobra.Command {
	opts := promoteOptions{timeout: 5 * time.Second}
	cmd := &cobra.Command{
		Use:   "promote MIRROR_META",
		Short: "Make a mirror the source, whether or not the old one is there",
		Long: `promote makes the mirror at MIRROR_META the source of the volume. If the old source
answers, it is fenced, so that it refuses every change, and all that it has is fetched
first. If it does not answer, what it had acknowledged and the mirror has not applied
is lost to the volume: promote prints up to where the mirror goes, how old that is, and
what may be lost; mirror rejoin writes it down later. What the old source has left in
segments in a bucket that answers is fetched. Of a mirror with a bucket it tells which
blocks are not there yet: mounts read them from the other site's bucket. Mounts of the mirror go on as mounts of
the source. It is refused, without --force, when the old source lives and cannot be
fenced. Where the source is well, mirror switch exchanges the two without any loss.`,
		Example: "  mirrorfs mirror promote redis://redis.b.example/0 --dry-run\n  mirrorfs mirror promote redis://redis.b.example/0",
		Args:    exactArgs("MIRROR_META"),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.mirrorPromote(cmd.Context(), args[0], opts) },
	}
	f := cmd.Flags()
	f.StringVar(&opts.address, "address", "", addressUsage)
	f.BoolVar(&opts.force, "force", false, "go on although the old source lives and takes changes: they will be lost")
	f.BoolVar(&opts.dryRun, "dry-run", false, "tell what would be done and lost, and change nothing")
	f.DurationVar(&opts.timeout, "source-timeout", opts.timeout, "longest wait for an answer of the old source")
	return cmd
}

func (c *cli) mirrorPromote(ctx context.Context, addr string, opts promoteOptions) (err error) {
	site, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	if opts.address == "" {
		opts.address = reopenable(site.Address())
	}
	archive := c.newLogArchive(site, nil)
	defer func() { err = errors.Join(err, archive.close()) }()
	res, err := mirror.Promote(ctx, site, mirror.PromoteOptions{
		Dial: c.dialSite(opts.timeout), Archive: archive, Data: c.dataConfig(site, nil, nil), Address: opts.address, Force: opts.force, DryRun: opts.dryRun, Timeout: opts.timeout, Logger: c.log,
	})
	if errors.Is(err, mirror.ErrRefused) {
		err = hintf(err, "mirrorfs mirror promote %s --force, if the old source may go on alone and lose its changes", redis.Redact(addr))
	}
	if err != nil && res.Volume == "" {
		return err
	}
	return errors.Join(c.print(res, func(w io.Writer) { writePromotion(w, &res, err) }), err)
}

// dialSite opens the metadata of a mirror's source.
func (c *cli) dialSite(timeout time.Duration) func(context.Context, mirror.Info) (mirror.Site, error) {
	return func(ctx context.Context, info mirror.Info) (mirror.Site, error) {
		e, err := c.openSource(ctx, info.Source, timeout)
		if err != nil {
			return nil, err // a nil *redis.Engine would be a Site that is not nil
		}
		return e, nil
	}
}

func writePromotion(out io.Writer, res *mirror.PromoteResult, failed error) {
	if res.Already {
		fmt.Fprintf(out, "site %s is the source of volume %s already\n", res.Site, res.Volume)
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "old source\t%s, %s\n", res.OldSource, res.Source)
	if !res.Last.IsZero() {
		fmt.Fprintf(w, "last position here\t%s\n", res.Last)
	}
	if !res.LastTime.IsZero() {
		age := time.Duration(res.AgeSeconds * float64(time.Second)).Round(time.Millisecond)
		fmt.Fprintf(w, "its age\t%v (%s)\n", age, res.LastTime.Format(time.RFC3339Nano))
	}
	fmt.Fprintf(w, "may be lost\t%s\n", lossText(&res.Loss))
	if res.Salvaged > 0 {
		fmt.Fprintf(w, "from segments\t%d changes that the old source left in a bucket\n", res.Salvaged)
	}
	if res.Data != nil {
		fmt.Fprintf(w, "data\t%s\n", elsewhereText(res.Data))
		for i := range res.Data.Files[:min(len(res.Data.Files), shownElsewhere)] {
			f := &res.Data.Files[i]
			fmt.Fprintf(w, "  not here\t%s: %d blocks, %s\n", cmp.Or(f.Path, fmt.Sprintf("inode %d", f.Inode)), f.Objects, formatBytes(int64(f.Bytes))) //nolint:gosec // a size
		}
	}
	for _, why := range res.Refused {
		fmt.Fprintf(w, "needs --force\t%s\n", why)
	}
	_ = w.Flush()
	switch {
	case failed != nil:
	case res.DryRun:
		fmt.Fprintln(out, "nothing was changed")
	default:
		fmt.Fprintf(out, "site %s is the source of volume %s now, from position %s on\n", res.Site, res.Volume, res.Position)
	}
}

// shownElsewhere is how many files people are shown whose data is elsewhere; --json lists more.
const shownElsewhere = 10

func elsewhereText(d *mirror.DataElsewhere) string {
	text := "all is in the bucket of this site"
	switch {
	case d.Everything:
		return "this site has no bucket: all of it is read from other sites'"
	case d.Objects > 0:
		text = fmt.Sprintf("%d blocks, %s, of %d files are not in the bucket of this site: they are read from that of %s as long as it answers",
			d.Objects, formatBytes(int64(d.Bytes)), uint64(len(d.Files))+d.MoreFiles, strings.Join(d.Sites, ", ")) //nolint:gosec // a size
	}
	if d.Unfinished != "" {
		text += fmt.Sprintf(" (%d slices were looked for, and then: %s)", d.Slices, d.Unfinished)
	}
	return text
}

func lossText(l *mirror.Loss) string {
	if !l.Possible {
		return "nothing"
	}
	text := fmt.Sprintf("at least %d changes, up to %s", l.Records, l.Head)
	if l.Records == 0 {
		text = "no change that is known of"
	}
	if !l.Since.IsZero() {
		text += "; and what the old source acknowledged after " + l.Since.UTC().Format(time.RFC3339Nano)
	}
	return text
}
