package fuse_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	_ "net/http/pprof" // the child is profiled through it
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/object"
	"mirrorfs/object/file"
	"mirrorfs/vfs"
	"mirrorfs/vfs/fuse"
)

// childEnv holds the child's config as JSON; the test binary is the child when
// it is set. A mount served by the test's own process could wait for itself.
const childEnv = "MIRRORFS_FUSE_CHILD"

// childConfig says what a child serves: the same volume at each of Dirs, each by
// a client of its own.
type childConfig struct {
	Dirs   []string
	Meta   string // address of Redis
	Bucket string // directory
	Cache  string // directory above those of the caches of each client; empty is a cache in memory
	// CacheBytes limits the cache on disk; negative is no cache at all.
	CacheBytes int64
	// FlushAge and CompactExtents are vfs.Options'.
	FlushAge       time.Duration
	CompactExtents int
	Volume         string
	Subdir         string        // shown as root
	Timeout        time.Duration // of attributes and entries
	AttrAge        time.Duration // of vfs.Options
	// NegativeTimeout, ReadOnly and Grace are fuse.Options'.
	NegativeTimeout time.Duration
	ReadOnly        bool
	Grace           time.Duration
	Debug           bool
	LocalLocks      bool
	// Ahead is how far the child's clock is ahead of others', for all that waits for hours or
	// minutes to pass; PurgeInterval is vfs.Options'.
	Ahead         time.Duration
	PurgeInterval time.Duration
	// SessionTTL is how long a session lives without a heartbeat; 0 as usual.
	SessionTTL time.Duration
	Loopback   string // show this directory instead of a volume, for benchmarks
	Pprof      string // address
}

func TestMain(m *testing.M) {
	if os.Getenv(lockerEnv) != "" {
		runLocker()
		return
	}
	config := os.Getenv(childEnv)
	if config == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := runChild(ctx, config)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ready is what the child prints when its mounts answer.
const ready = "ready"

func runChild(ctx context.Context, config string) error {
	var c childConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if c.Pprof != "" {
		go func() { _ = http.ListenAndServe(c.Pprof, nil) }() //nolint:gosec // a test on loopback
	}
	if c.Loopback != "" {
		return c.serveLoopback(ctx)
	}
	store, err := file.New(c.Bucket)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, len(c.Dirs))
	mounted := make(chan struct{}, len(c.Dirs))
	for i, dir := range c.Dirs {
		all.Go(func() {
			errs[i] = c.serve(ctx, dir, store, log, func() { mounted <- struct{}{} })
			mounted <- struct{}{}
		})
	}
	for range c.Dirs {
		<-mounted
	}
	if err := errors.Join(errs...); err == nil {
		fmt.Println(ready)
	}
	all.Wait()
	return errors.Join(errs...)
}

// serve mounts one client and runs it until it is unmounted or ctx ends.
func (c *childConfig) serve(ctx context.Context, dir string, store object.Store, log *slog.Logger, mounted func()) error {
	var clock func() time.Time
	if c.Ahead > 0 {
		clock = func() time.Time { return time.Now().Add(c.Ahead) }
	}
	engine, err := redis.Open(ctx, c.Meta, redis.Options{Logger: log, SessionTTL: c.SessionTTL, Clock: clock})
	if err != nil {
		return err
	}
	blocks, closeBlocks, err := c.blocks(dir, store)
	if err != nil {
		return err
	}
	defer closeBlocks()
	opts := vfs.Options{
		Engine: engine, Blocks: blocks, ReadOnly: c.ReadOnly, Logger: log, AttrAge: c.AttrAge,
		Now: clock, PurgeInterval: c.PurgeInterval, FlushAge: c.FlushAge, CompactExtents: c.CompactExtents, CompactOnRead: true,
		SessionTTL: c.SessionTTL, HeartbeatInterval: c.SessionTTL / 5,
		Session: meta.SessionInfo{Host: "test", PID: os.Getpid(), Kind: "mount", Mount: dir, Version: "test", Started: time.Now()},
	}
	if c.Subdir != "" {
		nodes, err := engine.Resolve(ctx, meta.RootIno, c.Subdir)
		if err != nil {
			return err
		}
		opts.Root = nodes[len(nodes)-1].Ino
	}
	fs, err := vfs.New(opts)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var run sync.WaitGroup
	run.Go(func() { _ = fs.Run(running) }) // it returns nil
	server, err := fuse.Mount(ctx, fuse.Options{
		FS: fs, Dir: dir, Volume: c.Volume, ReadOnly: c.ReadOnly, Grace: c.Grace, LocalLocks: c.LocalLocks,
		AttrTimeout: c.Timeout, EntryTimeout: c.Timeout, NegativeTimeout: c.NegativeTimeout, Logger: log, Debug: c.Debug,
	})
	if err == nil {
		mounted()
		err = server.Run(ctx)
	}
	stop()
	run.Wait()
	shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return errors.Join(err, fs.Shutdown(shut), engine.Close())
}

func (c *childConfig) blocks(dir string, store object.Store) (*chunk.Blocks, func(), error) {
	var cache chunk.Cache = chunk.NewMemCache(256 << 20)
	closeCache := func() {}
	if c.CacheBytes < 0 {
		cache = nil
	} else if c.Cache != "" {
		disk, err := chunk.OpenDiskCache(filepath.Join(c.Cache, filepath.Base(filepath.Dir(dir))), chunk.DiskOptions{LimitBytes: c.CacheBytes})
		if err != nil {
			return nil, nil, err
		}
		cache = disk
		closeCache = func() { _ = disk.Close() }
	}
	blocks, err := chunk.New(store, cache, chunk.Options{})
	if err != nil {
		return nil, nil, err
	}
	return blocks, func() { _ = blocks.Close(); closeCache() }, nil
}

// serveLoopback shows a directory by go-fuse's own example of a file system.
func (c *childConfig) serveLoopback(ctx context.Context) error {
	root, err := gofs.NewLoopbackRoot(c.Loopback)
	if err != nil {
		return err
	}
	timeout := max(c.Timeout, 0)
	server, err := gofs.Mount(c.Dirs[0], root, &gofs.Options{
		MountOptions: gofuse.MountOptions{DirectMountStrict: true, FsName: "loopback", Name: "loopback", MaxWrite: 1 << 20, DisabledCapabilities: gofuse.CAP_PASSTHROUGH},
		AttrTimeout:  &timeout, EntryTimeout: &timeout,
	})
	if err != nil {
		return err
	}
	fmt.Println(ready)
	<-ctx.Done()
	return server.Unmount()
}
