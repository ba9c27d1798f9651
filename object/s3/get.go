package s3

import (
	"context"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"mirrorfs/object/cloud"
)

// Get asks for a range; the body must be closed to free its connection.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	return cloud.Getter{Check: checkKey, Head: s.Head, Open: s.open}.Get(ctx, key, off, n)
}

func (s *Store) open(ctx context.Context, key, byteRange string) (cloud.Answer, error) {
	in := &awss3.GetObjectInput{Bucket: &s.opts.Bucket, Key: &key, RequestPayer: s.opts.payer()}
	if s.opts.Checksums {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	if byteRange != "" {
		in.Range = &byteRange
	}
	out, err := s.client.GetObject(ctx, in)
	if err != nil {
		return cloud.Answer{}, cause(ctx, err)
	}
	answer := cloud.Answer{Body: out.Body, Length: -1, ETag: etag(out.ETag), Partial: out.ContentRange != nil}
	if out.ContentLength != nil {
		answer.Length = *out.ContentLength
	}
	return answer, nil
}

func etag(header *string) string { return cloud.ETag(aws.ToString(header)) }
