package fuse_test

import (
	"syscall"
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

// TestBytes does random things to bytes with every setting of the caches, while the file
// is flushed and compacted behind all the time.
func TestBytes(t *testing.T) {
	for name, test := range map[string]struct {
		c     childConfig
		two   bool
		flags int
	}{
		"two clients": {c: childConfig{Timeout: -1, CacheBytes: -1}, two: true},
		"cached":      {c: childConfig{Cache: "on"}},
		"tiny cache":  {c: childConfig{Cache: "on", CacheBytes: 1 << 20, Timeout: -1}, two: true},
		"direct":      {c: childConfig{CacheBytes: -1}, flags: syscall.O_DIRECT},
	} {
		t.Run(name, func(t *testing.T) {
			test.c.FlushAge, test.c.CompactExtents = 20*time.Millisecond, 4
			if test.c.Cache != "" {
				test.c.Cache = t.TempDir()
			}
			test.c.Dirs = []string{mountPoint(t)}
			if test.two {
				test.c.Dirs = append(test.c.Dirs, mountPoint(t))
			}
			p := mount(t, test.c)
			target := vfstest.Target{FS: vfstest.OS(p.Dirs[0]), Dir: p.Dirs[0], Flags: test.flags}
			if test.two {
				target.Other = vfstest.OS(p.Dirs[1])
			}
			vfstest.RunBytes(t, target)
		})
	}
}
