package oss

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	sdk "github.com/aliyun/aliyun-oss-go-sdk/oss"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// maxKeyBytes is the limit of
// https://www.alibabacloud.com/help/en/oss/user-guide/object-naming-conventions
const maxKeyBytes = 1023

// Store is a bucket. It may be used concurrently.
type Store struct {
	opts        Options
	bucket      *sdk.Bucket
	credentials *cloud.Provider
	idle        func() // closes idle connections
}

// New prepares a client; the first request looks for credentials and connects.
func New(opts Options) (*Store, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	credentials := cloud.NewProvider(source(opts.Metadata))
	client := cloud.Client(cloud.Transport(opts.Connections))
	c, err := sdk.New(opts.endpoint(), "", "",
		sdk.HTTPClient(client),
		sdk.AuthVersion(sdk.AuthV4),
		sdk.Region(opts.region()),
		sdk.SetCredentialsProvider(provider{credentials}),
		sdk.EnableCRC(false), // compared here, and not computed for downloads
	)
	if err != nil {
		return nil, err
	}
	bucket, err := c.Bucket(opts.Bucket)
	if err != nil {
		return nil, object.Invalidf("%v", err)
	}
	return &Store{opts: opts, bucket: bucket, credentials: credentials, idle: client.CloseIdleConnections}, nil
}

// request is one call of the service.
type request struct {
	method, key string
	params      map[string]string
	headers     map[string]string
	body        io.Reader
}

// do sends r. The caller closes the body of the answer, of which there is none
// with an error.
func (s *Store) do(ctx context.Context, r request) (*sdk.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := s.credentials.Get(ctx); err != nil {
		return nil, cloud.Cause(ctx, err, nil)
	}
	// The time as the V4 signature wants it; the SDK would sign the Date header.
	options := []sdk.Option{
		sdk.WithContext(ctx),
		sdk.SetHeader(sdk.HttpHeaderOssDate, time.Now().UTC().Format("20060102T150405Z")),
	}
	for name, value := range r.headers {
		options = append(options, sdk.SetHeader(name, value))
	}
	params := make(map[string]any, len(r.params))
	for name, value := range r.params {
		params[name] = value
	}
	resp, err := s.bucket.Do(r.method, r.key, params, options, r.body, nil)
	if err != nil {
		status := 0
		if resp != nil {
			status = resp.StatusCode
			_ = resp.Body.Close()
		}
		return nil, cause(ctx, status, err)
	}
	return resp, nil
}

// end reads an answer to its end, so that its connection can be used again.
func end(resp *sdk.Response) error {
	_, err := io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// Create makes the bucket, with standard storage. One that is there already, and
// ours, is no error.
func (s *Store) Create(ctx context.Context) error {
	body, err := xml.Marshal(struct {
		XMLName      xml.Name `xml:"CreateBucketConfiguration"`
		StorageClass string
	}{StorageClass: string(sdk.StorageStandard)})
	if err != nil {
		return object.Fail("create", s.opts.Bucket, err)
	}
	upload := cloud.NewUpload(body)
	defer upload.End()
	resp, err := s.do(ctx, request{
		method: http.MethodPut, body: upload, headers: map[string]string{sdk.HTTPHeaderContentType: "application/xml"},
	})
	if err == nil {
		err = end(resp)
	}
	return object.Fail("create", s.opts.Bucket, err)
}

// Put stores data by one PUT; OSS allows up to 5 GB.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	return object.Fail("put", key, s.put(ctx, key, data, nil))
}

// PutIfAbsent is a PUT with x-oss-forbid-overwrite.
func (s *Store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return object.Fail("put-if-absent", key, s.put(ctx, key, data, map[string]string{
		sdk.HTTPHeaderOssForbidOverWrite: "true",
	}))
}

func (s *Store) put(ctx context.Context, key string, data []byte, headers map[string]string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	upload := cloud.NewUpload(data)
	defer upload.End()
	r := request{method: http.MethodPut, key: key, headers: headers}
	if len(data) > 0 {
		r.body = upload // an empty one of unknown type would be sent in chunks, which OSS refuses
	}
	resp, err := s.do(ctx, r)
	if err != nil {
		return err
	}
	if err := cause(ctx, 0, end(resp)); err != nil {
		return err
	}
	return cloud.CheckSum(resp.Headers.Get(sdk.HTTPHeaderOssCRC64), data)
}

// checkKey also refuses a backslash at the beginning, as OSS does.
func checkKey(key string) error {
	if strings.HasPrefix(key, `\`) {
		return object.Invalidf("key begins with a backslash")
	}
	return cloud.CheckKey(key, maxKeyBytes)
}

// Get asks for a range; the body must be closed to free its connection.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	return cloud.Getter{Check: checkKey, Head: s.Head, Open: s.open}.Get(ctx, key, off, n)
}

func (s *Store) open(ctx context.Context, key, byteRange string) (cloud.Answer, error) {
	headers := map[string]string{}
	if byteRange != "" {
		headers[sdk.HTTPHeaderRange] = byteRange
		// Without it OSS gives the whole object for a range past its end.
		headers[sdk.HTTPHeaderOssRangeBehavior] = "standard"
	}
	resp, err := s.do(ctx, request{method: http.MethodGet, key: key, headers: headers})
	if err != nil {
		return cloud.Answer{}, err
	}
	return cloud.Answer{
		Body: resp.Body, Length: length(resp.Headers), ETag: cloud.ETag(resp.Headers.Get(sdk.HTTPHeaderEtag)),
		Partial: resp.StatusCode == http.StatusPartialContent,
	}, nil
}

// Head describes an object.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	if err := checkKey(key); err != nil {
		return object.Info{}, object.Fail("head", key, err)
	}
	resp, err := s.do(ctx, request{method: http.MethodHead, key: key})
	if err == nil {
		err = end(resp)
	}
	if err != nil {
		err = headCause(err, func() error {
			_, err := s.List(ctx, key, "", 1)
			return err
		})
		return object.Info{}, object.Fail("head", key, err)
	}
	modified, err := http.ParseTime(resp.Headers.Get(sdk.HTTPHeaderLastModified))
	if err != nil {
		return object.Info{}, object.Fail("head", key, err)
	}
	return object.Info{
		Key: key, Size: length(resp.Headers), ModTime: modified, ETag: cloud.ETag(resp.Headers.Get(sdk.HTTPHeaderEtag)),
	}, nil
}

// Delete removes an object; OSS answers the same when there is none.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return object.Fail("delete", key, err)
	}
	resp, err := s.do(ctx, request{method: http.MethodDelete, key: key})
	if err == nil {
		err = end(resp)
	}
	if errors.Is(err, object.ErrNotExist) {
		return nil
	}
	return object.Fail("delete", key, err)
}

// Close closes idle connections.
func (s *Store) Close() error {
	s.idle()
	return nil
}
