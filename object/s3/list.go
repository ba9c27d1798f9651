package s3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// List is ListObjectsV2 with start-after. Keys travel URL-encoded, since XML
// cannot hold every character.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	in := &awss3.ListObjectsV2Input{
		Bucket: &s.opts.Bucket, Prefix: aws.String(prefix), EncodingType: types.EncodingTypeUrl,
		RequestPayer: s.opts.payer(),
	}
	if after != "" {
		in.StartAfter = aws.String(after)
	}
	found, err := cloud.List(limit, func(token string, limit int) ([]object.Info, string, error) {
		in.MaxKeys = aws.Int32(int32(limit)) //nolint:gosec // at most MaxListed
		if token != "" {
			in.ContinuationToken = &token
		}
		return s.page(ctx, in)
	})
	return found, object.Fail("list", prefix, err)
}

func (s *Store) page(ctx context.Context, in *awss3.ListObjectsV2Input) (found []object.Info, next string, err error) {
	out, err := s.client.ListObjectsV2(ctx, in)
	if err != nil {
		return nil, "", cause(ctx, err)
	}
	for i := range out.Contents {
		o := &out.Contents[i]
		key, err := cloud.Unescape(aws.ToString(o.Key), string(out.EncodingType))
		if err != nil {
			return nil, "", err
		}
		found = append(found, object.Info{
			Key: key, Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified), ETag: etag(o.ETag),
		})
	}
	if !aws.ToBool(out.IsTruncated) {
		return found, "", nil
	}
	if aws.ToString(out.NextContinuationToken) == "" {
		return nil, "", cloud.ErrNoToken
	}
	return found, *out.NextContinuationToken, nil
}
