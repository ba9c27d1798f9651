package s3front

import (
	"context"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	lib "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3response"

	"mirrorfs/gateway"
)

// CreateMultipartUpload begins an upload in parts.
func (b *backend) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	var out s3response.InitiateMultipartUploadResult
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	tags, err := lib.ParseObjectTags(strings.Clone(deref(in.Tagging)))
	if err != nil {
		return out, err
	}
	r := gateway.StartRequest{
		Name: name(in.Bucket, in.Key),
		Described: gateway.Described{
			Headers: headers(in.ContentType, in.ContentEncoding, in.ContentDisposition, in.ContentLanguage,
				in.CacheControl, in.Expires, in.WebsiteRedirectLocation),
			Metadata: metadata(in.Metadata), Tags: tags,
		},
	}
	if in.ChecksumAlgorithm != "" {
		r.Checksum = &gateway.Checksum{
			Algorithm: strings.Clone(string(in.ChecksumAlgorithm)), Composite: in.ChecksumType == types.ChecksumTypeComposite,
		}
	}
	id, err := b.api.StartUpload(ctx, r)
	if err != nil {
		return out, b.fail(ctx, err)
	}
	b.changed(ctx)
	return s3response.InitiateMultipartUploadResult{Bucket: r.Bucket, Key: r.Key, UploadId: id}, nil
}

func uploadName(bucket, key, id *string) gateway.UploadName {
	return gateway.UploadName{Name: name(bucket, key), ID: strings.Clone(deref(id))}
}

// UploadPart makes a part of the request's body.
func (b *backend) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	ctx, err := b.request(ctx)
	if err != nil {
		return nil, err
	}
	body, err := content(in.Body, deref(in.ContentLength), sumsOf(in).get(), in.ChecksumAlgorithm)
	if err != nil {
		return nil, err
	}
	p, err := b.api.PutPart(ctx, gateway.PartRequest{
		UploadName: uploadName(in.Bucket, in.Key, in.UploadId), Number: int(deref(in.PartNumber)), Content: body,
	})
	if err != nil {
		return nil, b.fail(ctx, err)
	}
	b.changed(ctx)
	out := &s3.UploadPartOutput{ETag: ptr(quote(p.ETag))}
	sumsOf(out).set(p.Checksum)
	return out, nil
}

// UploadPartCopy makes a part of a range of an object.
func (b *backend) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	var out s3response.CopyPartResult
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	from, err := source(in.CopySource)
	if err != nil {
		return out, err
	}
	p, err := b.api.CopyPart(ctx, gateway.CopyPartRequest{
		UploadName: uploadName(in.Bucket, in.Key, in.UploadId), Number: int(deref(in.PartNumber)), From: from,
		Range: strings.Clone(deref(in.CopySourceRange)),
		Conditions: conditions(in.CopySourceIfMatch, in.CopySourceIfNoneMatch,
			in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince),
	})
	if err != nil {
		return out, b.fail(ctx, err)
	}
	b.changed(ctx)
	out = s3response.CopyPartResult{ETag: ptr(quote(p.ETag)), LastModified: p.Modified}
	sumsOf(&out).set(p.Checksum)
	return out, nil
}

// AbortMultipartUpload ends an upload.
func (b *backend) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	ctx, err := b.request(ctx)
	if err != nil {
		return err
	}
	if err := b.api.Abort(ctx, uploadName(in.Bucket, in.Key, in.UploadId)); err != nil {
		return b.fail(ctx, err)
	}
	b.changed(ctx)
	return nil
}

// ListParts gives a page of the parts of an upload.
func (b *backend) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	var out s3response.ListPartsResult
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	after, _ := strconv.Atoi(deref(in.PartNumberMarker)) // checked by the library
	page, err := b.api.Parts(ctx, gateway.PartsRequest{
		UploadName: uploadName(in.Bucket, in.Key, in.UploadId), After: after, Max: int(deref(in.MaxParts)),
	})
	if err != nil {
		return out, b.fail(ctx, err)
	}
	u := page.Upload
	out = s3response.ListPartsResult{
		Bucket: u.Bucket, Key: u.Key, UploadID: u.ID, PartNumberMarker: after, MaxParts: int(deref(in.MaxParts)),
		IsTruncated: page.More, StorageClass: types.StorageClassStandard,
		Owner: s3response.Owner{ID: owner, DisplayName: owner}, Initiator: s3response.Initiator{ID: owner, DisplayName: owner},
	}
	if u.Checksum != nil {
		out.ChecksumAlgorithm, out.ChecksumType = types.ChecksumAlgorithm(u.Checksum.Algorithm), typeOf(u.Checksum)
	}
	for i := range page.Parts {
		p := &page.Parts[i]
		part := s3response.Part{PartNumber: p.Number, Size: p.Size, LastModified: p.Modified, ETag: quote(p.ETag)}
		sumsOf(&part).set(p.Checksum)
		out.Parts, out.NextPartNumberMarker = append(out.Parts, part), p.Number
	}
	return out, nil
}

// ListMultipartUploads gives a page of the uploads of a bucket.
func (b *backend) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	var out s3response.ListMultipartUploadsResult
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	e, err := encodingOf(ctx)
	if err != nil {
		return out, err
	}
	r := gateway.UploadsRequest{
		Bucket: strings.Clone(deref(in.Bucket)), Prefix: strings.Clone(deref(in.Prefix)), Delimiter: strings.Clone(deref(in.Delimiter)),
		After: strings.Clone(deref(in.KeyMarker)), AfterID: strings.Clone(deref(in.UploadIdMarker)), Max: int(deref(in.MaxUploads)),
	}
	page, err := b.api.Uploads(ctx, r)
	if err != nil {
		return out, b.fail(ctx, err)
	}
	out = s3response.ListMultipartUploadsResult{
		Bucket: r.Bucket, KeyMarker: *e.text(r.After), UploadIDMarker: r.AfterID, Delimiter: *e.text(r.Delimiter),
		Prefix: *e.text(r.Prefix), EncodingType: string(e), MaxUploads: r.Max, IsTruncated: page.More,
	}
	last := ""
	for i := range page.Uploads {
		u := &page.Uploads[i]
		one := s3response.Upload{
			Key: *e.text(u.Key), UploadID: u.ID, Initiated: u.Started, StorageClass: types.StorageClassStandard,
			Owner: s3response.Owner{ID: owner, DisplayName: owner}, Initiator: s3response.Initiator{ID: owner, DisplayName: owner},
		}
		if u.Checksum != nil {
			one.ChecksumAlgorithm, one.ChecksumType = types.ChecksumAlgorithm(u.Checksum.Algorithm), typeOf(u.Checksum)
		}
		out.Uploads, last = append(out.Uploads, one), u.Key
		out.NextUploadIDMarker = u.ID
	}
	for _, p := range page.Prefixes {
		out.CommonPrefixes = append(out.CommonPrefixes, s3response.CommonPrefix{Prefix: *e.text(p)})
		if p > last {
			last, out.NextUploadIDMarker = p, ""
		}
	}
	if out.NextKeyMarker = *e.text(last); !page.More {
		out.NextKeyMarker, out.NextUploadIDMarker = "", ""
	}
	return out, nil
}
