package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
	"mirrorfs/mirror/segments"
	"mirrorfs/object"
)

// archiveTimeout bounds one round of archiving a log. What is done stays done.
const archiveTimeout = 10 * time.Minute

// logKeeper archives the log of a source in its bucket and trims it. Every client of the
// source may have one.
type logKeeper struct {
	c      *cli
	engine *redis.Engine // of the source
	source string        // its address, of a mirror's runner
	reg    prometheus.Registerer
	// patient leaves the work to others as long as they do it.
	patient bool

	archiver *segments.Archiver
	bucket   object.Store
	address  string // of bucket
}

// round archives what is due, and removes records that nobody needs, but for the last keep.
// At a site that is no source it does nothing.
func (k *logKeeper) round(ctx context.Context, keep int) error {
	state, err := k.engine.State(ctx)
	if err != nil || state.Role != meta.RoleSource {
		return err
	}
	archiving, cancel := context.WithTimeout(ctx, archiveTimeout)
	_, err = k.archive(archiving, (*segments.Archiver).Round)
	cancel()
	ctx, cancel = context.WithTimeout(ctx, upkeepTimeout)
	defer cancel()
	_, trimErr := k.engine.TrimLog(ctx, keep)
	return errors.Join(err, trimErr)
}

// archive runs an archiver, if the volume keeps its log, or has kept it.
func (k *logKeeper) archive(ctx context.Context, run func(*segments.Archiver, context.Context) (segments.Report, error)) (segments.Report, error) {
	var none segments.Report
	v, err := k.engine.Volume(ctx)
	if err != nil {
		return none, err
	}
	at, err := k.engine.Archived(ctx)
	if err != nil || v.LogKeep == 0 && at == (meta.Archived{}) {
		return none, err
	}
	if err := k.open(ctx, &v); err != nil || k.archiver == nil {
		return none, err
	}
	return run(k.archiver, ctx)
}

// open opens the bucket that takes the segments, unless it is open.
func (k *logKeeper) open(ctx context.Context, v *meta.Volume) error {
	site, ok := logSite(v, ownSite(ctx, k.engine, v))
	if !ok || k.archiver != nil && site.Bucket == k.address {
		return nil
	}
	if err := k.close(); err != nil {
		return err
	}
	bucket, err := k.c.openBucket(ctx, site.Bucket, site.Name, k.reg)
	if err != nil {
		return err
	}
	k.bucket, k.address = bucket, site.Bucket
	k.archiver, err = segments.NewArchiver(segments.Options{Log: k.engine, Bucket: bucket, Patient: k.patient, Logger: k.c.log})
	return err
}

func (k *logKeeper) close() error {
	if k.bucket == nil {
		return nil
	}
	err := k.bucket.Close()
	k.bucket, k.archiver = nil, nil
	return err
}

// ownSite is the number of the site of a source.
func ownSite(ctx context.Context, e *redis.Engine, v *meta.Volume) uint8 {
	if info, err := mirror.Of(ctx, e); err == nil {
		return info.Site // it was a mirror once
	}
	return v.FirstSite()
}

// logSite is the site in whose bucket a source keeps its log: its own, or the first one that
// has a bucket.
func logSite(v *meta.Volume, own uint8) (meta.Site, bool) {
	if s := v.Sites[own]; s.Bucket != "" {
		return s, true
	}
	for _, id := range slices.Sorted(maps.Keys(v.Sites)) {
		if s := v.Sites[id]; s.Bucket != "" {
			return s, true
		}
	}
	return meta.Site{}, false
}

// keepSourceLog archives the log of a mirror's source until ctx ends, when no client of the
// source does it: one that is written through mirrors only may have no other.
func (c *cli) keepSourceLog(ctx context.Context, site *redis.Engine, opts redis.Options) {
	k := &logKeeper{c: c, patient: true, reg: opts.Metrics}
	defer func() { c.warn(ctx, k.forget()) }()
	tick := time.NewTicker(upkeepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.keepSourceLogOnce(ctx, k, site, opts); err != nil && ctx.Err() == nil {
			c.log.DebugContext(ctx, "the source's log was not looked after", slog.Any("error", errors.Join(err, k.forget())))
		}
	}
}

func (c *cli) keepSourceLogOnce(ctx context.Context, k *logKeeper, site *redis.Engine, opts redis.Options) error {
	info, err := mirror.Of(ctx, site)
	if err != nil {
		return err
	}
	if k.engine != nil && k.source != info.Source { // another site was promoted
		if err := k.forget(); err != nil {
			return err
		}
	}
	if k.engine == nil {
		if opts, err = throughRelay(ctx, site, info.Source, opts); err != nil {
			return err
		}
		e, err := redis.Open(ctx, info.Source, opts)
		if err != nil {
			return err
		}
		k.engine, k.source = e, info.Source
	}
	return k.round(ctx, keptRecords)
}

// forget closes the source too: the next round opens it anew.
func (k *logKeeper) forget() error {
	err := k.close()
	if k.engine != nil {
		err = errors.Join(err, k.engine.Close())
		k.engine = nil
	}
	return err
}

// warn logs an error that nothing can be done about.
func (c *cli) warn(ctx context.Context, err error) {
	if err != nil {
		c.log.WarnContext(ctx, "not ended cleanly", slog.Any("error", err))
	}
}
