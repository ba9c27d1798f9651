package s3front_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mirrorfs/gateway/gatewaytest"
)

func TestPutHeadGet(t *testing.T) {
	r := serve(t, gatewaytest.Options{Disk: true})
	body := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // 3.2 MB: several blocks
	put, err := r.s3.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("llama/7b/model.bin"), Body: bytes.NewReader(body),
		ContentType: aws.String("application/x-model"), Metadata: map[string]string{"Layers": "32"},
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := r.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("llama/7b/model.bin")})
	if err != nil {
		t.Fatal(err)
	}
	if *head.ContentLength != int64(len(body)) || *head.ETag != *put.ETag || *head.ContentType != "application/x-model" || head.Metadata["layers"] != "32" {
		t.Errorf("head: %d bytes, etag %s (put %s), type %s, metadata %v", *head.ContentLength, *head.ETag, *put.ETag, *head.ContentType, head.Metadata)
	}
	get, err := r.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("llama/7b/model.bin")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(get.Body)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("get: %d bytes, %v", len(got), err)
	}
	get, err = r.s3.GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("llama/7b/model.bin"), Range: aws.String("bytes=1048570-2097200"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err = io.ReadAll(get.Body)
	if err != nil || !bytes.Equal(got, body[1048570:2097201]) {
		t.Errorf("range: %d bytes, %v", len(got), err)
	}
}
