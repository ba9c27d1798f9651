// Package vfstest is one suite of what programs expect of a file system. It runs
// on a vfs.FS directly (Direct) and on a directory that the kernel serves (OS),
// so that the same expectations hold on both sides of FUSE.
//
// A failing random test prints its seed; MIRRORFS_SEED=n runs that one again.
//
// Whoever runs the suite on a mount serves that mount from another process: a
// mount served by the test's own process can deadlock the kernel.
package vfstest
