package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/mirror"
	"mirrorfs/mirror/replicate"
	"mirrorfs/object"
)

// siteBuckets opens the buckets of a volume's sites, each once.
type siteBuckets struct {
	c       *cli
	reg     prometheus.Registerer
	timeout time.Duration // of requests; 0 is the default

	mu     sync.Mutex
	opened map[string]object.Store // by address
}

// of gives the buckets of all sites that have one, and, to be read only, those of the volume
// that this one was restored from.
func (b *siteBuckets) of(ctx context.Context, v meta.Volume) (map[uint8]object.Store, error) {
	homes, err := b.own(ctx, v)
	if err != nil {
		return nil, err
	}
	for id, site := range v.Origins {
		s, err := b.get("origin "+site.Bucket, func() (object.Store, error) { return b.c.openOrigin(ctx, v, site, b.reg) }) // no address has a blank
		if err != nil {
			return nil, err
		}
		homes[id] = s
	}
	return homes, nil
}

// own gives the buckets of all sites that have one.
func (b *siteBuckets) own(ctx context.Context, v meta.Volume) (map[uint8]object.Store, error) {
	homes := map[uint8]object.Store{}
	for _, id := range slices.Sorted(maps.Keys(v.Sites)) {
		site := v.Sites[id]
		if site.Bucket == "" {
			continue
		}
		s, err := b.get(site.Bucket, func() (object.Store, error) {
			return b.c.openBucketWithin(ctx, site.Bucket, site.Name, b.timeout, b.reg)
		})
		if err != nil {
			return nil, fmt.Errorf("bucket of site %s: %w", site.Name, err)
		}
		homes[id] = s
	}
	return homes, nil
}

// get gives a bucket, which it opens if that was not done before.
func (b *siteBuckets) get(key string, open func() (object.Store, error)) (object.Store, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.opened[key]; s != nil {
		return s, nil
	}
	s, err := open()
	if err != nil {
		return nil, err
	}
	if b.opened == nil {
		b.opened = map[string]object.Store{}
	}
	b.opened[key] = s
	return s, nil
}

// openOrigin opens the bucket of a site of the volume that another one was restored from, to
// be read only.
func (c *cli) openOrigin(ctx context.Context, v meta.Volume, site meta.Site, reg prometheus.Registerer) (object.Store, error) {
	s, err := c.openBucket(ctx, site.Bucket, "origin-"+site.Name, reg)
	if err != nil {
		return nil, fmt.Errorf("bucket of site %s, from which this volume was restored: %w", site.Name, err)
	}
	return mirror.NewOriginStore(s, func(home uint8) bool { return v.Origins[home].Bucket != "" }), nil
}

func (b *siteBuckets) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, s := range b.opened {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// openBuckets makes the store of a volume's client: blocks are read from the bucket of
// its own site first, if that has one, then from their home, then from any other; and
// they are written to home. Sites that come later are found.
func (c *cli) openBuckets(ctx context.Context, v *volume, keep bool, o volumeOptions) (object.Store, error) {
	b := &siteBuckets{c: c, reg: o.Metrics, timeout: o.BucketTimeout}
	homes, err := b.of(ctx, v.Settings)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	opts := mirror.StoreOptions{
		Near: homes[v.bucket], Homes: homes, Feeder: v.feeder, Source: v.Home, Logger: c.log, Metrics: o.Metrics,
		Sites: func(ctx context.Context) (map[uint8]object.Store, error) {
			settings, err := v.near.Volume(ctx)
			if err != nil {
				return nil, err
			}
			return b.of(ctx, settings)
		},
	}
	if keep {
		opts.Keep = &mirror.KeepOptions{Claims: v.near, Check: chunk.CheckObject}
	}
	s, err := mirror.NewStore(opts)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return s, nil
}

// blockObjects tells the runner what a slice is stored as.
func blockObjects(s meta.Slice, blockBytes int) []replicate.Object {
	list := chunk.Objects(chunk.SliceRef{Slice: s.ID, Home: s.Home, Size: s.Size}, blockBytes)
	objects := make([]replicate.Object, len(list))
	for i := range list {
		objects[i] = replicate.Object(list[i])
	}
	return objects
}

// takeBucket makes sure that a bucket can be used, and claims it for a site of a volume.
// release undoes the claim, unless it was there before.
func (c *cli) takeBucket(ctx context.Context, addr string, v meta.Volume, site string) (release func(context.Context) error, err error) {
	store, err := c.openProbed(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = store.Close()
		}
	}()
	if err := probeBucket(ctx, store); err != nil {
		return nil, err
	}
	undo, err := claimBucket(ctx, store, v, site)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return errors.Join(undo(ctx), store.Close()) }, nil
}
