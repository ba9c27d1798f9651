package vfstest_test

import (
	"testing"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/object/mem"
	"mirrorfs/vfs"
	"mirrorfs/vfs/vfstest"
)

// newFS makes an FS that is shut down with the test.
func newFS(t *testing.T, engine meta.Engine, store *mem.Store, age time.Duration) *vfs.FS {
	t.Helper()
	blocks, err := chunk.New(store, nil, chunk.Options{BlockBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := vfs.New(vfs.Options{Engine: engine, Blocks: blocks, FlushAge: age})
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
	a, b := newFS(t, engine, store, 0), newFS(t, engine.Client(), store, 0)
	vfstest.Run(t, vfstest.Target{FS: vfstest.Direct(a), Other: vfstest.Direct(b)})
}

// TestOS runs it on this machine's own file system: what Linux does is what the
// suite must expect.
func TestOS(t *testing.T) {
	dir := t.TempDir()
	vfstest.Run(t, vfstest.Target{FS: vfstest.OS(dir), Dir: dir})
}
