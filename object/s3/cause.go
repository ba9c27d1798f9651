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
	if e := (*credentialsError)(nil); errors.As(err, &e) {
		return object.ErrDenied
	}
	code, status := "", 0
	if e := smithy.APIError(nil); errors.As(err, &e) {
		code = e.ErrorCode()
	}
	if e := (*smithyhttp.ResponseError)(nil); errors.As(err, &e) {
		status = e.HTTPStatusCode()
	}
	if kind := kindOfCode(code); kind != nil {
		return kind
	}
	switch code {
	case "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch":
		return nil // status 400, and yet the way was bad, not the request
	case "RequestTimeTooSkewed":
		return nil // status 403; the SDK has seen the server's clock now, and corrects its own
	}
	if status == http.StatusNotFound && code != "NotFound" && code != "" {
		// Something else is missing, say the account: that must not read as a
		// missing object.
		return object.ErrDenied
	}
	return kindOfStatus(status)
}

func kindOfCode(code string) error {
	switch code {
	case "NoSuchKey", "NoSuchVersion", "ErrDirectoryNotEmpty": // the last from posix gateways, of "dir/"
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
		"BucketAlreadyExists":
		return object.ErrDenied
	case "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests",
		"RequestThrottled", "ConditionalRequestConflict", "OperationAborted":
		return object.ErrThrottled
	case "QuotaExceeded", "InsufficientStorage", "XMinioStorageFull":
		return object.ErrNoSpace
	case "KeyTooLongError", "InvalidArgument", "InvalidBucketName", "InvalidURI", "EntityTooLarge",
		"ObjectParentIsFile", "ExistingObjectIsDirectory":
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

// headCause is cause for HEAD, whose answers have no body and so no code: a
// missing bucket or account looks like a missing object. A listing tells.
func (s *Store) headCause(ctx context.Context, key string, err error) error {
	err = cause(ctx, err)
	if !errors.Is(err, object.ErrNotExist) {
		return err
	}
	_, listErr := s.client.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{
		Bucket: &s.opts.Bucket, Prefix: &key, MaxKeys: aws.Int32(1),
	})
	listErr = cause(ctx, listErr)
	if errors.Is(listErr, object.ErrNoBucket) || errors.Is(listErr, object.ErrDenied) {
		return listErr
	}
	return err
}

// credentialsError is a failure to get credentials: none are set, or the place
// that should give them does not answer.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "no credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// provider marks failures of the chain, for which the SDK has no type.
type provider struct{ chain aws.CredentialsProvider }

func (p provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	credentials, err := p.chain.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &credentialsError{err: err}
	}
	return credentials, err
}
