package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
	"mirrorfs/object"
	"mirrorfs/object/open"
)

// Variables with passwords. They are never printed.
const (
	envMetaPassword   = "MIRRORFS_META_PASSWORD"   //nolint:gosec // the variable's name
	envSourcePassword = "MIRRORFS_SOURCE_PASSWORD" //nolint:gosec // the variable's name
)

// openMeta opens the metadata at an address that a user gave: Redis, or a
// private Redis that is started for it.
func (c *cli) openMeta(ctx context.Context, addr string, reg prometheus.Registerer) (*redis.Engine, error) {
	e, err := redis.Open(ctx, addr, redis.Options{Password: c.getenv(envMetaPassword), Logger: c.log, Metrics: reg})
	if err != nil {
		return nil, explainMeta(err, addr, envMetaPassword)
	}
	return e, nil
}

// openSource opens the metadata of a mirror's source.
func (c *cli) openSource(ctx context.Context, addr string, timeout time.Duration) (*redis.Engine, error) {
	return c.openSourceMetered(ctx, addr, timeout, nil)
}

// openSourceMetered is openSource for a process that serves metrics.
func (c *cli) openSourceMetered(ctx context.Context, addr string, timeout time.Duration, reg prometheus.Registerer) (*redis.Engine, error) {
	e, err := redis.Open(ctx, addr, redis.Options{
		Password: c.getenv(envSourcePassword), ChangeTimeout: timeout, Logger: c.log, Metrics: reg, Name: sourceServer,
	})
	if err != nil {
		return nil, explainMeta(err, addr, envSourcePassword)
	}
	return e, nil
}

// sourceServer is what metrics call the source's Redis; the own one is "here".
const sourceServer = "source"

// checkServer refuses a server whose settings would lose data, and warns about one
// that may.
func (c *cli) checkServer(ctx context.Context, e *redis.Engine) ([]string, error) {
	all, err := e.CheckServer(ctx)
	if err != nil {
		return nil, err
	}
	var warnings []string
	for _, w := range all {
		c.log.WarnContext(ctx, "metadata may be lost", slog.String("reason", w.Reason), slog.String("set", w.Setting))
		warnings = append(warnings, w.String())
	}
	return warnings, nil
}

// explainMeta says what can be done about metadata that could not be opened.
func explainMeta(err error, addr, password string) error {
	shown := redis.Redact(addr)
	switch {
	case errors.Is(err, meta.ErrNoVolume):
		return hintf(err, "mirrorfs format %s NAME --bucket BUCKET makes a volume", shown)
	case errors.Is(err, syscall.EACCES):
		return hintf(err, "set %s to the password of %s", password, shown)
	case errors.Is(err, meta.ErrUnreachable):
		return hintf(err, "is Redis running at %s, and can this machine reach it?", shown)
	default:
		return err
	}
}

// openBucket opens a data address with everything that a client wants around it.
// name tells buckets apart in metrics.
func (c *cli) openBucket(ctx context.Context, addr, name string, reg prometheus.Registerer) (object.Store, error) {
	return c.openBucketWithin(ctx, addr, name, 0, reg)
}

// openBucketWithin is openBucket, where requests are repeated for a time of one's own; 0 is the
// default. An attempt gets no more than that either, beside what its bytes need.
func (c *cli) openBucketWithin(ctx context.Context, addr, name string, timeout time.Duration, reg prometheus.Registerer) (object.Store, error) {
	retry := object.RetryOptions{Logger: c.log, Total: timeout}
	if timeout > 0 {
		retry.AttemptBase = min(timeout, attemptTime)
	}
	return open.Store(ctx, addr, open.Options{Name: name, Retry: retry, Metrics: reg})
}

// attemptTime is what one request to a bucket may take, beside what its bytes need.
const attemptTime = 10 * time.Second

// volumeOptions say how a volume is used.
type volumeOptions struct {
	// MaxLag sends reads at a mirror to the source while it is further behind; 0
	// never does.
	MaxLag time.Duration
	// ChangeTimeout bounds a change sent from a mirror, and half of it a question; 0 is 10 s.
	ChangeTimeout time.Duration
	// BucketTimeout is how long requests to buckets are repeated; 0 is a minute.
	BucketTimeout time.Duration
	// NearBucket and NearSite are of a site that has a bucket of its own, and META in
	// common with the source.
	NearBucket, NearSite string
	Metrics              prometheus.Registerer
}

