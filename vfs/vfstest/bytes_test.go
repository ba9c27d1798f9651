package vfstest_test

import (
	"context"
	"testing"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
	"mirrorfs/object/mem"
	"mirrorfs/vfs"
	"mirrorfs/vfs/vfstest"
)

// busyFS makes an FS that flushes and compacts behind all the time.
func busyFS(t *testing.T, engine meta.Engine, store *mem.Store, cache chunk.Cache) *vfs.FS {
	t.Helper()
	blocks, err := chunk.New(store, cache, chunk.Options{BlockBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := vfs.New(vfs.Options{
		Engine: engine, Blocks: blocks, FlushAge: time.Millisecond, DirtyExtents: 20, BufferedBytes: 256 << 10,
		CompactExtents: 3, CompactOnRead: true, CompactBytesPerSecond: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- fs.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := fs.Shutdown(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		_ = blocks.Close()
	})
	return fs
}

// TestBytes does random things to bytes with every kind of cache.
func TestBytes(t *testing.T) {
	disk := func(t *testing.T, limit int64) chunk.Cache {
		t.Helper()
		c, err := chunk.OpenDiskCache(t.TempDir(), chunk.DiskOptions{LimitBytes: limit, FreeBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	for name, cache := range map[string]func(t *testing.T) chunk.Cache{
		"none":   func(*testing.T) chunk.Cache { return nil },
		"memory": func(*testing.T) chunk.Cache { return chunk.NewMemCache(1 << 20) },
		"disk":   func(t *testing.T) chunk.Cache { t.Helper(); return disk(t, 0) },
		"tiny":   func(t *testing.T) chunk.Cache { t.Helper(); return disk(t, 300<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			store := mem.New("t")
			engine := model.New(meta.Volume{Name: "t"}, nil)
			a := busyFS(t, engine, store, cache(t))
			b := busyFS(t, engine.Client(), store, cache(t))
			vfstest.RunBytes(t, vfstest.Target{FS: vfstest.Direct(a), Other: vfstest.Direct(b), Steps: 250})
		})
	}
	t.Run("redis", func(t *testing.T) {
		address := redistest.Start(t)
		store := mem.New("t")
		a := busyFS(t, redistest.Format(t, address, redis.Options{}), store, nil)
		b := busyFS(t, redistest.Open(t, address, redis.Options{}), store, nil)
		vfstest.RunBytes(t, vfstest.Target{FS: vfstest.Direct(a), Other: vfstest.Direct(b), Steps: 150})
	})
}
