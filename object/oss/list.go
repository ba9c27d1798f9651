package oss

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"

	sdk "github.com/aliyun/aliyun-oss-go-sdk/oss"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// List is ListObjectsV2 with start-after. Keys travel URL-encoded, since XML
// cannot hold every character.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	found, err := cloud.List(limit, func(token string, limit int) ([]object.Info, string, error) {
		params := map[string]string{"list-type": "2", "encoding-type": "url", "max-keys": strconv.Itoa(limit)}
		for name, value := range map[string]string{"prefix": prefix, "start-after": after, "continuation-token": token} {
			if value != "" {
				params[name] = value
			}
		}
		return s.page(ctx, params)
	})
	return found, object.Fail("list", prefix, err)
}

func (s *Store) page(ctx context.Context, params map[string]string) (found []object.Info, next string, err error) {
	resp, err := s.do(ctx, request{method: http.MethodGet, params: params})
	if err != nil {
		return nil, "", err
	}
	var out struct {
		sdk.ListObjectsResultV2
		EncodingType string
	}
	if err = errors.Join(xml.NewDecoder(resp.Body).Decode(&out), end(resp)); err != nil {
		return nil, "", cause(ctx, 0, err)
	}
	for i := range out.Objects {
		o := &out.Objects[i]
		key, err := cloud.Unescape(o.Key, out.EncodingType)
		if err != nil {
			return nil, "", err
		}
		found = append(found, object.Info{Key: key, Size: o.Size, ModTime: o.LastModified, ETag: cloud.ETag(o.ETag)})
	}
	if !out.IsTruncated {
		return found, "", nil
	}
	if next, err = cloud.Unescape(out.NextContinuationToken, out.EncodingType); err == nil && next == "" {
		err = cloud.ErrNoToken
	}
	return found, next, err
}

// length is negative if the server did not say.
func length(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get(sdk.HTTPHeaderContentLength), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
