// Package gatewaytest makes gateways for tests: on the reference model and a store in memory, or on
// whatever engine a test brings.
package gatewaytest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/gateway"
	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/object"
	"mirrorfs/object/mem"
	"mirrorfs/vfs"
)

// Bucket is the name of the bucket unless options say otherwise.
const Bucket = "models"

// Options say what a rig stands on. The zero value works.
type Options struct {
	Gateway gateway.Options // FS is set; Bucket too unless Dirs
	// Dirs makes the directories at the top buckets.
	Dirs bool
	// Engine is the metadata; nil is a model of its own.
	Engine meta.Engine
	// Store holds the blocks; nil is one in memory.
	Store object.Store
	// BlockBytes of the volume; default 1 MiB.
	BlockBytes int
	// Disk has blocks cached in files, as a gateway does; otherwise they are read from Store each time.
	Disk   bool
	Logger *slog.Logger
}

// Rig is a gateway and what it stands on, which ends with the test.
type Rig struct {
	*gateway.Gateway
	FS     *vfs.FS
	Engine meta.Engine
	Store  object.Store
}

// New makes a rig.
func New(t testing.TB, opts Options) *Rig {
	t.Helper()
	if opts.Engine == nil {
		opts.Engine = model.New(meta.Volume{Name: "test"}, nil).Client()
	}
	if opts.Store == nil {
		opts.Store = mem.New("test")
	}
	if opts.BlockBytes == 0 {
		opts.BlockBytes = 1 << 20
	}
	var cache chunk.Cache
	if opts.Disk {
		disk, err := chunk.OpenDiskCache(t.TempDir(), chunk.DiskOptions{LimitBytes: 1 << 30, Volume: "test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = disk.Close() })
		cache = disk
	}
	blocks, err := chunk.New(opts.Store, cache, chunk.Options{BlockBytes: opts.BlockBytes})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := vfs.New(vfs.Options{Engine: opts.Engine, Blocks: blocks, Logger: opts.Logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = fs.Shutdown(ctx)
		_ = blocks.Close()
	})
	g := opts.Gateway
	g.FS, g.Logger = fs, opts.Logger
	if g.Bucket == "" && !opts.Dirs {
		g.Bucket = Bucket
	}
	gw, err := gateway.New(g)
	if err != nil {
		t.Fatal(err)
	}
	return &Rig{Gateway: gw, FS: fs, Engine: opts.Engine, Store: opts.Store}
}
