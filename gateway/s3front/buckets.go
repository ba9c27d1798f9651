package s3front

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3response"
)

// ListBuckets gives a page of the buckets.
func (b *backend) ListBuckets(ctx context.Context, in s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	var out s3response.ListAllMyBucketsResult
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	all, err := b.api.Buckets(ctx)
	if err != nil {
		return out, b.fail(ctx, err)
	}
	out.Owner = s3response.CanonicalUser{ID: owner, DisplayName: owner}
	out.Prefix = strings.Clone(in.Prefix)
	for _, one := range all {
		if !strings.HasPrefix(one.Name, in.Prefix) || one.Name <= in.ContinuationToken {
			continue
		}
		if n := len(out.Buckets.Bucket); in.MaxBuckets > 0 && n == int(in.MaxBuckets) {
			out.ContinuationToken = out.Buckets.Bucket[n-1].Name
			break
		}
		out.Buckets.Bucket = append(out.Buckets.Bucket, s3response.ListAllMyBucketsEntry{Name: one.Name, CreationDate: one.Created})
	}
	return out, nil
}

// HeadBucket tells whether there is a bucket.
func (b *backend) HeadBucket(ctx context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	ctx, err := b.request(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := b.api.Bucket(ctx, strings.Clone(deref(in.Bucket))); err != nil {
		return nil, b.fail(ctx, err)
	}
	return &s3.HeadBucketOutput{}, nil
}

// CreateBucket makes a bucket. What the request says of ACLs plays no part.
func (b *backend) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, _ []byte) error {
	ctx, err := b.request(ctx)
	if err != nil {
		return err
	}
	if err := b.api.MakeBucket(ctx, strings.Clone(deref(in.Bucket))); err != nil {
		return b.fail(ctx, err)
	}
	b.changed(ctx)
	return nil
}

// DeleteBucket removes a bucket that is empty.
func (b *backend) DeleteBucket(ctx context.Context, bucket string) error {
	ctx, err := b.request(ctx)
	if err != nil {
		return err
	}
	if err := b.api.RemoveBucket(ctx, strings.Clone(bucket)); err != nil {
		return b.fail(ctx, err)
	}
	b.changed(ctx)
	return nil
}
