// Package fuse serves a vfs.FS to the Linux kernel. It adapts go-fuse's raw
// interface, which is close to the protocol, and owns the life of a mount: the
// checks before it, the clean-up of a crashed one, the unmount.
//
// # What it guarantees
//
// The adapter holds no metadata of its own, except the size that the kernel was
// told last of files: an open must know whether it is right. A node ID is an inode
// number (except for the root of a subtree mount, whose node ID the protocol fixes
// at 1), so FORGET is nothing to do, and numbers are never used twice, so the
// generation is fixed. Permissions are checked by the kernel (default_permissions), with the
// attributes that it caches for Options.AttrTimeout.
//
// A change that was begun is made, also when the program that asked for it gets a
// signal: Go programs get one every few milliseconds. A read is given up when the
// program that waits for it is being killed, so nothing hangs unkillably.
//
// The kernel writes through: when write(2) returns, the data is in vfs. Its page
// cache survives an open when vfs says that the content is the same
// (File.KeepCache). Why the kernel's write-back cache is off:
// docs/decisions/0050-no-writeback-cache.md.
//
// # Locks
//
// The tables of handles, the sizes and the watcher of requests have a lock each
// (the sizes one per slot), taken for a memory operation and never held across a
// call or another lock; a request's own lock comes before the watcher's.
//
// # What it is not
//
// It knows no engine, no object store and no mirror, and it never opens files
// on its own mount: a process that does can wait for itself.
package fuse