// volume is a volume opened for use by programs, whatever site META is of: what
// stands on it cannot tell a source from a mirror.
type volume struct {
	Engine   meta.Engine
	Store    object.Store
	Settings meta.Volume
	// Home is the site whose bucket takes new slices.
	Home uint8
	// Site is where META is, or the near site.
	Site   meta.Site
	Mirror bool

	near *redis.Engine // of META
	// bucket is the site whose bucket is read first, and feeder the one after that; 0 is none.
	bucket, feeder uint8
}

// Close closes connections.
func (v *volume) Close() error { return errors.Join(v.Engine.Close(), v.Store.Close()) }

// openVolume opens the volume at a metadata address. It finds out by itself
// whether that is a mirror, and where its source is then.
func (c *cli) openVolume(ctx context.Context, addr string, opts volumeOptions) (_ *volume, err error) {
	near, err := c.openMeta(ctx, addr, opts.Metrics)
	if err != nil {
		return nil, err
	}
	v := &volume{Engine: near, near: near}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Engine.Close())
		}
	}()
	if _, err := c.checkServer(ctx, near); err != nil {
		return nil, err
	}
	if v.Settings, err = near.Volume(ctx); err != nil {
		return nil, explainMeta(err, addr, envMetaPassword)
	}
	info, err := mirror.Of(ctx, near)
	state, stateErr := near.State(ctx)
	if stateErr != nil {
		return nil, explainMeta(stateErr, addr, envMetaPassword)
	}
	switch {
	case errors.Is(err, mirror.ErrNotMirror) && state.Role == meta.RoleBootstrapping:
		return nil, hintf(fmt.Errorf("%w that is complete: what is at %s was not loaded to the end", meta.ErrNoVolume, redis.Redact(addr)),
			"mirrorfs load FILE %s loads it anew", redis.Redact(addr))
	case errors.Is(err, mirror.ErrNotMirror):
		v.Site = v.Settings.Sites[v.Settings.FirstSite()]
	case err != nil:
		return nil, explainMeta(err, addr, envMetaPassword)
	case state.Role == meta.RoleSource || state.Role == meta.RoleFenced: // it was a mirror once
		v.Site = v.Settings.Sites[info.Site]
	default:
		v.Site, v.Mirror, v.feeder = meta.Site{ID: info.Site, Name: info.Name}, true, info.FeedSite
		if v.Engine, err = c.forwardingEngine(near, opts); err != nil {
			v.Engine = near
			return nil, err
		}
	}
	if v.Home = mirror.Home(&v.Settings, v.Site.ID); v.Mirror {
		v.Home = mirror.Home(&v.Settings, info.Home())
	}
	if opts.NearBucket != "" {
		if err := c.joinNear(ctx, v, opts); err != nil {
			return nil, err
		}
	}
	keep := v.Mirror && info.Mode == mirror.ModeKeep
	if v.bucket = v.Site.ID; v.Mirror && info.Mode == mirror.ModeDemand {
		v.bucket = 0 // one that it had before takes nothing more
	}
	v.Store, err = c.openBuckets(ctx, v, keep, opts)
	return v, err
}

// homeNow is Home, or, when this site was promoted below a client, the site whose bucket takes new slices since.
func (v *volume) homeNow() uint8 {
	if e, ok := v.Engine.(*mirror.Engine); ok && e.AtSource() {
		return mirror.Home(&v.Settings, v.Site.ID)
	}
	return v.Home
}

// firstSite is the number of the site where a volume is formatted.
const firstSite = 1

// forwardingEngine reads near and sends changes to the source, wherever that is at the time.
func (c *cli) forwardingEngine(near *redis.Engine, opts volumeOptions) (meta.Engine, error) {
	timeout := opts.ChangeTimeout
	if timeout == 0 {
		timeout = sourceTimeout
	}
	return mirror.NewEngine(mirror.EngineOptions{
		Near:  near,
		Where: func(ctx context.Context) (mirror.Whereabouts, error) { return mirror.Where(ctx, near) },
		Dial: func(ctx context.Context) (meta.Engine, error) {
			at, err := mirror.Where(ctx, near)
			if err != nil {
				return nil, err
			}
			var e *redis.Engine
			if at.Here {
				e, err = near.Twin(ctx, redis.Options{Password: c.getenv(envMetaPassword), ChangeTimeout: timeout, Logger: c.log, Metrics: opts.Metrics})
			} else {
				e, err = c.openSourceMetered(ctx, at.Address, timeout, opts.Metrics)
			}
			if err != nil {
				return nil, err // a nil *redis.Engine would be a meta.Engine that is not nil
			}
			return e, nil
		},
		ChangeTimeout: timeout, ReadTimeout: timeout / 2, MaxLag: opts.MaxLag, Logger: c.log, Metrics: opts.Metrics,
	})
}
