package s3

import (
	"context"
	"errors"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"mirrorfs/object"
)

// List is ListObjectsV2 with start-after. Keys travel URL-encoded, since XML
// cannot hold every character.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	if err := object.CheckList(limit); err != nil {
		return nil, object.Fail("list", prefix, err)
	}
	var found []object.Info
	in := &awss3.ListObjectsV2Input{
		Bucket: &s.opts.Bucket, Prefix: aws.String(prefix), EncodingType: types.EncodingTypeUrl,
	}
	if after != "" {
		in.StartAfter = aws.String(after)
	}
	// A page may be shorter than asked for and not be the last.
	for len(found) < limit {
		in.MaxKeys = aws.Int32(int32(limit - len(found))) //nolint:gosec // at most MaxListed
		out, err := s.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, object.Fail("list", prefix, cause(ctx, err))
		}
		for i := range out.Contents {
			info, err := listed(&out.Contents[i], out.EncodingType)
			if err != nil {
				return nil, object.Fail("list", prefix, err)
			}
			found = append(found, info)
		}
		if !aws.ToBool(out.IsTruncated) {
			break
		}
		if aws.ToString(out.NextContinuationToken) == "" {
			return nil, object.Fail("list", prefix, errors.New("a cut listing without a continuation token"))
		}
		in.ContinuationToken = out.NextContinuationToken
	}
	return found, nil
}

func listed(o *types.Object, encoding types.EncodingType) (object.Info, error) {
	key := aws.ToString(o.Key)
	if encoding == types.EncodingTypeUrl {
		var err error
		if key, err = url.QueryUnescape(key); err != nil {
			return object.Info{}, err
		}
	}
	return object.Info{
		Key: key, Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified),
		ETag: etag(o.ETag),
	}, nil
}
