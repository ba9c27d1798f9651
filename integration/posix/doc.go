// Package posix asks two file systems the same questions and compares the answers:
// one under test, and one of the kernel's own that is known to be right (tmpfs).
//
// # Words
//
// A case makes a few objects in a directory of its own (its box), makes system
// calls there as certain users, and looks at the box afterwards. A transcript is
// all that a program could see of that: what each call returned, down to the
// errno, and of each object left its type, mode, links, owner, size, content,
// identity, and whether its times changed.
//
// # What it guarantees
//
// Cases are generated, not chosen: every call on every kind of path and object, and
// every kind of user, directory mode and owner for what changes names and
// attributes. Two file systems with equal transcripts cannot be told apart by
// any of them. Nothing is expected by hand, so no misreading of a manual page can
// creep in: what Linux does is asked of Linux.
//
// # What it is not
//
// It does not test data beyond a few bytes, concurrency or crashes: vfs/vfstest and
// package integration do. It runs as root, for it becomes other users.
package posix
