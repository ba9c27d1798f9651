package object

import (
	"errors"
	"fmt"
	"strconv"
)

// Error is what a store returns: the operation, the key it was about, and why
// it failed. The cause wraps one of this package's Err values where one fits;
// any other cause is something that may pass (a cut connection, a full disk).
type Error struct {
	Op  string // "put", "put-if-absent", "get", "head", "delete", "list", "create"
	Key string // of list the prefix, of create the bucket
	Err error
}

// Error names operation, key and cause.
func (e *Error) Error() string {
	return e.Op + " " + strconv.Quote(e.Key) + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Fail makes an error of an operation on a key; nil stays nil, and an *Error
// is not wrapped again.
func Fail(op, key string, err error) error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	return &Error{Op: op, Key: key, Err: err}
}

// Invalidf makes a cause that wraps ErrInvalid.
func Invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
