package s3front

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3response"

	"mirrorfs/gateway"
)

// encoding writes keys as the request wants them.
type encoding types.EncodingType

// encodingOf reads the encoding that a listing asks for, which the library does not pass on.
func encodingOf(ctx context.Context) (encoding, error) {
	rc, ok := ctx.Value(requestKey{}).(*fasthttp.RequestCtx)
	if !ok {
		return "", nil
	}
	switch e := string(rc.QueryArgs().Peek("encoding-type")); e {
	case "", string(types.EncodingTypeUrl):
		return encoding(e), nil
	default:
		return "", s3Error(&gateway.Error{Kind: gateway.InvalidArgument, Err: errors.New("encoding-type is url")})
	}
}

// text escapes what XML cannot carry, and all else that URLs escape but slashes. Spaces are %20, which all
// clients read alike.
func (e encoding) text(s string) *string {
	if e != "" {
		s = strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%2F", "/")
	}
	return &s
}

func (e encoding) orNil(s string) *string {
	if s == "" {
		return nil
	}
	return e.text(s)
}

func (e encoding) objects(keys []gateway.Listed, withOwner bool) []s3response.Object {
	out := make([]s3response.Object, len(keys))
	for i := range keys {
		k := &keys[i]
		out[i] = s3response.Object{
			Key: e.text(k.Key), Size: &k.Size, LastModified: &k.Modified, ETag: ptr(quote(k.ETag)),
			StorageClass: types.ObjectStorageClassStandard,
		}
		if withOwner {
			out[i].Owner = &types.Owner{ID: ptr(owner), DisplayName: ptr(owner)}
		}
	}
	return out
}

func (e encoding) prefixes(all []string) []types.CommonPrefix {
	out := make([]types.CommonPrefix, len(all))
	for i, p := range all {
		out[i].Prefix = e.text(p)
	}
	return out
}

// ListObjects gives a page of keys after a marker: a key, or the common prefix that was last in the page
// before.
func (b *backend) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	var out s3response.ListObjectsResult
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	e, err := encodingOf(ctx)
	if err != nil {
		return out, err
	}
	marker, delimiter, prefix := strings.Clone(deref(in.Marker)), strings.Clone(deref(in.Delimiter)), strings.Clone(deref(in.Prefix))
	page, err := b.api.List(ctx, gateway.ListRequest{
		Bucket: strings.Clone(deref(in.Bucket)), Prefix: prefix, Delimiter: delimiter, After: marker,
		AfterPrefix: delimiter != "" && strings.HasSuffix(marker, delimiter) && len(marker) > len(prefix), Max: int(deref(in.MaxKeys)),
	})
	if err != nil {
		return out, b.fail(ctx, err)
	}
	out = s3response.ListObjectsResult{
		Name: ptr(strings.Clone(deref(in.Bucket))), Prefix: e.text(prefix), Marker: e.text(marker), Delimiter: e.orNil(delimiter),
		MaxKeys: ptr(deref(in.MaxKeys)), IsTruncated: &page.More, EncodingType: types.EncodingType(e),
		Contents: e.objects(page.Keys, true), CommonPrefixes: e.prefixes(page.Prefixes),
	}
	if page.More {
		out.NextMarker = e.text(page.Last)
	}
	return out, nil
}

// ListObjectsV2 gives a page of keys after a token of the page before, or after a key.
func (b *backend) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	var out s3response.ListObjectsV2Result
	ctx, err := b.request(ctx)
	if err != nil {
		return out, err
	}
	e, err := encodingOf(ctx)
	if err != nil {
		return out, err
	}
	r := gateway.ListRequest{
		Bucket: strings.Clone(deref(in.Bucket)), Prefix: strings.Clone(deref(in.Prefix)),
		Delimiter: strings.Clone(deref(in.Delimiter)), After: strings.Clone(deref(in.StartAfter)), Max: int(deref(in.MaxKeys)),
	}
	if t := deref(in.ContinuationToken); t != "" {
		if r.After, r.AfterPrefix, err = parseToken(t); err != nil {
			return out, b.fail(ctx, err)
		}
	}
	page, err := b.api.List(ctx, r)
	if err != nil {
		return out, b.fail(ctx, err)
	}
	out = s3response.ListObjectsV2Result{
		Name: &r.Bucket, Prefix: e.text(r.Prefix), Delimiter: e.orNil(r.Delimiter), MaxKeys: ptr(deref(in.MaxKeys)),
		StartAfter: e.orNil(strings.Clone(deref(in.StartAfter))), ContinuationToken: orNil(strings.Clone(deref(in.ContinuationToken))),
		KeyCount: ptr(int32(len(page.Keys) + len(page.Prefixes))), IsTruncated: &page.More, EncodingType: types.EncodingType(e),
		Contents: e.objects(page.Keys, deref(in.FetchOwner)), CommonPrefixes: e.prefixes(page.Prefixes),
	}
	if page.More {
		out.NextContinuationToken = ptr(token(page.Last, page.LastPrefix))
	}
	return out, nil
}

// token names the place after a key or a common prefix.
func token(last string, prefix bool) string {
	kind := "k"
	if prefix {
		kind = "p"
	}
	return base64.RawURLEncoding.EncodeToString([]byte(kind + last))
}

func parseToken(t string) (last string, prefix bool, err error) {
	b, err := base64.RawURLEncoding.DecodeString(t)
	if err != nil || len(b) == 0 || b[0] != 'k' && b[0] != 'p' {
		return "", false, &gateway.Error{Kind: gateway.InvalidArgument, Err: errors.New("the continuation token is none of this gateway")}
	}
	return string(b[1:]), b[0] == 'p', nil
}
