package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// clientShutdown bounds how long the end of a client waits for data to be written
// out, with servers that do not answer.
const clientShutdown = 5 * time.Minute

// clientOptions are the flags that a mount and a gateway have in common.
type clientOptions struct {
	cacheDir      string
	cacheSize     byteSize
	bufferSize    byteSize
	readOnly      bool
	subdir        string
	metrics       string
	maxLag        time.Duration
	sourceTimeout time.Duration
	bucketTimeout time.Duration
	nearBucket    string
	site          string
	upkeep        time.Duration
}

// addFlags adds the flags, with the values that are there as defaults. cacheDir says what
// --cache-dir is.
func (o *clientOptions) addFlags(f *pflag.FlagSet, cacheDir string) {
	f.StringVar(&o.cacheDir, "cache-dir", "", cacheDir)
	f.Var(&o.cacheSize, "cache-size", "limit of the cache")
	f.Var(&o.bufferSize, "buffer-size", "limit of written data in memory that is not in the bucket yet")
	f.BoolVar(&o.readOnly, "read-only", false, "refuse every change")
	f.StringVar(&o.subdir, "subdir", "", "show this directory of the volume as the root")
	f.StringVar(&o.metrics, "metrics", "", "serve Prometheus metrics and profiles on this address, for example :9567")
	f.DurationVar(&o.maxLag, "max-lag", 0, "at a mirror: read from the source while the mirror is further behind (0: never)")
	f.DurationVar(&o.sourceTimeout, "source-timeout", sourceTimeout, "at a mirror: how long a change may wait for the source before it fails with EIO; a question waits half as long")
	f.DurationVar(&o.bucketTimeout, "bucket-timeout", time.Minute, "how long a request to a bucket is repeated before a read fails with EIO, or a write is kept for later")
	f.StringVar(&o.nearBucket, "near-bucket", "", "at a site that uses the source's META: a bucket of its own, which is read first and takes what is written here; mirrorfs mirror run META copies")
	f.StringVar(&o.site, "site", "", "name of that site")
	f.DurationVar(&o.upkeep, "upkeep-interval", time.Minute, "how often to look for what can be cleaned up: clients that are gone, deleted files, freed blocks, the log")
}

func (o *clientOptions) validate() error {
	if o.maxLag < 0 || o.upkeep < 0 {
		return usagef("--max-lag and --upkeep-interval: want a time of 0 or more")
	}
	if o.sourceTimeout < minTimeout || o.bucketTimeout < minTimeout {
		return usagef("--source-timeout and --bucket-timeout: want %v or more", minTimeout)
	}
	if (o.nearBucket == "") != (o.site == "") {
		return usagef("--near-bucket BUCKET and --site NAME go together")
	}
	for _, s := range []struct {
		flag  string
		value *byteSize
	}{{"cache-size", &o.cacheSize}, {"buffer-size", &o.bufferSize}} {
		if *s.value <= 0 {
			return usagef("--%s %s: want more than 0", s.flag, s.value)
		}
	}
	return nil
}

// minTimeout is the least time in which a network may answer.
const minTimeout = 100 * time.Millisecond

// metaTimeout bounds a question or a change of metadata, whoever is to answer it.
func (o *clientOptions) metaTimeout() time.Duration {
	const metaTimeout = 30 * time.Second // here, where the source's time says nothing
	return max(metaTimeout, o.sourceTimeout)
}

// cacheNamed is the directory of the cache: what --cache-dir says, or a place of that name.
func (o *clientOptions) cacheNamed(name string) (string, error) {
	if o.cacheDir != "" {
		return filepath.Abs(o.cacheDir)
	}
	top := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if top, err = os.UserCacheDir(); err != nil {
			return "", hintf(fmt.Errorf("place for a cache: %w", err), "name one: --cache-dir DIR")
		}
	}
	return filepath.Join(top, "mirrorfs", name), nil
}

// client is a volume in use for long, by a mount or a gateway: its file system, its cache,
// and what runs beside them.
type client struct {
	c      *cli
	opts   *clientOptions
	v      *volume
	cache  *chunk.DiskCache
	blocks *chunk.Blocks
	fs     *vfs.FS // of newFS
	reg    *prometheus.Registry
}

// openClient opens a volume, and its blocks with a cache in the directory that cacheDir gives.
func (c *cli) openClient(ctx context.Context, addr string, opts *clientOptions, cacheDir func(v *volume) (string, error)) (*client, error) {
	reg := newRegistry()
	v, err := c.openVolume(ctx, addr, volumeOptions{
		MaxLag: opts.maxLag, NearBucket: opts.nearBucket, NearSite: opts.site,
		ChangeTimeout: opts.sourceTimeout, BucketTimeout: opts.bucketTimeout, Metrics: reg,
	})
	if err != nil {
		return nil, err
	}
	cl := &client{c: c, opts: opts, v: v, reg: reg}
	dir, err := cacheDir(v)
	if err == nil {
		err = cl.openBlocks(dir)
	}
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return cl, nil
}

