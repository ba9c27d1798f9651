package s3front

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"mirrorfs/gateway"
)

// CompleteMultipartUpload makes the object of an upload.
func (b *backend) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	var out s3response.CompleteMultipartUploadResult
	ctx, err := b.request(ctx)
	if err != nil {
		return out, "", err
	}
	if in.MultipartUpload == nil {
		return out, "", s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	r := gateway.CompleteRequest{
		UploadName: uploadName(in.Bucket, in.Key, in.UploadId), Size: in.MpuObjectSize,
		Conditions: conditions(in.IfMatch, in.IfNoneMatch, nil, nil),
	}
	for i := range in.MultipartUpload.Parts {
		p := &in.MultipartUpload.Parts[i]
		if p.PartNumber == nil || p.ETag == nil {
			return out, "", s3err.GetAPIError(s3err.ErrMalformedXML)
		}
		r.Parts = append(r.Parts, gateway.CompletePart{
			Number: int(*p.PartNumber), ETag: strings.Trim(*p.ETag, `"`), Checksum: sumsOf(p).get(),
		})
	}
	if r.Checksum, err = b.objectSum(ctx, &r, in); err != nil {
		return out, "", err
	}
	info, err := b.api.Complete(ctx, r)
	if err != nil {
		return out, "", b.fail(ctx, err)
	}
	b.changed(ctx)
	out = s3response.CompleteMultipartUploadResult{Bucket: &r.Bucket, Key: &r.Key, ETag: ptr(quote(info.ETag))}
	if info.Checksum != nil {
		out.ChecksumType = ptr(sumsOf(&out).set(info.Checksum))
	}
	return out, "", nil
}

// objectSum gives the checksum of the object that an upload becomes: a checksum over those of the parts, or
// that of all bytes, which for CRCs follows from those of the parts. Nil when the upload has none, or not
// all parts have. A client that expects another one is told.
func (b *backend) objectSum(ctx context.Context, r *gateway.CompleteRequest, in *s3.CompleteMultipartUploadInput) (*gateway.Checksum, error) {
	expected := sumsOf(in).get()
	u, parts, err := b.allParts(ctx, r.UploadName)
	if gateway.KindOf(err) == gateway.NoSuchUpload && err != nil {
		return nil, nil //nolint:nilnil // Complete may know what became of it
	}
	if err != nil {
		return nil, b.fail(ctx, err)
	}
	if u.Checksum == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	if in.ChecksumType != "" && in.ChecksumType != typeOf(u.Checksum) {
		return nil, s3err.GetChecksumTypeMismatchOnMpErr(typeOf(u.Checksum))
	}
	sum := *u.Checksum
	algorithm := types.ChecksumAlgorithm(sum.Algorithm)
	all, err := utils.NewCompositeChecksumReader(utils.HashTypeNone)
	if sum.Composite {
		all, err = utils.NewCompositeChecksumReader(utils.HashType(strings.ToLower(sum.Algorithm)))
	} else if !utils.IsChecksumComposable(algorithm) {
		return nil, nil //nolint:nilnil // nobody knows it without reading all
	}
	if err != nil {
		return nil, fmt.Errorf("checksum of parts: %w", err)
	}
	for i, p := range r.Parts {
		part, ok := parts[p.Number]
		if !ok || part.Checksum == nil || part.Checksum.Algorithm != sum.Algorithm {
			return nil, nil //nolint:nilnil // Complete says what is missing, or nothing can be said
		}
		switch {
		case sum.Composite:
			err = all.Process(part.Checksum.Value)
		case i == 0:
			sum.Value = part.Checksum.Value
		default:
			sum.Value, err = utils.AddCRCChecksum(algorithm, sum.Value, part.Checksum.Value, part.Size)
		}
		if err != nil {
			return nil, fmt.Errorf("checksum of part %d: %w", p.Number, err)
		}
	}
	if sum.Composite {
		sum.Value = fmt.Sprintf("%s-%d", all.Sum(), len(r.Parts))
	}
	if expected != nil && !sameSum(expected, &sum) {
		return nil, s3err.GetChecksumBadDigestErr(types.ChecksumAlgorithm(expected.Algorithm))
	}
	return &sum, nil
}

// sameSum compares checksums; the number of parts may be left out by a client.
func sameSum(told, known *gateway.Checksum) bool {
	if told.Algorithm != known.Algorithm {
		return false
	}
	if told.Value == known.Value {
		return true
	}
	value, _, _ := strings.Cut(known.Value, "-")
	return known.Composite && told.Value == value
}

// allParts gives the parts of an upload by their numbers.
func (b *backend) allParts(ctx context.Context, n gateway.UploadName) (gateway.Upload, map[int]gateway.Part, error) {
	page, err := b.api.Parts(ctx, gateway.PartsRequest{UploadName: n, Max: 0})
	if err != nil || page.Upload.Checksum == nil {
		return page.Upload, nil, err
	}
	all := map[int]gateway.Part{}
	for after := 0; ; {
		page, err := b.api.Parts(ctx, gateway.PartsRequest{UploadName: n, After: after, Max: gateway.MaxListParts})
		if err != nil {
			return page.Upload, nil, err
		}
		for i := range page.Parts {
			all[page.Parts[i].Number], after = page.Parts[i], page.Parts[i].Number
		}
		if !page.More || len(page.Parts) == 0 {
			return page.Upload, all, nil
		}
	}
}
