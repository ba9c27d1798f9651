package cos

import (
	"context"
	"errors"

	sdk "github.com/tencentyun/cos-go-sdk-v5"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// cause gives an error of the SDK its object.Err.
func cause(ctx context.Context, err error) error {
	// The SDK wraps what is no answer of the service in one that shows its text only.
	if e := (*sdk.RetryError)(nil); errors.As(err, &e) {
		err = errors.Join(e.Errs...)
	}
	return cloud.Cause(ctx, err, kindOf(err))
}

// kindOf knows the codes of https://www.tencentcloud.com/document/product/436/7730
func kindOf(err error) error {
	e := (*sdk.ErrorResponse)(nil)
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code {
	case "RequestTimeTooSkewed", "RequestIsExpired", "InvalidObjectState", "UnavailableForLegalReasons":
		return object.ErrDenied
	case "PathConflict":
		return object.ErrThrottled // two uploads to one key met: nobody knows yet who wins
	case "KeyTooLong", "InvalidObjectName", "InvalidRegionName":
		return object.ErrInvalid
	}
	return cloud.KindOf(e.Response.StatusCode, e.Code)
}
