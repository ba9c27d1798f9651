package s3front_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/gateway/s3front"
)

// code is the code of an error of S3.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func refused(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil || !slices.Contains(want, code(err)) {
		t.Errorf("error is %v (%s), want %v", err, code(err), want)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func (r *rig) put(key string, body []byte) *s3.PutObjectOutput {
	r.t.Helper()
	out, err := r.s3.PutObject(r.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(body)})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) get(key string) []byte {
	r.t.Helper()
	out, err := r.s3.GetObject(r.t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := io.ReadAll(out.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func TestChecksums(t *testing.T) {
	r := serve(t, gatewaytest.Options{})
	body := []byte("some bytes")
	for _, a := range []types.ChecksumAlgorithm{
		types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme,
		types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256,
	} {
		k := string(a)
		if _, err := r.s3.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(bucket), Key: &k, Body: bytes.NewReader(body), ChecksumAlgorithm: a,
		}); err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		out, err := r.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &k, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		sums := map[types.ChecksumAlgorithm]*string{
			types.ChecksumAlgorithmCrc32: out.ChecksumCRC32, types.ChecksumAlgorithmCrc32c: out.ChecksumCRC32C,
			types.ChecksumAlgorithmCrc64nvme: out.ChecksumCRC64NVME, types.ChecksumAlgorithmSha1: out.ChecksumSHA1,
			types.ChecksumAlgorithmSha256: out.ChecksumSHA256,
		}
		if sums[a] == nil || out.ChecksumType != types.ChecksumTypeFullObject {
			t.Errorf("%s: %v of type %s", a, sums, out.ChecksumType)
		}
	}
	_, err := r.s3.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("wrong"), Body: bytes.NewReader(body), ChecksumCRC32: aws.String("AAAAAA=="),
	})
	refused(t, err, "BadDigest")
	_, err = r.s3.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("wrong"), Body: bytes.NewReader(body), ContentMD5: aws.String("1B2M2Y8AsgTpgAmY7PhCfg=="),
	})
	refused(t, err, "BadDigest")
	_, err = r.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("wrong")})
	refused(t, err, "NotFound")
}

func TestConditionalRequests(t *testing.T) {
	r := serve(t, gatewaytest.Options{})
	etag := r.put("k", []byte("body")).ETag
	_, err := r.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), IfNoneMatch: etag})
	var answer interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) || answer.HTTPStatusCode() != http.StatusNotModified {
		t.Errorf("if-none-match: %v", err)
	}
	_, err = r.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), IfMatch: aws.String(`"0-1"`)})
	refused(t, err, "PreconditionFailed")
	_, err = r.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), IfNoneMatch: aws.String("*")})
	refused(t, err, "PreconditionFailed")
	if _, err = r.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), IfMatch: etag}); err != nil {
		t.Error(err)
	}
	_, err = r.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), IfMatch: etag})
	refused(t, err, "PreconditionFailed")
	_, err = r.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), Range: aws.String("bytes=10-")})
	refused(t, err, "InvalidRange")
}

