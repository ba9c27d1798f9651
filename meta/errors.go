package meta

import (
	"errors"
	"fmt"
	"syscall"
)

// Error is what every engine returns when an operation fails: which operation,
// on what, as which errno, and why.
type Error struct {
	Op    string        // name of the operation, for example "rename"
	Ino   Ino           // the inode or directory it was about; 0 if none
	Name  string        // the name it was about; empty if none
	Errno syscall.Errno // what a program should see
	Err   error         // cause; nil when the errno says it all
}

// Error writes operation, inode, name and cause.
func (e *Error) Error() string {
	s := e.Op
	if e.Ino != 0 {
		s += fmt.Sprintf(" inode %d", e.Ino)
	}
	if e.Name != "" {
		s += fmt.Sprintf(" %q", e.Name)
	}
	if e.Err != nil {
		return s + ": " + e.Err.Error()
	}
	return s + ": " + e.Errno.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, syscall.ENOENT) work.
func (e *Error) Is(target error) bool {
	var errno syscall.Errno
	return errors.As(target, &errno) && errno == e.Errno
}

// Errno returns what a program should see for err: 0 for nil, the errno of an
// *Error or a bare syscall.Errno anywhere in the chain, EIO otherwise.
func Errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Errno
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}

// Reasons that are not errnos. They come wrapped in an *Error.
var (
	// ErrBehind: a View was asked for a position that this engine has not reached.
	ErrBehind = errors.New("metadata here is behind the position asked for")
	// ErrReadOnly: a change was sent to a mirror or a fenced source.
	ErrReadOnly = errors.New("metadata here takes no changes")
	// ErrFenced: a change was sent to a source that was replaced.
	ErrFenced = errors.New("this source was fenced: another site was promoted")
	// ErrSessionEnded: the session that sent a change is unknown: it expired or was ended.
	ErrSessionEnded = errors.New("session has ended")
	// ErrLocksInDoubt: the server may have forgotten locks; see Locker.
	ErrLocksInDoubt = errors.New("the server may have lost locks")
	// ErrNoVolume: the address answers but holds no volume of that name.
	ErrNoVolume = errors.New("no volume here")
	// ErrVolumeExists: format found a volume.
	ErrVolumeExists = errors.New("volume exists already")
	// ErrGap: the log does not continue at the position asked for.
	ErrGap = errors.New("log does not continue here")
	// ErrDiverged: the log holds something else than what was applied, or a
	// record fails its checksum.
	ErrDiverged = errors.New("log differs from what was applied")
	// ErrMoved: Apply was given records that start elsewhere than where the replica stands.
	ErrMoved = errors.New("replica stands at another position")
	// ErrTooMuch: a change touches more than one call may. In parts it can be made.
	ErrTooMuch = errors.New("more than one call may touch")
	// ErrUnreachable: the metadata server did not answer in time; the change may or may not have been made.
	ErrUnreachable = errors.New("metadata server does not answer")
)
