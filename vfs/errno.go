package vfs

import (
	"context"
	"errors"
	"syscall"

	"mirrorfs/meta"
	"mirrorfs/object"
)

// errReadOnly is the answer to any change of a read-only FS.
const errReadOnly = syscall.EROFS

// refuse makes the error of an operation. This is where an errno is decided
// for whatever did not come from the engine.
func refuse(op string, ino meta.Ino, name string, cause error) error {
	e := &meta.Error{Op: op, Ino: ino, Name: name, Errno: errnoOf(cause)}
	var bare syscall.Errno
	if !errors.As(cause, &bare) || cause.Error() != bare.Error() {
		e.Err = cause // an errno alone says it all
	}
	return e
}

func errnoOf(err error) syscall.Errno {
	var e *meta.Error
	var errno syscall.Errno
	switch {
	case errors.As(err, &e):
		return e.Errno
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	case errors.Is(err, context.DeadlineExceeded):
		return syscall.EIO
	case errors.Is(err, object.ErrDenied):
		return syscall.EACCES
	case errors.Is(err, object.ErrNoSpace):
		return syscall.ENOSPC
	case errors.As(err, &errno):
		switch errno {
		case syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EROFS, syscall.EINVAL, syscall.EBADF, syscall.EFBIG,
			syscall.EISDIR, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ENODATA, syscall.ENOENT, syscall.EEXIST,
			syscall.EPERM, syscall.EXDEV, syscall.ELOOP, syscall.ENXIO, syscall.EOPNOTSUPP, syscall.ERANGE, syscall.ESTALE:
			return errno
		}
		// ECONNREFUSED and the like are the transport's, not the program's.
		return syscall.EIO
	default:
		return syscall.EIO
	}
}

func isSessionEnded(err error) bool { return errors.Is(err, meta.ErrSessionEnded) }

// mayPass reports whether a commit that failed so can succeed later: the server
// did not answer, or the session has to be renewed first.
func mayPass(err error) bool {
	if errors.Is(err, errLockLost) {
		return false
	}
	if errors.Is(err, meta.ErrUnreachable) || isSessionEnded(err) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, meta.ErrBehind) || errors.Is(err, meta.ErrTooMuch) { // others filled a list again and again
		return true
	}
	switch meta.Errno(err) {
	case syscall.EAGAIN, syscall.ETIMEDOUT, syscall.EINTR, syscall.EIO:
		return !errors.Is(err, meta.ErrFenced) && !errors.Is(err, meta.ErrReadOnly)
	}
	return false
}

// checkName refuses what no directory entry can be called.
func checkName(op string, parent meta.Ino, name string) error {
	switch {
	case len(name) > meta.MaxNameBytes:
		return refuse(op, parent, name[:16]+"...", syscall.ENAMETOOLONG)
	case name == "":
		return refuse(op, parent, name, syscall.ENOENT)
	}
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return refuse(op, parent, name, syscall.EINVAL)
		}
	}
	return nil
}
