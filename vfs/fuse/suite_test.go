package fuse_test

import (
	"testing"
	"time"

	"mirrorfs/vfs/vfstest"
)

// TestSuite runs the suite of vfs through mounts: two clients that the kernel
// caches nothing of, so that each sees at once what the other does.
func TestSuite(t *testing.T) {
	p := mount(t, childConfig{Dirs: []string{mountPoint(t), mountPoint(t)}, Timeout: -1})
	vfstest.Run(t, vfstest.Target{FS: vfstest.OS(p.Dirs[0]), Other: vfstest.OS(p.Dirs[1]), Dir: p.Dirs[0]})
}

// TestSuiteCached runs it with the kernel's caches as they are by default, and
// one client.
func TestSuiteCached(t *testing.T) {
	p := mount(t, childConfig{NegativeTimeout: time.Second})
	vfstest.Run(t, vfstest.Target{FS: vfstest.OS(p.Dirs[0]), Dir: p.Dirs[0]})
}
