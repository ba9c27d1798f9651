package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// mirrorRunOptions are the flags of mirror run.
type mirrorRunOptions struct {
	bandwidth byteSize
	metrics   string
	verify    time.Duration // how often the mirror is verified; 0 is never
}

func newMirrorRunCommand(c *cli) *cobra.Command {
	var opts mirrorRunOptions
	cmd := &cobra.Command{
		Use:   "run MIRROR_META",
		Short: "Carry the source's metadata and data to a mirror, in the foreground",
		Long: `run copies the source's metadata to MIRROR_META, and then applies every change as
it comes, until it is interrupted. It goes on by itself after a cut of the link or a
restart of either Redis, from where it was. Several may run for one mirror, on several
machines: one does the work, and another takes over within 10 s when that is silent
(mirror status tells which). What must not be gone over, such as a gap in the log, stalls the mirror: see mirror status. When
another site is promoted, it follows that one; while its own site is the source, it waits.

Of a mirror in data mode full it also copies all data into the mirror's bucket, in
the order of the log, and what was written at the mirror into the source's bucket. So
it must reach both buckets.

Given the source's META, it copies for the sites that share that and have a bucket of
their own (mount --near-bucket).`,
		Example: "  mirrorfs mirror run redis://redis.b.example/0 --metrics :9567\n  mirrorfs mirror run redis://redis.b.example/0 --bandwidth 10MiB",
		Args:    exactArgs("MIRROR_META"),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.mirrorRun(cmd.Context(), args[0], opts) },
	}
	cmd.Flags().Var(&opts.bandwidth, "bandwidth", "most bytes a second read from afar, metadata and data together; 0 is what mirror set says for data")
	cmd.Flags().StringVar(&opts.metrics, "metrics", "", "serve Prometheus metrics and profiles at this address, for example :9567")
	cmd.Flags().DurationVar(&opts.verify, "verify-every", 0, "how often to compare all metadata with the source's, for example 24h; 0 is never")
	return cmd
}

// scheduledRate is how many rows a second a scheduled verification compares.
const scheduledRate = 20_000

func (c *cli) mirrorRun(ctx context.Context, addr string, opts mirrorRunOptions) (err error) {
	reg := newRegistry()
	if err := c.serveMetrics(ctx, opts.metrics, reg); err != nil {
		return err
	}
	site, info, err := c.openMirror(ctx, addr, reg)
	if errors.Is(err, mirror.ErrNotMirror) {
		return c.nearRun(ctx, addr, opts, reg, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	if _, err := c.checkServer(ctx, site); err != nil {
		return err
	}
	if err := reg.Register(newSiteCollector(site, site.VolumeName(), info.Name)); err != nil {
		return err
	}
	limit := newLimit(int64(opts.bandwidth))
	source := redis.Options{
		Password: c.getenv(envSourcePassword), Connections: 4, Logger: c.log,
		Dialer: limitedDialer(limit), Metrics: reg, Name: sourceServer,
	}
	c.log.InfoContext(ctx, "mirror runs", slog.String("site", info.Name), slog.String("source", info.Source))
	archive := c.newLogArchive(site, reg)
	defer func() { err = errors.Join(err, archive.close()) }()
	beside, stop := context.WithCancel(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() { c.keepSourceLog(beside, site, source) })
	defer func() { stop(); keeping.Wait() }()
	dialAt := func(ctx context.Context, address string) (mirror.Upstream, error) {
		opts, err := throughRelay(ctx, site, address, source)
		if err != nil {
			return nil, err
		}
		e, err := redis.Open(ctx, address, opts)
		if err != nil {
			return nil, explainMeta(err, address, envSourcePassword)
		}
		return e, nil
	}
	dial := func(ctx context.Context) (mirror.Upstream, error) {
		now, err := mirror.Of(ctx, site) // it may have been pointed elsewhere
		if err != nil {
			return nil, err
		}
		return dialAt(ctx, now.Source)
	}
	if opts.verify > 0 {
		keeping.Go(func() {
			err := mirror.KeepVerified(beside, mirror.ScheduleOptions{
				Every: opts.verify, Dial: dial, Site: site, Verify: mirror.VerifyOptions{Rate: scheduledRate}, Claims: site, Logger: c.log,
			})
			if err != nil {
				c.log.ErrorContext(beside, "the mirror is not verified", slog.Any("error", err))
			}
		})
	}
	err = mirror.Run(ctx, mirror.Config{
		Dial:    dial,
		DialAt:  dialAt,
		Data:    c.dataConfig(site, limit, reg),
		Claims:  site,
		Replica: site, Archive: archive, Logger: c.log, Metrics: reg,
	})
	c.log.InfoContext(context.WithoutCancel(ctx), "mirror stopped", slog.String("site", info.Name))
	return err
}
