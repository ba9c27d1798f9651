package s3front

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/versity/versitygw/s3err"

	"mirrorfs/gateway"
)

// fail gives the error of S3 for one of the API, and logs what is nobody's fault but ours.
func (b *backend) fail(ctx context.Context, err error) error {
	var own s3err.S3Error
	if errors.As(err, &own) { // of the library, through the body
		return own
	}
	var e *gateway.Error
	if !errors.As(err, &e) {
		e = &gateway.Error{Err: err}
	}
	if e.Kind == gateway.Internal || e.Kind == gateway.Unavailable {
		b.log.WarnContext(ctx, "request failed", slog.String("error", err.Error()))
	}
	return s3Error(e)
}

// s3Error is the one table from kinds to errors of S3.
func s3Error(e *gateway.Error) error {
	switch e.Kind {
	case gateway.NoSuchBucket:
		return s3err.GetBucketErr(s3err.ErrNoSuchBucket, e.Name.Bucket)
	case gateway.BucketExists:
		return s3err.GetBucketErr(s3err.ErrBucketAlreadyOwnedByYou, e.Name.Bucket)
	case gateway.BucketNotEmpty:
		return s3err.GetBucketErr(s3err.ErrBucketNotEmpty, e.Name.Bucket)
	case gateway.InvalidBucketName:
		return s3err.GetBucketErr(s3err.ErrInvalidBucketName, e.Name.Bucket)
	case gateway.KeyTooLong:
		return says("KeyTooLongError", http.StatusBadRequest, e, "Your key is too long")
	case gateway.InvalidKey:
		return says("InvalidArgument", http.StatusBadRequest, e, "No object can have this key")
	case gateway.InvalidArgument:
		return says("InvalidArgument", http.StatusBadRequest, e, "Invalid Argument")
	case gateway.Unavailable:
		return says("ServiceUnavailable", http.StatusServiceUnavailable, e, "Please try again")
	case gateway.NotImplemented:
		return says("NotImplemented", http.StatusNotImplemented, e, "This gateway does not do that")
	case gateway.ReadOnly:
		return says("AccessDenied", http.StatusForbidden, nil, "This gateway takes no changes")
	}
	if code, ok := map[gateway.Kind]s3err.ErrorCode{
		gateway.NoSuchKey:          s3err.ErrNoSuchKey,
		gateway.IsDirectory:        s3err.ErrExistingObjectIsDirectory,
		gateway.ParentIsFile:       s3err.ErrObjectParentIsFile,
		gateway.DirectoryHasData:   s3err.ErrDirectoryObjectContainsData,
		gateway.PreconditionFailed: s3err.ErrPreconditionFailed,
		gateway.NotModified:        s3err.ErrNotModified,
		gateway.InvalidRange:       s3err.ErrInvalidRange,
		gateway.NoSuchUpload:       s3err.ErrNoSuchUpload,
		gateway.InvalidPart:        s3err.ErrInvalidPart,
		gateway.InvalidPartOrder:   s3err.ErrInvalidPartOrder,
		gateway.PartTooSmall:       s3err.ErrEntityTooSmall,
		gateway.TooLarge:           s3err.ErrEntityTooLarge,
		gateway.IncompleteBody:     s3err.ErrIncompleteBody,
		gateway.BadBody:            s3err.ErrIncompleteBody,
		gateway.BadChecksum:        s3err.ErrBadDigest,
		gateway.MetadataTooLarge:   s3err.ErrMetadataTooLarge,
		gateway.AccessDenied:       s3err.ErrAccessDenied,
		gateway.NoSpace:            s3err.ErrQuotaExceeded,
		gateway.SlowDown:           s3err.ErrSlowDown,
	}[e.Kind]; ok {
		return s3err.GetAPIError(code)
	}
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// says is an error whose text tells the cause, if that is known.
func says(code string, status int, e *gateway.Error, text string) error {
	if e != nil && e.Err != nil && e.Kind != gateway.Unavailable {
		text = e.Err.Error()
	}
	return s3err.APIError{Code: code, Description: text, HTTPStatusCode: status}
}