func TestListings(t *testing.T) {
	r := serve(t, gatewaytest.Options{})
	keys := []string{"a!", "a-b", "a/1", "a/2 +&<\x01>", "b/1", "c", "ü/x"}
	for _, k := range keys {
		r.put(k, []byte(k))
	}
	var got []string
	p := s3.NewListObjectsV2Paginator(r.s3, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), MaxKeys: aws.Int32(2), EncodingType: types.EncodingTypeUrl})
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			got = append(got, *o.Key)
		}
	}
	want := []string{"a%21", "a-b", "a/1", "a/2%20%2B%26%3C%01%3E", "b/1", "c", "%C3%BC/x"}
	if !slices.Equal(got, want) {
		t.Errorf("keys\n got %q\nwant %q", got, want)
	}
	got = nil
	marker := ""
	for {
		page, err := r.s3.ListObjects(t.Context(), &s3.ListObjectsInput{
			Bucket: aws.String(bucket), MaxKeys: aws.Int32(1), Delimiter: aws.String("/"), Marker: &marker,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			got = append(got, *o.Key)
		}
		for _, c := range page.CommonPrefixes {
			got = append(got, *c.Prefix)
		}
		if !*page.IsTruncated {
			break
		}
		marker = *page.NextMarker
	}
	if want := []string{"a!", "a-b", "a/", "b/", "c", "ü/"}; !slices.Equal(got, want) {
		t.Errorf("version 1\n got %q\nwant %q", got, want)
	}
	page, err := r.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
		Bucket: aws.String(bucket), Prefix: aws.String("a/"), StartAfter: aws.String("a/1"), EncodingType: types.EncodingTypeUrl,
	})
	if err != nil || len(page.Contents) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	_, err = r.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket), ContinuationToken: aws.String("mine")})
	refused(t, err, "InvalidArgument")
	_, err = r.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("other")})
	refused(t, err, "NoSuchBucket")
	deleted, err := r.s3.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("a!")}, {Key: aws.String("b/1")}, {Key: aws.String("none")},
	}}})
	if err != nil || len(deleted.Deleted) != 3 {
		t.Errorf("%+v, %v", deleted, err)
	}
	if page, err = r.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket), EncodingType: types.EncodingTypeUrl}); err != nil || *page.KeyCount != 5 {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestMultipart(t *testing.T) {
	r := serve(t, gatewaytest.Options{})
	ctx := t.Context()
	body := random(13 << 20)
	for _, kind := range []types.ChecksumType{types.ChecksumTypeFullObject, types.ChecksumTypeComposite} {
		k := "whole/" + string(kind)
		up, err := r.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: aws.String(bucket), Key: &k, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, ChecksumType: kind,
		})
		if err != nil {
			t.Fatal(err)
		}
		done := &types.CompletedMultipartUpload{}
		for i, b := range [][]byte{body[:6<<20], body[6<<20 : 12<<20], body[12<<20:]} {
			n := int32(i + 1)
			p, err := r.s3.UploadPart(ctx, &s3.UploadPartInput{
				Bucket: aws.String(bucket), Key: &k, UploadId: up.UploadId, PartNumber: &n, Body: bytes.NewReader(b),
				ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
			})
			if err != nil {
				t.Fatal(err)
			}
			done.Parts = append(done.Parts, types.CompletedPart{PartNumber: &n, ETag: p.ETag, ChecksumCRC32: p.ChecksumCRC32})
		}
		uploads, err := r.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
		if err != nil || len(uploads.Uploads) != 1 || *uploads.Uploads[0].Key != k {
			t.Errorf("%+v, %v", uploads, err)
		}
		parts, err := r.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String(bucket), Key: &k, UploadId: up.UploadId})
		if err != nil || len(parts.Parts) != 3 || *parts.Parts[1].ChecksumCRC32 != *done.Parts[1].ChecksumCRC32 {
			t.Errorf("%+v, %v", parts, err)
		}
		out, err := r.s3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: aws.String(bucket), Key: &k, UploadId: up.UploadId, MultipartUpload: done,
		})
		if err != nil {
			t.Fatal(err)
		}
		head, err := r.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &k, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil || *head.ETag != *out.ETag || head.ChecksumType != kind || *head.ChecksumCRC32 != *out.ChecksumCRC32 {
			t.Errorf("%s: head %+v, completed %+v, %v", kind, head, out, err)
		}
		if composite := strings.HasSuffix(*out.ChecksumCRC32, "-3"); composite != (kind == types.ChecksumTypeComposite) {
			t.Errorf("%s: the checksum is %s", kind, *out.ChecksumCRC32)
		}
		// The SDK checks a whole object's checksum against its bytes itself.
		if got := r.get(k); !bytes.Equal(got, body) {
			t.Errorf("%d bytes", len(got))
		}
		part, err := r.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &k, PartNumber: aws.Int32(2)})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(part.Body); err != nil || !bytes.Equal(b, body[6<<20:12<<20]) || *part.PartsCount != 3 {
			t.Errorf("part 2: %d bytes, %v", len(b), err)
		}
	}
}

