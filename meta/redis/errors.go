package redis

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// errnoOf knows the errnos that functions answer with, and the errors of Redis itself
// that have one.
func errnoOf(word string) (syscall.Errno, bool) {
	switch word {
	case "ENOENT":
		return syscall.ENOENT, true
	case "EEXIST":
		return syscall.EEXIST, true
	case "ENOTDIR":
		return syscall.ENOTDIR, true
	case "EISDIR":
		return syscall.EISDIR, true
	case "ENOTEMPTY":
		return syscall.ENOTEMPTY, true
	case "EINVAL":
		return syscall.EINVAL, true
	case "EPERM":
		return syscall.EPERM, true
	case "EMLINK":
		return syscall.EMLINK, true
	case "EACCES":
		return syscall.EACCES, true
	case "EOPNOTSUPP":
		return syscall.EOPNOTSUPP, true
	case "EXDEV":
		return syscall.EXDEV, true
	case "EDQUOT":
		return syscall.EDQUOT, true
	case "ENAMETOOLONG":
		return syscall.ENAMETOOLONG, true
	case "ENODATA":
		return syscall.ENODATA, true
	case "EFBIG":
		return syscall.EFBIG, true
	case "E2BIG":
		return syscall.E2BIG, true
	case "EBUSY":
		return syscall.EBUSY, true
	case "EROFS":
		return syscall.EROFS, true
	case "ESTALE":
		return syscall.ESTALE, true
	case "EAGAIN":
		return syscall.EAGAIN, true
	case "ENOSPC", "OOM":
		return syscall.ENOSPC, true
	case "NOAUTH", "WRONGPASS", "NOPERM":
		return syscall.EACCES, true
	default:
		return syscall.EIO, false
	}
}

// reasonOf gives the reason that a function names after its errno.
func reasonOf(word string) error {
	switch word {
	case "volume":
		return meta.ErrNoVolume
	case "readonly":
		return meta.ErrReadOnly
	case "fenced":
		return meta.ErrFenced
	case "session":
		return meta.ErrSessionEnded
	case "toomuch":
		return meta.ErrTooMuch
	case "behind":
		return meta.ErrBehind
	case "moved":
		return meta.ErrMoved
	case "gap":
		return meta.ErrGap
	case "diverged":
		return meta.ErrDiverged
	default:
		return nil
	}
}

// fail makes the error of an operation from whatever went wrong: the one place where
// errors of Redis and of the network get their errno. What nobody expects becomes EIO
// and is logged here.
func (s *server) fail(ctx context.Context, about meta.Error, err error) error {
	var done *meta.Error
	if errors.As(err, &done) {
		return err
	}
	var unreachable *unreachableError
	var refused goredis.Error
	switch {
	case errors.As(err, &unreachable):
		about.Errno, about.Err = syscall.EIO, &lostError{cause: unreachable.cause, addr: s.addr().String()}
	case errors.As(err, &refused):
		return s.refusal(ctx, about, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		about.Errno, about.Err = syscall.EINTR, err
	default:
		about.Errno, about.Err = syscall.EIO, &lostError{cause: err, addr: s.addr().String()}
	}
	return &about
}

// refusal maps an error that the server answered.
func (s *server) refusal(ctx context.Context, about meta.Error, err error) error {
	word, rest, _ := strings.Cut(err.Error(), " ")
	known := false
	if about.Errno, known = errnoOf(word); known && word[0] == 'E' {
		about.Err = reasonOf(rest)
		return &about
	}
	about.Err = err
	if !known {
		s.opts.Logger.ErrorContext(ctx, "metadata server refused a call", logString("op", about.Op), logError(err))
	}
	return &about
}

// lostError says that a server did not answer. It is meta.ErrUnreachable.
type lostError struct {
	cause error
	addr  string
}

func (e *lostError) Error() string {
	return meta.ErrUnreachable.Error() + " (" + e.addr + "): " + e.cause.Error()
}

func (e *lostError) Unwrap() []error { return []error{meta.ErrUnreachable, e.cause} }

func logString(key, value string) slog.Attr  { return slog.String(key, value) }
func logInt(key string, value int) slog.Attr { return slog.Int(key, value) }
func logError(err error) slog.Attr           { return slog.String("error", err.Error()) }
