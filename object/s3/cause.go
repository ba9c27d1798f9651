package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"mirrorfs/object"
)

// Causes that stay within this package.
var (
	errRange = errors.New("range starts after the end")
	errOwned = errors.New("bucket exists and is ours")
)

// cause gives an error of the SDK its object.Err, by the code in the answer
// first, since it says more than the status. An ended ctx is shown as such.
func cause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil && !errors.Is(err, ctxErr) {
		return fmt.Errorf("%w: %w", ctxErr, err)
	}
	kind := kindOf(err)
	if kind == nil {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

func kindOf(err error) error {
	if e := smithy.APIError(nil); errors.As(err, &e) {
		if kind := kindOfCode(e.ErrorCode()); kind != nil {
			return kind
		}
	}
	if e := (*smithyhttp.ResponseError)(nil); errors.As(err, &e) {
		return kindOfStatus(e.HTTPStatusCode())
	}
	if e := (*aws.RequestCanceledError)(nil); errors.As(err, &e) {
		return nil
	}
	if noCredentials(err) {
		return object.ErrDenied
	}
	return nil
}

func kindOfCode(code string) error {
	switch code {
	case "NoSuchKey", "NoSuchVersion":
		return object.ErrNotExist
	case "NoSuchBucket":
		return object.ErrNoBucket
	case "PreconditionFailed":
		return object.ErrExist
	case "BucketAlreadyOwnedByYou":
		return errOwned
	case "InvalidRange":
		return errRange
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
		"AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed", "InvalidSecurity",
		"RequestTimeTooSkewed", "BucketAlreadyExists":
		return object.ErrDenied
	case "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests",
		"RequestThrottled", "ConditionalRequestConflict", "OperationAborted":
		return object.ErrThrottled
	case "KeyTooLongError", "InvalidArgument", "InvalidBucketName", "InvalidURI", "EntityTooLarge",
		"ObjectParentIsFile", "ObjectIsDirectory":
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
		return errRange
	case http.StatusTooManyRequests:
		return object.ErrThrottled
	case http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
		http.StatusMovedPermanently:
		return object.ErrInvalid
	}
	return nil
}

// noCredentials: the chain found none, or could not fetch them from where they
// should be. The SDK has no exported type for all of them.
func noCredentials(err error) bool {
	e := (*smithy.OperationError)(nil)
	return errors.As(err, &e) && e.Service() != "S3"
}

// headCause is cause for HEAD, whose answers have no body and so no code: a
// missing bucket looks like a missing object until the bucket itself is asked.
func (s *Store) headCause(ctx context.Context, err error) error {
	err = cause(ctx, err)
	if !errors.Is(err, object.ErrNotExist) {
		return err
	}
	_, bucketErr := s.client.HeadBucket(ctx, &awss3.HeadBucketInput{Bucket: &s.opts.Bucket})
	if bucketErr = cause(ctx, bucketErr); errors.Is(bucketErr, object.ErrNotExist) {
		return fmt.Errorf("%w: %w", object.ErrNoBucket, bucketErr)
	}
	return err
}