func TestCopyTagsAndDelete(t *testing.T) {
	r := serve(t, gatewaytest.Options{})
	ctx := t.Context()
	k := aws.String("a b/ü+1")
	if _, err := r.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: k, Body: strings.NewReader("body"), Tagging: aws.String("x=1&y=2"), CacheControl: aws.String("no-cache"),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.s3.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("copy"), CopySource: aws.String(bucket + "/a%20b/%C3%BC%2B1"),
	}); err != nil {
		t.Fatal(err)
	}
	tags, err := r.s3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("copy")})
	if err != nil || len(tags.TagSet) != 2 {
		t.Errorf("%+v, %v", tags, err)
	}
	if _, err := r.s3.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{
		Bucket: aws.String(bucket), Key: aws.String("copy"), Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("z"), Value: aws.String("3")}}},
	}); err != nil {
		t.Error(err)
	}
	head, err := r.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy")})
	if err != nil || *head.CacheControl != "no-cache" || *head.TagCount != 1 {
		t.Errorf("%+v, %v", head, err)
	}
	attrs, err := r.s3.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{
		Bucket: aws.String(bucket), Key: aws.String("copy"), ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectSize, types.ObjectAttributesChecksum},
	})
	if err != nil || *attrs.ObjectSize != 4 {
		t.Errorf("%+v, %v", attrs, err)
	}
	_, err = r.s3.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy"), CopySource: aws.String(bucket + "/copy")})
	refused(t, err, "InvalidRequest")
	if _, err := r.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: k}); err != nil {
		t.Error(err)
	}
	_, err = r.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: k})
	refused(t, err, "NoSuchKey")
}

func TestBucketOperations(t *testing.T) {
	r := serve(t, gatewaytest.Options{Dirs: true})
	ctx := t.Context()
	for _, b := range []string{"one", "two"} {
		if _, err := r.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("one")})
	refused(t, err, "BucketAlreadyOwnedByYou")
	if _, err := r.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("one")}); err != nil {
		t.Error(err)
	}
	if _, err := r.s3.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String("one")}); err != nil {
		t.Error(err)
	}
	if _, err := r.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("two")}); err != nil {
		t.Error(err)
	}
	all, err := r.s3.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil || len(all.Buckets) != 1 || *all.Buckets[0].Name != "one" {
		t.Errorf("%+v, %v", all, err)
	}
	_, err = r.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("two")})
	refused(t, err, "NotFound")
	_, err = r.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String("one"), Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::one/*"}]}`)})
	refused(t, err, "NotImplemented")
	_, err = r.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String("one"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	refused(t, err, "NotImplemented")
}

func TestWhoMayAsk(t *testing.T) {
	r := serve(t, gatewaytest.Options{})
	r.put("k", []byte("body"))
	_, err := r.client("AKIDNOBODY", secretKey).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
	refused(t, err, "InvalidAccessKeyId")
	_, err = r.client(accessKey, "wrong").GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
	refused(t, err, "SignatureDoesNotMatch")
	signed, err := s3.NewPresignClient(r.s3).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	if status, body := fetch(t, signed.URL, nil); status != http.StatusOK || body != "body" {
		t.Errorf("presigned: %d %s", status, body)
	}
	if status, _ := fetch(t, r.url+"/"+bucket+"/k", nil); status != http.StatusForbidden {
		t.Errorf("without a signature: %d", status)
	}
	open := serve(t, gatewaytest.Options{}, func(o *s3front.Options) { o.Anonymous = true })
	open.put("k", []byte("body"))
	if status, body := fetch(t, open.url+"/"+bucket+"/k", nil); status != http.StatusOK || body != "body" {
		t.Errorf("anonymous: %d %s", status, body)
	}
}

// fetch gets a URL without a signature of its own.
func fetch(t *testing.T, url string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
