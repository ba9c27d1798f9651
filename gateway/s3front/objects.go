package s3front

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	lib "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3response"

	"mirrorfs/gateway"
)

// HeadObject implements the library's Backend, as do all below.
func (b *backend) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	ctx, err := b.request(ctx)
	if err != nil {
		return nil, err
	}
	o, err := b.api.Head(ctx, gateway.GetRequest{
		Name: name(in.Bucket, in.Key), Range: strings.Clone(deref(in.Range)), Part: int(deref(in.PartNumber)),
		Conditions: conditions(in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince),
	})
	if err != nil {
		return nil, b.fail(ctx, err)
	}
	a := describe(o, in.ChecksumMode)
	return &s3.HeadObjectOutput{
		AcceptRanges: a.AcceptRanges, CacheControl: a.CacheControl, ContentDisposition: a.ContentDisposition,
		ContentEncoding: a.ContentEncoding, ContentLanguage: a.ContentLanguage, ContentLength: a.ContentLength,
		ContentRange: a.ContentRange, ContentType: a.ContentType, ETag: a.ETag, ExpiresString: a.ExpiresString,
		LastModified: a.LastModified, Metadata: a.Metadata, PartsCount: a.PartsCount, StorageClass: a.StorageClass,
		TagCount: a.TagCount, WebsiteRedirectLocation: a.WebsiteRedirectLocation,
		ChecksumType: a.ChecksumType, ChecksumCRC32: a.ChecksumCRC32, ChecksumCRC32C: a.ChecksumCRC32C,
		ChecksumCRC64NVME: a.ChecksumCRC64NVME, ChecksumSHA1: a.ChecksumSHA1, ChecksumSHA256: a.ChecksumSHA256,
		ChecksumSHA512: a.ChecksumSHA512, ChecksumMD5: a.ChecksumMD5, ChecksumXXHASH64: a.ChecksumXXHASH64,
		ChecksumXXHASH3: a.ChecksumXXHASH3, ChecksumXXHASH128: a.ChecksumXXHASH128,
	}, nil
}

// GetObject gives the body as a stream whose WriteTo is the API's.
func (b *backend) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	ctx, err := b.request(ctx)
	if err != nil {
		return nil, err
	}
	o, err := b.api.Get(ctx, gateway.GetRequest{
		Name: name(in.Bucket, in.Key), Range: strings.Clone(deref(in.Range)), Part: int(deref(in.PartNumber)),
		Conditions: conditions(in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince),
	})
	if err != nil {
		return nil, b.fail(ctx, err)
	}
	a := describe(o, in.ChecksumMode)
	a.Body = stream(ctx, o.Body, o.Length)
	return a, nil
}

// describe writes an object as the answer to a GET.
func describe(o *gateway.Object, mode types.ChecksumMode) *s3.GetObjectOutput {
	a := &s3.GetObjectOutput{
		AcceptRanges: ptr("bytes"), ContentLength: &o.Length, ETag: ptr(quote(o.ETag)), LastModified: &o.Modified,
		ContentType: ptr(contentType(o)), ContentEncoding: orNil(o.ContentEncoding),
		ContentDisposition: orNil(o.ContentDisposition), ContentLanguage: orNil(o.ContentLanguage),
		CacheControl: orNil(o.CacheControl), ExpiresString: orNil(o.Expires),
		WebsiteRedirectLocation: orNil(o.Redirect), Metadata: maps.Clone(o.Metadata),
		StorageClass: types.StorageClassStandard,
	}
	if o.Partial {
		a.ContentRange = ptr(fmt.Sprintf("bytes %d-%d/%d", o.Offset, o.Offset+o.Length-1, o.Size))
	}
	if len(o.Tags) > 0 {
		a.TagCount = ptr(int32(len(o.Tags)))
	}
	if o.Parts > 0 {
		a.PartsCount = ptr(int32(o.Parts))
	}
	if mode == types.ChecksumModeEnabled && !o.Partial {
		a.ChecksumType = sumsOf(a).set(o.Checksum)
	}
	return a
}

func contentType(o *gateway.Object) string {
	switch {
	case o.ContentType != "":
		return o.ContentType
	case o.Body == nil && o.Size == 0 && o.ETag == emptyMD5:
		return lib.DirContentType
	default:
		return "application/octet-stream"
	}
}

// emptyMD5 is the ETag of directories.
const emptyMD5 = "d41d8cd98f00b204e9800998ecf8427e"

func quote(etag string) string { return `"` + etag + `"` }

func conditions(ifMatch, ifNoneMatch *string, modified, unmodified *time.Time) gateway.Conditions {
	return gateway.Conditions{
		IfMatch: cloned(ifMatch), IfNoneMatch: cloned(ifNoneMatch), IfModifiedSince: modified, IfUnmodifiedSince: unmodified,
	}
}

func cloned(s *string) *string {
	if s == nil {
		return nil
	}
	return ptr(strings.Clone(*s))
}

// PutObject makes an object of the request's body.
func (b *backend) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	var out s3response.PutObjectOutput
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	tags, err := lib.ParseObjectTags(strings.Clone(deref(in.Tagging)))
	if err != nil {
		return out, err
	}
	body, err := content(in.Body, deref(in.ContentLength), sumsOf(&in).get(), in.ChecksumAlgorithm)
	if err != nil {
		return out, err
	}
	info, err := b.api.Put(ctx, gateway.PutRequest{
		Name:       name(in.Bucket, in.Key),
		Conditions: conditions(in.IfMatch, in.IfNoneMatch, nil, nil),
		Content:    body,
		Described: gateway.Described{
			Headers: headers(in.ContentType, in.ContentEncoding, in.ContentDisposition, in.ContentLanguage,
				in.CacheControl, in.Expires, in.WebsiteRedirectLocation),
			Metadata: metadata(in.Metadata), Tags: tags,
		},
	})
	if err != nil {
		return out, b.fail(ctx, err)
	}
	b.changed(ctx)
	out.ETag, out.Size = quote(info.ETag), &info.Size
	out.ChecksumType = sumsOf(&out).set(info.Checksum)
	return out, nil
}

// headers copies what a client said of the content. The library gives a type that was not said, too.
func headers(contentType, encoding, disposition, language, cache, expires, redirect *string) gateway.Headers {
	h := gateway.Headers{
		ContentType: strings.Clone(deref(contentType)), ContentEncoding: strings.Clone(deref(encoding)),
		ContentDisposition: strings.Clone(deref(disposition)), ContentLanguage: strings.Clone(deref(language)),
		CacheControl: strings.Clone(deref(cache)), Expires: strings.Clone(deref(expires)), Redirect: strings.Clone(deref(redirect)),
	}
	if h.ContentType == "binary/octet-stream" {
		h.ContentType = ""
	}
	return h
}

func metadata(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[strings.ToLower(k)] = strings.Clone(v)
	}
	return out
}
