package vfstest_test

import (
	"os"
	"path/filepath"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
	"mirrorfs/object/mem"
	"mirrorfs/vfs"
	"mirrorfs/vfs/vfstest"
)

// newFS makes an FS that is shut down with the test.
func newFS(t *testing.T, engine meta.Engine, store *mem.Store) *vfs.FS {
	t.Helper()
	blocks, err := chunk.New(store, nil, chunk.Options{BlockBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := vfs.New(vfs.Options{Engine: engine, Blocks: blocks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		_ = blocks.Close()
	})
	return fs
}

// TestModel runs the suite on the reference model.
func TestModel(t *testing.T) {
	engine := model.New(meta.Volume{Name: "t"}, nil)
	store := mem.New("t")
	a, b := newFS(t, engine, store), newFS(t, engine.Client(), store)
	vfstest.Run(t, vfstest.Target{FS: vfstest.Direct(a), Other: vfstest.Direct(b)})
}

// TestRedis runs the suite on Redis.
func TestRedis(t *testing.T) {
	address := redistest.Start(t)
	store := mem.New("t")
	a := newFS(t, redistest.Format(t, address, redis.Options{}), store)
	b := newFS(t, redistest.Open(t, address, redis.Options{}), store)
	vfstest.Run(t, vfstest.Target{FS: vfstest.Direct(a), Other: vfstest.Direct(b)})
}

// TestOS runs it on this machine's own file system: what Linux does is what the
// suite must expect.
func TestOS(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // some tests act as nobody
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	vfstest.Run(t, vfstest.Target{FS: vfstest.OS(dir), Dir: dir, Foreign: true})
}
