package cos

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	sdk "github.com/tencentyun/cos-go-sdk-v5"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// maxKeyBytes is the limit of https://www.tencentcloud.com/document/product/436/13324
const maxKeyBytes = 850

// Store is a bucket. It may be used concurrently.
type Store struct {
	opts   Options
	client *sdk.Client
	idle   func() // closes idle connections
}

// New prepares a client; the first request looks for credentials and connects.
func New(opts Options) (*Store, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	server, host, err := opts.location()
	if err != nil {
		return nil, err
	}
	transport := cloud.Transport(opts.Connections)
	c := sdk.NewClient(&sdk.BaseURL{BucketURL: server}, cloud.Client(signer{
		next: transport, credentials: cloud.NewProvider(source(opts.Metadata)),
	}))
	c.Host = host
	c.Conf.EnableCRC = false // compared here; the SDK takes a missing header for a failure
	c.Conf.RetryOpt.Count = 0
	c.Conf.RetryOpt.AutoSwitchHost = false
	c.Conf.ObjectKeySimplifyCheck = false // checkKey is stricter
	return &Store{opts: opts, client: c, idle: transport.CloseIdleConnections}, nil
}

// Create makes the bucket in the store's region. One that is there already, and
// ours, is no error.
func (s *Store) Create(ctx context.Context) error {
	_, err := s.client.Bucket.Put(ctx, nil)
	if err = cause(ctx, err); errors.Is(err, cloud.ErrOwned) {
		return nil
	}
	return object.Fail("create", s.opts.Bucket, err)
}

// Put stores data by one PUT; COS allows up to 5 GB.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	return object.Fail("put", key, s.put(ctx, key, data, http.Header{}))
}

// PutIfAbsent is a PUT with x-cos-forbid-overwrite.
func (s *Store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return object.Fail("put-if-absent", key, s.put(ctx, key, data, http.Header{"X-Cos-Forbid-Overwrite": {"true"}}))
}

func (s *Store) put(ctx context.Context, key string, data []byte, header http.Header) error {
	if err := checkKey(key); err != nil {
		return err
	}
	upload := cloud.NewUpload(data)
	defer upload.End()
	var body io.Reader = upload
	if len(data) == 0 {
		body = bytes.NewReader(nil) // an empty one of a type that the SDK does not know would be sent in chunks
	}
	resp, err := s.client.Object.Put(ctx, key, body, &sdk.ObjectPutOptions{
		ObjectPutHeaderOptions: &sdk.ObjectPutHeaderOptions{
			ContentLength: int64(len(data)), ContentType: "application/octet-stream", XOptionHeader: &header,
		},
	})
	if err != nil {
		return cause(ctx, err)
	}
	return cloud.CheckSum(resp.Header.Get("X-Cos-Hash-Crc64ecma"), data)
}

func checkKey(key string) error { return cloud.CheckKey(key, maxKeyBytes) }

// Get asks for a range; the body must be closed to free its connection.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	return cloud.Getter{Check: checkKey, Head: s.Head, Open: s.open}.Get(ctx, key, off, n)
}

func (s *Store) open(ctx context.Context, key, byteRange string) (cloud.Answer, error) {
	resp, err := s.client.Object.Get(ctx, key, &sdk.ObjectGetOptions{Range: byteRange})
	if err != nil {
		return cloud.Answer{}, cause(ctx, err)
	}
	return cloud.Answer{
		Body: resp.Body, Length: resp.ContentLength, ETag: cloud.ETag(resp.Header.Get("ETag")),
		Partial: resp.StatusCode == http.StatusPartialContent,
	}, nil
}

// Head describes an object.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	if err := checkKey(key); err != nil {
		return object.Info{}, object.Fail("head", key, err)
	}
	resp, err := s.client.Object.Head(ctx, key, nil)
	if err != nil {
		err = cloud.HeadCause(cause(ctx, err), func() error {
			_, err := s.List(ctx, key, "", 1)
			return err
		})
		return object.Info{}, object.Fail("head", key, err)
	}
	modified, err := http.ParseTime(resp.Header.Get("Last-Modified"))
	if err != nil {
		return object.Info{}, object.Fail("head", key, err)
	}
	return object.Info{
		Key: key, Size: resp.ContentLength, ModTime: modified, ETag: cloud.ETag(resp.Header.Get("ETag")),
	}, nil
}

// Delete removes an object; COS answers the same when there is none.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return object.Fail("delete", key, err)
	}
	_, err := s.client.Object.Delete(ctx, key)
	if err = cause(ctx, err); errors.Is(err, object.ErrNotExist) {
		return nil
	}
	return object.Fail("delete", key, err)
}

// Close closes idle connections.
func (s *Store) Close() error {
	s.idle()
	return nil
}
