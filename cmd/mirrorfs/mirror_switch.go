package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

func newMirrorSwitchCommand(c *cli) *cobra.Command {
	opts := mirror.SwitchOptions{Wait: 30 * time.Second}
	abort := false
	cmd := &cobra.Command{
		Use:   "switch MIRROR_META",
		Short: "Exchange source and mirror without any loss",
		Long: `switch makes the mirror at MIRROR_META the source, and the source its mirror, as
planned work: it waits until the mirror is near, fences the source, waits until the
mirror has everything, and promotes it. Programs at the mirror wait meanwhile and go on;
those at the old source get EROFS until it is mounted again. When the mirror does not get
there within --timeout, the source goes on and nothing has happened. --abort lets a
source go on that an interrupted switch has left fenced.`,
		Example: "  mirrorfs mirror switch redis://redis.b.example/0\n  mirrorfs mirror switch redis://redis.b.example/0 --abort",
		Args:    exactArgs("MIRROR_META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.mirrorSwitch(cmd.Context(), args[0], opts, abort)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Address, "address", "", addressUsage)
	f.DurationVar(&opts.Wait, "timeout", opts.Wait, "longest wait for the mirror to come near, and again to have everything")
	f.BoolVar(&abort, "abort", false, "let a source that was fenced for this mirror go on")
	return cmd
}

func (c *cli) mirrorSwitch(ctx context.Context, addr string, opts mirror.SwitchOptions, abort bool) (err error) {
	site, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	if opts.Address == "" {
		opts.Address = reopenable(site.Address())
	}
	archive := c.newLogArchive(site, nil)
	defer func() { err = errors.Join(err, archive.close()) }()
	opts.Dial, opts.Archive, opts.Data, opts.Logger = c.dialSite(sourceTimeout), archive, c.dataConfig(site, nil, nil), c.log
	if abort {
		res, err := mirror.AbortSwitch(ctx, site, opts)
		if err != nil {
			return err
		}
		return c.print(res, func(w io.Writer) {
			fmt.Fprintf(w, "site %s goes on as the source of volume %s\n", res.OldSource, res.Volume)
		})
	}
	res, err := mirror.Switch(ctx, site, opts)
	if err != nil {
		return err
	}
	return c.print(res, func(w io.Writer) {
		writePromotion(w, &res.PromoteResult, nil)
		switch {
		case res.Already:
		case res.Rejoined:
			fmt.Fprintf(w, "no site took changes for %v\n", time.Duration(res.FencedSeconds*float64(time.Second)).Round(time.Millisecond))
			fmt.Fprintf(w, "site %s is its mirror: run it there with mirrorfs mirror run, and mount it again\n", res.OldSource)
		default:
			fmt.Fprintf(w, "site %s is no mirror yet (%s): mirrorfs mirror rejoin OLD_SOURCE_META %s\n", res.OldSource, res.Trouble, redis.Redact(addr))
		}
	})
}

// mirrorSetSource points a mirror at another address of its source, or at the site that was
// promoted in its place.
func (c *cli) mirrorSetSource(ctx context.Context, addr, sourceAddr string) (err error) {
	site, _, err := c.openMirror(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	source, err := c.openSource(ctx, sourceAddr, sourceTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	info, err := mirror.SetSource(ctx, source, site, sourceAddr)
	if err != nil {
		return err
	}
	return c.print(info, func(w io.Writer) { fmt.Fprintf(w, "mirror %s follows %s\n", info.Name, info.Source) })
}
