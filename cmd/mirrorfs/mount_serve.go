package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/vfs"
	"mirrorfs/vfs/fuse"
)

// mountShutdown bounds how long the end of a mount waits for data to be written
// out, with servers that do not answer.
const mountShutdown = 5 * time.Minute

// mountData is a mount's blocks and their cache.
type mountData struct {
	cache  *chunk.DiskCache
	blocks *chunk.Blocks
}

func (d *mountData) close() error { return errors.Join(d.blocks.Close(), d.cache.Close()) }

// openData opens the cache on disk, and the blocks on the volume's buckets.
func (c *cli) openData(v *volume, dir string, opts mountOptions, reg prometheus.Registerer) (*mountData, error) {
	cacheDir, err := opts.cacheOf(dir)
	if err != nil {
		return nil, err
	}
	cache, err := chunk.OpenDiskCache(cacheDir, chunk.DiskOptions{
		Volume: v.Settings.ID, LimitBytes: int64(opts.cacheSize), Logger: c.log, Metrics: reg,
	})
	if err != nil {
		if errors.Is(err, chunk.ErrCacheInUse) {
			return nil, hintf(err, "give this mount a cache of its own: --cache-dir DIR")
		}
		return nil, hintf(err, "name a directory that can be written: --cache-dir DIR")
	}
	// A bucket in a directory is as near as the cache: to write each block there
	// twice would cost a third of the speed and save nothing.
	near := strings.HasPrefix(v.Settings.Sites[v.Home].Bucket, "file:")
	blocks, err := chunk.New(v.Store, cache, chunk.Options{
		NoWriteThrough: near, BlockBytes: v.Settings.BlockBytes, BufferBytes: int64(opts.bufferSize), Logger: c.log, Metrics: reg,
	})
	if err != nil {
		return nil, errors.Join(err, cache.Close())
	}
	return &mountData{cache, blocks}, nil
}

// mounted is a volume ready to be mounted: its file system and what runs beside it.
type mounted struct {
	c    *cli
	v    *volume
	data *mountData
	fs   *vfs.FS
	dir  string
	reg  *prometheus.Registry
}

func (c *cli) newMounted(ctx context.Context, v *volume, data *mountData, dir string, opts mountOptions, reg *prometheus.Registry) (*mounted, error) {
	root, err := rootOf(ctx, v.Engine, opts.subdir)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	atime := vfs.AtimeOff
	if opts.atime == "relatime" {
		atime = vfs.AtimeRelative
	}
	fs, err := vfs.New(vfs.Options{
		Atime:  atime,
		Engine: v.Engine, Blocks: data.blocks, Home: v.Home, Root: root, ReadOnly: opts.readOnly,
		CompactOnRead: !v.Mirror, // there only what is written there: the data is far away
		Session: meta.SessionInfo{
			Host: host, PID: os.Getpid(), Kind: "mount", Mount: dir, Site: v.Site.Name, Version: version().Version, Started: time.Now(),
		},
		Buckets: v.Store, PurgeInterval: opts.upkeep, MetaTimeout: opts.metaTimeout(),
		AttrAge: max(1, min(opts.attrTimeout, time.Second)), // 0 would be the default
		Logger:  c.log, Metrics: reg,
	})
	if err != nil {
		return nil, err
	}
	return &mounted{c: c, v: v, data: data, fs: fs, dir: dir, reg: reg}, nil
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

// serve mounts, and returns when the mount is gone and everything is written out.
func (m *mounted) serve(ctx context.Context, opts mountOptions, ready func() error) error {
	c := m.c
	// What runs beside the mount ends after it: the last flushes need a session.
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() { c.upkeep(beside, m.v, opts.upkeep, m.reg) })
	all.Go(func() { c.watchFence(beside, m.v, opts.upkeep) })
	for _, run := range []func(context.Context) error{m.fs.Run, m.data.cache.Run} {
		all.Go(func() {
			if err := run(beside); err != nil {
				c.log.ErrorContext(ctx, "what runs beside the mount ended", slog.Any("error", err))
			}
		})
	}
	err := m.reg.Register(newSiteCollector(m.v.near, m.v.Settings.Name, m.v.Site.Name))
	if err == nil {
		err = c.serveMetrics(beside, opts.metrics, m.reg)
	}
	if err == nil {
		err = m.serveKernel(ctx, opts, ready)
	}
	stop()
	all.Wait()
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), mountShutdown)
	defer cancel()
	if lost := m.fs.Shutdown(shutdown); lost != nil {
		err = errors.Join(err, fmt.Errorf("end of the mount: %w", lost))
	}
	return err
}

func (m *mounted) serveKernel(ctx context.Context, opts mountOptions, ready func() error) error {
	server, err := fuse.Mount(ctx, fuse.Options{
		FS: m.fs, Dir: m.dir, Volume: m.v.Settings.Name, Source: reopenable(m.v.near.Address()), ReadOnly: opts.readOnly, NonEmpty: opts.nonEmpty, OnlyOwner: opts.onlyOwner, LocalLocks: opts.localLocks,
		AttrTimeout: kernelTimeout(opts.attrTimeout), EntryTimeout: kernelTimeout(opts.entryTimeout), NegativeTimeout: opts.negativeTimeout,
		ReadAheadBytes: int(opts.readAhead), Grace: opts.grace, MetaTimeout: opts.metaTimeout(), Debug: opts.debugKernel, Logger: m.c.log, Metrics: m.reg,
	})
	if err != nil {
		return explainFuse(err)
	}
	m.c.log.InfoContext(ctx, "mounted", slog.String("volume", m.v.Settings.Name), slog.String("dir", server.Dir()),
		slog.String("site", m.v.Site.Name), slog.Bool("mirror", m.v.Mirror))
	if err := ready(); err != nil {
		m.c.log.WarnContext(ctx, "nobody waits for the mount any more", slog.Any("error", err))
	}
	err = server.Run(ctx)
	if err == nil {
		m.c.log.InfoContext(ctx, "unmounted", slog.String("dir", server.Dir()))
	}
	return explainFuse(err)
}
