package oss

import (
	"context"
	"errors"

	sdk "github.com/aliyun/aliyun-oss-go-sdk/oss"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// cause gives an error of the SDK its object.Err. The status is that of the answer,
// if there was one: the SDK's error of a redirection does not have it.
func cause(ctx context.Context, status int, err error) error {
	return cloud.Cause(ctx, err, kindOf(status, err))
}

// kindOf knows the codes of
// https://www.alibabacloud.com/help/en/oss/developer-reference/error-responses
func kindOf(status int, err error) error {
	code := ""
	if e := (sdk.ServiceError{}); errors.As(err, &e) {
		code, status = e.Code, e.StatusCode
	}
	switch code {
	case "RequestTimeTooSkewed", "SecurityTokenExpired", "InvalidSecurityToken", "SecurityTokenNotSupported",
		"UserDisable", "FileImmutable", "InvalidObjectState":
		return object.ErrDenied
	case "QpsLimitExceeded", "TotalQpsLimitExceeded", "RequestRateLimitExceeded", "ServerBusy",
		"DownloadTrafficRateLimitExceeded", "UploadTrafficRateLimitExceeded", "AccountQpsLimitExceeded",
		"AccountBandwidthLimitExceeded":
		return object.ErrThrottled
	case "InvalidObjectName", "InvalidTargetType", "NotImplemented":
		return object.ErrInvalid
	}
	return cloud.KindOf(status, code)
}

// headCause asks no listing when the answer had a code, which OSS puts into a
// header.
func headCause(err error, list func() error) error {
	if e := (sdk.ServiceError{}); errors.As(err, &e) && e.Code != "" {
		return err
	}
	return cloud.HeadCause(err, list)
}