// openBlocks opens the cache on disk, and the blocks on the volume's buckets.
func (cl *client) openBlocks(dir string) error {
	c, v := cl.c, cl.v
	cache, err := chunk.OpenDiskCache(dir, chunk.DiskOptions{
		Volume: v.Settings.ID, LimitBytes: int64(cl.opts.cacheSize), Logger: c.log, Metrics: cl.reg,
	})
	if err != nil {
		if errors.Is(err, chunk.ErrCacheInUse) {
			return hintf(err, "give each mount and gateway a cache of its own: --cache-dir DIR")
		}
		return hintf(err, "name a directory that can be written: --cache-dir DIR")
	}
	// A bucket in a directory is as near as the cache: to write each block there
	// twice would cost a third of the speed and save nothing.
	near := strings.HasPrefix(v.Settings.Sites[v.Home].Bucket, "file:")
	blocks, err := chunk.New(v.Store, cache, chunk.Options{
		NoWriteThrough: near, BlockBytes: v.Settings.BlockBytes, BufferBytes: int64(cl.opts.bufferSize), Logger: c.log, Metrics: cl.reg,
	})
	if err != nil {
		return errors.Join(err, cache.Close())
	}
	cl.cache, cl.blocks = cache, blocks
	return nil
}

func (cl *client) close() error {
	return errors.Join(cl.blocks.Close(), cl.cache.Close(), cl.v.Close())
}

// newFS makes the file system: o says what is the caller's own.
func (cl *client) newFS(ctx context.Context, o vfs.Options) (err error) {
	v := cl.v
	if o.Root, err = rootOf(ctx, v.Engine, cl.opts.subdir); err != nil {
		return err
	}
	s := &o.Session
	if s.Host, err = os.Hostname(); err != nil {
		return fmt.Errorf("name of this machine: %w", err)
	}
	s.PID, s.Site, s.Version, s.Started = os.Getpid(), v.Site.Name, version().Version, time.Now()
	o.Engine, o.Blocks, o.Buckets, o.ReadOnly = v.Engine, cl.blocks, v.Store, cl.opts.readOnly
	o.Home, o.HomeNow = v.Home, v.homeNow
	o.CompactOnRead = !v.Mirror // there only what is written there: the data is far away
	o.PurgeInterval, o.MetaTimeout = cl.opts.upkeep, cl.opts.metaTimeout()
	o.Logger, o.Metrics = cl.c.log, cl.reg
	cl.fs, err = vfs.New(o)
	return err
}

// rootOf finds the directory that is to be the root.
func rootOf(ctx context.Context, engine meta.Engine, subdir string) (meta.Ino, error) {
	subdir = path.Clean("/" + subdir)
	if subdir == "/" {
		return meta.RootIno, nil
	}
	nodes, err := engine.Resolve(ctx, meta.RootIno, subdir[1:])
	if err != nil {
		return 0, hintf(fmt.Errorf("--subdir %s: %w", subdir, err), "mount without --subdir and make the directory")
	}
	last := nodes[len(nodes)-1]
	if !last.Attr.IsDir() {
		return 0, usagef("--subdir %s: it is not a directory", subdir)
	}
	return last.Ino, nil
}

// run serves, with what runs beside that, and returns when serve has and everything is
// written out.
func (cl *client) run(ctx context.Context, serve func(ctx context.Context) error) error {
	c := cl.c
	// What runs beside ends after what is served: the last flushes need a session.
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() { c.upkeep(beside, cl.v, cl.opts.upkeep, cl.reg) })
	all.Go(func() { c.watchFence(beside, cl.v, cl.opts.upkeep) })
	for _, run := range []func(context.Context) error{cl.fs.Run, cl.cache.Run} {
		all.Go(func() {
			if err := run(beside); err != nil {
				c.log.ErrorContext(ctx, "what runs in the background ended", slog.Any("error", err))
			}
		})
	}
	err := cl.reg.Register(newSiteCollector(cl.v.near, cl.v.Settings.Name, cl.v.Site.Name))
	if err == nil {
		err = c.serveMetrics(beside, cl.opts.metrics, cl.reg)
	}
	if err == nil {
		err = serve(ctx)
	}
	stop()
	all.Wait()
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), clientShutdown)
	defer cancel()
	if lost := cl.fs.Shutdown(shutdown); lost != nil {
		err = errors.Join(err, fmt.Errorf("at the end: %w", lost))
	}
	return err
}
