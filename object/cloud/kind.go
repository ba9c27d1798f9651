package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"mirrorfs/object"
)

// Causes that stay within a store.
var (
	// ErrRange: the range of a GET starts at or after the object's end.
	ErrRange = errors.New("range starts after the end")
	// ErrOwned: the bucket to create exists and is ours.
	ErrOwned = errors.New("bucket exists and is ours")
)

// Cause gives err its kind: an object.Err, ErrRange, ErrOwned, or nil for what may
// pass. An ended ctx is shown as such.
func Cause(ctx context.Context, err, kind error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		if errors.Is(err, ctxErr) {
			return err
		}
		return fmt.Errorf("%w: %w", ctxErr, err)
	}
	if kind == nil {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// KindOf is the kind of an answer, by its code first, since that says more than
// the status. A store asks it for what it knows nothing of itself.
func KindOf(status int, code string) error {
	if kind := kindOfCode(code); kind != nil {
		return kind
	}
	switch code {
	case "RequestTimeout", "RequestTimeOut", "IncompleteBody", "BadDigest", "InvalidDigest":
		return nil // status 400, and yet the way was bad, not the request
	}
	if status == http.StatusNotFound && code != "NotFound" && code != "" {
		// Something else is missing, say the account: that must not read as a
		// missing object.
		return object.ErrDenied
	}
	return kindOfStatus(status)
}

// kindOfCode knows the codes that mean the same everywhere.
func kindOfCode(code string) error {
	switch code {
	case "NoSuchKey", "NoSuchVersion":
		return object.ErrNotExist
	case "NoSuchBucket":
		return object.ErrNoBucket
	case "PreconditionFailed", "FileAlreadyExists":
		return object.ErrExist
	case "BucketAlreadyOwnedByYou":
		return ErrOwned
	case "InvalidRange":
		return ErrRange
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
		"BucketAlreadyExists":
		return object.ErrDenied
	case "SlowDown", "Throttling", "RequestLimitExceeded", "TooManyRequests", "OperationAborted":
		return object.ErrThrottled
	case "QuotaExceeded", "InsufficientStorage":
		return object.ErrNoSpace
	case "KeyTooLongError", "InvalidArgument", "InvalidBucketName", "InvalidURI", "EntityTooLarge":
		return object.ErrInvalid
	}
	return nil
}

// kindOfStatus is for answers without a code that is known.
func kindOfStatus(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return object.ErrDenied
	case http.StatusNotFound:
		return object.ErrNotExist
	case http.StatusPreconditionFailed:
		return object.ErrExist
	case http.StatusRequestedRangeNotSatisfiable:
		return ErrRange
	case http.StatusInsufficientStorage:
		return object.ErrNoSpace
	case http.StatusTooManyRequests:
		return object.ErrThrottled
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
		http.StatusMovedPermanently:
		return object.ErrInvalid
	}
	return nil
}

// HeadCause is for an error of HEAD, whose answers have no body and so no code: a
// missing bucket or account looks like a missing object. The error of a listing
// tells.
func HeadCause(err error, list func() error) error {
	if !errors.Is(err, object.ErrNotExist) {
		return err
	}
	if listErr := list(); errors.Is(listErr, object.ErrNoBucket) || errors.Is(listErr, object.ErrDenied) {
		return listErr
	}
	return err
}
