package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
	"mirrorfs/object"
)

// joinNear makes a client one of a site that shares the source's metadata, which it
// registers if it is the first one there.
func (c *cli) joinNear(ctx context.Context, v *volume, opts volumeOptions) error {
	if v.Mirror {
		return usagef("--near-bucket is for a site that uses the source's META; a mirror gets a bucket by mirrorfs mirror set --data keep|full --bucket")
	}
	if err := validName("site", opts.NearSite); err != nil {
		return err
	}
	release := func(context.Context) error { return nil }
	known := false
	for _, s := range v.Settings.Sites {
		known = known || s.Shares && s.Name == opts.NearSite && s.Bucket == opts.NearBucket
	}
	if !known {
		var err error
		if release, err = c.takeBucket(ctx, opts.NearBucket, v.Settings, opts.NearSite); err != nil {
			return err
		}
	}
	site, err := mirror.AddNear(ctx, v.near, opts.NearSite, opts.NearBucket)
	if err != nil {
		return errors.Join(err, release(context.WithoutCancel(ctx)))
	}
	if v.Settings, err = v.near.Volume(ctx); err != nil {
		return err
	}
	v.Home, v.Site = site.ID, site
	return nil
}

// dataConfig is what a runner copies data with.
func (c *cli) dataConfig(site *redis.Engine, limit *rate.Limiter, reg prometheus.Registerer) *mirror.DataConfig {
	return &mirror.DataConfig{
		Site: site, Objects: blockObjects, Check: chunk.CheckObject, Limit: limit, Logger: c.log, Metrics: reg,
		Open: func(ctx context.Context, s meta.Site) (object.Store, error) {
			return c.openBucket(ctx, s.Bucket, s.Name, reg)
		},
	}
}

// nearRun copies for the sites that share the metadata at addr. When there are none, it
// returns why that is nothing to run.
func (c *cli) nearRun(ctx context.Context, addr string, opts mirrorRunOptions, reg prometheus.Registerer, nothing error) (err error) {
	e, err := c.openMeta(ctx, addr, reg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	v, err := e.Volume(ctx)
	if err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	if !mirror.HasNear(&v) {
		return nothing
	}
	c.log.InfoContext(ctx, "data is copied between the sites that share their metadata", slog.String("volume", v.Name))
	return mirror.RunNear(ctx, v.FirstSite(), *c.dataConfig(e, newLimit(int64(opts.bandwidth)), reg))
}

func (c *cli) nearRemove(ctx context.Context, addr, name string, timeout time.Duration) (err error) {
	e, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	draining, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	site, err := mirror.RemoveNear(draining, e, name)
	if err != nil {
		return explainDrain(err, addr)
	}
	return c.print(site, func(w io.Writer) { fmt.Fprintf(w, "removed site %s (site %d)\n", site.Name, site.ID) })
}
