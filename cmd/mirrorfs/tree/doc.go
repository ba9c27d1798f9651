// Package tree copies and compares directory trees as programs see them: with
// system calls on paths, knowing nothing of mirrorfs. The demo and the
// integration tests judge mounts by it.
package tree
