package cos

import (
	"cmp"
	"context"
	"time"

	sdk "github.com/tencentyun/cos-go-sdk-v5"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// List is GET Bucket: COS knows no tokens, and goes on after a key, the marker.
// Keys travel URL-encoded, since XML cannot hold every character.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	found, err := cloud.List(limit, func(token string, limit int) ([]object.Info, string, error) {
		return s.page(ctx, &sdk.BucketGetOptions{
			Prefix: prefix, Marker: cmp.Or(token, after), MaxKeys: limit, EncodingType: "url",
		})
	})
	return found, object.Fail("list", prefix, err)
}

func (s *Store) page(ctx context.Context, in *sdk.BucketGetOptions) (found []object.Info, next string, err error) {
	out, _, err := s.client.Bucket.Get(ctx, in)
	if err != nil {
		return nil, "", cause(ctx, err)
	}
	for i := range out.Contents {
		o := &out.Contents[i]
		key, err := cloud.Unescape(o.Key, out.EncodingType)
		if err != nil {
			return nil, "", err
		}
		modified, err := time.Parse(time.RFC3339, o.LastModified)
		if err != nil {
			return nil, "", err
		}
		found = append(found, object.Info{Key: key, Size: o.Size, ModTime: modified, ETag: cloud.ETag(o.ETag)})
	}
	if !out.IsTruncated {
		return found, "", nil
	}
	if next, err = cloud.Unescape(out.NextMarker, out.EncodingType); err == nil && next == "" {
		err = cloud.ErrNoToken
	}
	return found, next, err
}
