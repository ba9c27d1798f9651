package s3

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// cause gives an error of the SDK its object.Err.
func cause(ctx context.Context, err error) error { return cloud.Cause(ctx, err, kindOf(err)) }

func kindOf(err error) error {
	code, status := "", 0
	if e := smithy.APIError(nil); errors.As(err, &e) {
		code = e.ErrorCode()
	}
	if e := (*smithyhttp.ResponseError)(nil); errors.As(err, &e) {
		status = e.HTTPStatusCode()
	}
	switch code {
	case "ErrDirectoryNotEmpty": // from posix gateways, of "dir/"
		return object.ErrNotExist
	case "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed", "InvalidSecurity":
		return object.ErrDenied
	case "ThrottlingException", "RequestThrottled", "ConditionalRequestConflict":
		return object.ErrThrottled
	case "XMinioStorageFull":
		return object.ErrNoSpace
	case "ObjectParentIsFile", "ExistingObjectIsDirectory":
		return object.ErrInvalid
	case "XAmzContentSHA256Mismatch":
		return nil // status 400, and yet the way was bad, not the request
	case "RequestTimeTooSkewed":
		return nil // status 403; the SDK has seen the server's clock now, and corrects its own
	}
	return cloud.KindOf(status, code)
}

// headCause is cause for HEAD.
func (s *Store) headCause(ctx context.Context, key string, err error) error {
	return cloud.HeadCause(cause(ctx, err), func() error {
		_, err := s.client.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{
			Bucket: &s.opts.Bucket, Prefix: &key, MaxKeys: aws.Int32(1), RequestPayer: s.opts.payer(),
		})
		return cause(ctx, err)
	})
}

// provider marks failures of the chain, for which the SDK has no type.
type provider struct{ chain aws.CredentialsProvider }

func (p provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	credentials, err := p.chain.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = cloud.NoCredentials(err)
	}
	return credentials, err
}
