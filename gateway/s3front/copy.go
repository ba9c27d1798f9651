package s3front

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	lib "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"golang.org/x/sync/errgroup"

	"mirrorfs/gateway"
)

// source gives the object that a copy is made of.
func source(header *string) (gateway.Name, error) {
	bucket, key, version, err := lib.ParseCopySource(strings.Clone(deref(header)))
	if err == nil && version != "" {
		err = s3err.GetAPIError(s3err.ErrNoSuchVersion)
	}
	return gateway.Name{Bucket: bucket, Key: key}, err
}

// CopyObject makes an object of another one.
func (b *backend) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	var out s3response.CopyObjectOutput
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	from, err := source(in.CopySource)
	if err != nil {
		return out, err
	}
	tags, err := lib.ParseObjectTags(strings.Clone(deref(in.Tagging)))
	if err != nil {
		return out, err
	}
	r := gateway.CopyRequest{
		From: from, To: name(in.Bucket, in.Key),
		Conditions: conditions(in.CopySourceIfMatch, in.CopySourceIfNoneMatch,
			in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince),
		ReplaceHeaders: in.MetadataDirective == types.MetadataDirectiveReplace,
		ReplaceTags:    in.TaggingDirective == types.TaggingDirectiveReplace,
		Described: gateway.Described{
			Headers: headers(in.ContentType, in.ContentEncoding, in.ContentDisposition, in.ContentLanguage,
				in.CacheControl, in.Expires, in.WebsiteRedirectLocation),
			Metadata: metadata(in.Metadata), Tags: tags,
		},
	}
	if r.From == r.To && !r.ReplaceHeaders && !r.ReplaceTags {
		return out, s3err.GetAPIError(s3err.ErrInvalidCopyDest)
	}
	info, err := b.api.Copy(ctx, r)
	if err != nil {
		return out, b.fail(ctx, err)
	}
	b.changed(ctx)
	res := &s3response.CopyObjectResult{ETag: ptr(quote(info.ETag)), LastModified: &info.Modified}
	res.ChecksumType = sumsOf(res).set(info.Checksum)
	out.CopyObjectResult = res
	return out, nil
}

// DeleteObject removes an object.
func (b *backend) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	ctx, err := b.request(ctx)
	if err != nil {
		return nil, err
	}
	if in.IfMatchLastModifiedTime != nil || in.IfMatchSize != nil {
		return nil, s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	if err := b.api.Delete(ctx, gateway.DeleteRequest{Name: name(in.Bucket, in.Key), IfMatch: cloned(in.IfMatch)}); err != nil {
		return nil, b.fail(ctx, err)
	}
	b.changed(ctx)
	return &s3.DeleteObjectOutput{}, nil
}

// Limits of one DeleteObjects.
const (
	maxDeletes = 1000
	deleters   = 16 // at a time
)

// DeleteObjects removes objects, and tells of each whether it did.
func (b *backend) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	var out s3response.DeleteResult
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	if in.Delete == nil || len(in.Delete.Objects) > maxDeletes {
		return out, s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	failures := make([]error, len(in.Delete.Objects))
	var group errgroup.Group
	group.SetLimit(deleters)
	for i, o := range in.Delete.Objects {
		group.Go(func() error {
			err := b.api.Delete(ctx, gateway.DeleteRequest{Name: name(in.Bucket, o.Key), IfMatch: cloned(o.ETag)})
			if err != nil {
				failures[i] = b.fail(ctx, err)
			}
			return nil
		})
	}
	_ = group.Wait() // failures has them all
	for i, o := range in.Delete.Objects {
		key := ptr(strings.Clone(deref(o.Key)))
		if failures[i] == nil {
			out.Deleted = append(out.Deleted, types.DeletedObject{Key: key})
			continue
		}
		e := s3err.GetAPIError(s3err.ErrInternalError)
		if own, ok := failures[i].(s3err.S3Error); ok { //nolint:errorlint // as fail gives it
			e = own.BaseError()
		}
		out.Error = append(out.Error, types.Error{Key: key, Code: &e.Code, Message: &e.Description})
	}
	b.changed(ctx)
	return out, nil
}

// GetObjectTagging gives an object's tags.
func (b *backend) GetObjectTagging(ctx context.Context, bucket, object, _ string) (map[string]string, error) {
	ctx, err := b.request(ctx)
	if err != nil {
		return nil, err
	}
	tags, err := b.api.Tags(ctx, name(&bucket, &object))
	if err != nil {
		return nil, b.fail(ctx, err)
	}
	return tags, nil
}

// PutObjectTagging replaces them.
func (b *backend) PutObjectTagging(ctx context.Context, bucket, object, _ string, tags map[string]string) error {
	ctx, err := b.request(ctx)
	if err != nil {
		return err
	}
	kept := make(map[string]string, len(tags))
	for k, v := range tags {
		kept[strings.Clone(k)] = strings.Clone(v)
	}
	if err := b.api.SetTags(ctx, name(&bucket, &object), kept); err != nil {
		return b.fail(ctx, err)
	}
	b.changed(ctx)
	return nil
}

// DeleteObjectTagging removes them.
func (b *backend) DeleteObjectTagging(ctx context.Context, bucket, object, version string) error {
	return b.PutObjectTagging(ctx, bucket, object, version, nil)
}

// GetObjectAttributes gives what HeadObject does, as XML.
func (b *backend) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	var out s3response.GetObjectAttributesResponse
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	o, err := b.api.Head(ctx, gateway.GetRequest{Name: name(in.Bucket, in.Key)})
	if err != nil {
		return out, b.fail(ctx, err)
	}
	out.ETag, out.ObjectSize, out.LastModified, out.StorageClass = &o.ETag, &o.Size, &o.Modified, types.StorageClassStandard
	if o.Checksum != nil {
		out.Checksum = &types.Checksum{}
		out.Checksum.ChecksumType = sumsOf(out.Checksum).set(o.Checksum)
	}
	return out, nil
}

// GetObjectAcl says that the owner may do everything: ACLs play no part.
func (b *backend) GetObjectAcl(ctx context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) { //nolint:staticcheck // the library names it
	ctx, err := b.request(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := b.api.Head(ctx, gateway.GetRequest{Name: name(in.Bucket, in.Key)}); err != nil {
		return nil, b.fail(ctx, err)
	}
	return &s3.GetObjectAclOutput{
		Owner: &types.Owner{ID: ptr(owner), DisplayName: ptr(owner)},
		Grants: []types.Grant{{
			Grantee:    &types.Grantee{ID: ptr(owner), DisplayName: ptr(owner), Type: types.TypeCanonicalUser},
			Permission: types.PermissionFullControl,
		}},
	}, nil
}
