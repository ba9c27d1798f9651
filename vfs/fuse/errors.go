package fuse

import (
	"errors"
)

// Error is why a mount or an unmount failed, in words for whoever typed the
// command, and what to try.
type Error struct {
	Dir  string // the mount point
	Err  error  // one of the errors below, or what the system said
	Hint string // what to do about it; may be empty
}

// Error names the mount point and the reason.
func (e *Error) Error() string { return e.Dir + ": " + e.Err.Error() }

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Err }

// Reasons for which a mount or unmount fails; test with errors.Is. They come
// wrapped in an *Error.
var (
	// ErrNoDir: the mount point does not exist or is no directory.
	ErrNoDir = errors.New("no such directory")
	// ErrNotEmpty: the mount point has files, which the mount would hide.
	ErrNotEmpty = errors.New("the directory is not empty")
	// ErrMounted: something is mounted there already.
	ErrMounted = errors.New("something is mounted there already")
	// ErrNotMounted: no mirrorfs is mounted there.
	ErrNotMounted = errors.New("no mirrorfs is mounted there")
	// ErrBusy: programs have files or their working directory in the mount.
	ErrBusy = errors.New("in use")
	// ErrNoFUSE: the kernel, the container or the system lacks FUSE.
	ErrNoFUSE = errors.New("FUSE is missing")
	// ErrDenied: mounting there needs more rights.
	ErrDenied = errors.New("not permitted")
	// ErrStillServed: it is unmounted, but the process that serves it is not gone.
	ErrStillServed = errors.New("unmounted, but the process that served it has not ended yet")
)
