package gateway

import (
	"errors"
	"fmt"
	"syscall"

	"mirrorfs/meta"
)

// Kind says what a request failed of. Front ends have an error of their protocol for each.
type Kind uint8

// The kinds of errors.
const (
	Internal           Kind = iota // none of the others: a block that can be had nowhere, say
	NotImplemented                 // nothing like it is done here
	NoSuchBucket                   // there is no bucket of that name
	BucketExists                   // there is one
	BucketNotEmpty                 // it holds objects
	InvalidBucketName              // no bucket can have the name
	NoSuchKey                      // there is no object of that name
	InvalidKey                     // no object can have the name; Err says why
	KeyTooLong                     // it, or one of its components, is too long
	IsDirectory                    // the key is that of a directory, which is there
	ParentIsFile                   // a directory of the key is an object
	DirectoryHasData               // an object whose key ends with a slash has no bytes
	PreconditionFailed             // Conditions do not hold
	NotModified                    // Conditions say that the client has it
	InvalidRange                   // the range begins after the end
	InvalidArgument                // Err says what
	NoSuchUpload                   // there is no such upload
	InvalidPart                    // a part is missing or has another ETag
	InvalidPartOrder               // numbers do not rise
	PartTooSmall                   // a part, not the last, is shorter than MinPartBytes
	TooLarge                       // more than an object or a body may have
	IncompleteBody                 // the body ended early
	BadBody                        // the body's Read failed; Err is its error
	BadChecksum                    // the bytes do not have the checksum
	MetadataTooLarge               // Described does not fit
	AccessDenied                   // the caller may not
	ReadOnly                       // this gateway takes no changes
	NoSpace                        // a quota or the metadata server is full
	SlowDown                       // too many requests at a time
	Unavailable                    // the source or a bucket does not answer, or a wait ended
)

// Error is what an API's method fails with.
type Error struct {
	Op   string // the method
	Name Name   // what it was about, as far as known
	Kind Kind
	Err  error // cause; nil when the kind says it all
}

// Error writes the method, the name and the cause.
func (e *Error) Error() string {
	s := e.Op
	if e.Name.Bucket != "" {
		s += " " + e.Name.Bucket
		if e.Name.Key != "" {
			s += "/" + e.Name.Key
		}
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", s, e.Err)
	}
	return fmt.Sprintf("%s: error %d", s, e.Kind)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of an error of an API, Internal of any other.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// fail makes the error of a method from that of what it stands on.
func fail(op string, n Name, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Op: op, Name: n, Kind: e.Kind, Err: e.Err}
	}
	return &Error{Op: op, Name: n, Kind: kindOf(err), Err: err}
}

// refuse makes an error of a kind, without a cause, to be completed by fail.
func refuse(k Kind) error { return &Error{Kind: k} }

// refusef makes an error of a kind that says why.
func refusef(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Err: fmt.Errorf(format, args...)}
}

// kindOf is the one place where an errno of vfs becomes a kind.
func kindOf(err error) Kind {
	switch {
	case errors.Is(err, meta.ErrUnreachable), errors.Is(err, meta.ErrBehind):
		return Unavailable
	case errors.Is(err, meta.ErrReadOnly), errors.Is(err, meta.ErrFenced):
		return ReadOnly
	}
	switch meta.Errno(err) {
	case syscall.ENOENT:
		return NoSuchKey
	case syscall.ENOTDIR:
		return ParentIsFile
	case syscall.EISDIR:
		return IsDirectory
	case syscall.EEXIST:
		return PreconditionFailed
	case syscall.ENAMETOOLONG:
		return KeyTooLong
	case syscall.EFBIG:
		return TooLarge
	case syscall.EDQUOT, syscall.ENOSPC:
		return NoSpace
	case syscall.EROFS:
		return ReadOnly
	case syscall.EACCES, syscall.EPERM:
		return AccessDenied
	case syscall.ETIMEDOUT, syscall.EINTR, syscall.EAGAIN, syscall.ESTALE:
		return Unavailable
	default:
		return Internal
	}
}
