package s3

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// defaultRegion signs requests to servers that have no regions.
const defaultRegion = "us-east-1"

// Options of a bucket. Only Bucket is needed.
type Options struct {
	Bucket string
	// Endpoint is the server's URL, scheme included; empty means Amazon's for the
	// region.
	Endpoint string
	// Region; empty means the one of the credentials' profile or environment, and
	// us-east-1 if there is none.
	Region string
	// PathStyle asks for http://host/bucket/key instead of http://bucket.host/key.
	PathStyle bool
	// Profile names the section of the shared configuration files that has the
	// credentials, before all other sources of them: two buckets of different accounts
	// need two. Empty asks the usual sources.
	Profile string
	// Anonymous sends unsigned requests, for public buckets.
	Anonymous bool
	// Encryption asks the server to encrypt what is put: "AES256" with its own key, "aws:kms"
	// or "aws:kms:dsse" with EncryptionKey (an ID or ARN; empty means the account's own).
	// Empty leaves it to the bucket.
	Encryption    string
	EncryptionKey string
	// StorageClass of what is put; empty means the bucket's. One that has to be restored
	// before it can be read does not work.
	StorageClass string
	// RequesterPays accepts that the requests are billed to their sender.
	RequesterPays bool
	// Checksums sends a CRC32C with each put, which the server compares, and compares that
	// of whole objects that are read. Servers that do not know the header pass over it.
	Checksums bool
	// Connections is how many requests may run at once with a kept connection
	// each; 0 means 64.
	Connections int
}

// Validate tells whether the options can work, by object.ErrInvalid.
func (o Options) Validate() error {
	if o.Bucket == "" {
		return object.Invalidf("no bucket, want s3://bucket")
	}
	if err := o.validateEncryption(); err != nil {
		return err
	}
	return cloud.CheckEndpoint(o.Endpoint)
}

// Store is a bucket. It may be used concurrently.
type Store struct {
	opts   Options
	client *awss3.Client
	idle   func() // closes idle connections
}

// New prepares a client; the first request connects. It reads the shared
// configuration files, and fails if they are broken.
func New(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	load := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}),
		config.WithHTTPClient(buildable(opts.Connections)),
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if opts.Region != "" {
		load = append(load, config.WithRegion(opts.Region))
	}
	if opts.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(opts.Profile))
	}
	if opts.Anonymous {
		load = append(load, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		cfg.Region = defaultRegion
	}
	opts.Region = cfg.Region
	if !opts.Anonymous {
		cfg.Credentials = provider{chain: cfg.Credentials}
	}
	http := httpClient(&cfg)
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		o.HTTPClient = http
		o.Retryer = aws.NopRetryer{}
		o.UsePathStyle = opts.PathStyle
		// A 4 MiB block is not worth a round trip that asks whether to send it.
		o.ContinueHeaderThresholdBytes = -1
		o.DisableLogOutputChecksumValidationSkipped = true
		if opts.Endpoint != "" {
			o.BaseEndpoint = aws.String(opts.Endpoint)
		}
	})
	return &Store{opts: opts, client: client, idle: http.CloseIdleConnections}, nil
}

// String is the address with every setting that was given, and no credentials.
func (s *Store) String() string {
	query := url.Values{}
	if s.opts.Endpoint != "" {
		query.Set("endpoint", s.opts.Endpoint)
	}
	query.Set("region", s.opts.Region)
	if s.opts.PathStyle {
		query.Set("path_style", "true")
	}
	if s.opts.Profile != "" {
		query.Set("profile", s.opts.Profile)
	}
	if s.opts.Anonymous {
		query.Set("anonymous", "true")
	}
	s.opts.describe(query)
	return "s3://" + s.opts.Bucket + "?" + query.Encode()
}

// Create makes the bucket in the store's region. One that is there already, and
// ours, is no error.
func (s *Store) Create(ctx context.Context) error {
	in := &awss3.CreateBucketInput{Bucket: &s.opts.Bucket}
	if s.opts.Region != defaultRegion {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(s.opts.Region),
		}
	}
	_, err := s.client.CreateBucket(ctx, in)
	if err = cause(ctx, err); errors.Is(err, cloud.ErrOwned) {
		return nil
	}
	return object.Fail("create", s.opts.Bucket, err)
}

// Put stores data by one PUT; S3 allows up to 5 GiB.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	return object.Fail("put", key, s.put(ctx, key, data, nil))
}

// PutIfAbsent is a PUT with If-None-Match: *. A server that sees two at once may
// refuse one of them with a conflict that wraps object.ErrThrottled: nobody
// knows yet who wins.
func (s *Store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return object.Fail("put-if-absent", key, s.put(ctx, key, data, aws.String("*")))
}

func (s *Store) put(ctx context.Context, key string, data []byte, ifNoneMatch *string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	var how []func(*awss3.Options)
	if !strings.HasPrefix(s.opts.Endpoint, "http://") {
		how = append(how, unsigned) // TLS guards the bytes already
	}
	in := &awss3.PutObjectInput{
		Bucket: &s.opts.Bucket, Key: &key, IfNoneMatch: ifNoneMatch,
		Body:          bytes.NewReader(data),
		ContentLength: aws.Int64(int64(len(data))),
	}
	s.opts.decorate(in, data)
	_, err := s.client.PutObject(ctx, in, how...)
	return cause(ctx, err)
}

// unsigned leaves the payload's SHA-256 out of the signature.
func unsigned(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

func checkKey(key string) error { return cloud.CheckKey(key, object.MaxKeyBytes) }

// Head describes an object.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	if err := checkKey(key); err != nil {
		return object.Info{}, object.Fail("head", key, err)
	}
	out, err := s.client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &s.opts.Bucket, Key: &key, RequestPayer: s.opts.payer()})
	if err != nil {
		return object.Info{}, object.Fail("head", key, s.headCause(ctx, key, err))
	}
	return object.Info{
		Key: key, Size: aws.ToInt64(out.ContentLength), ModTime: aws.ToTime(out.LastModified),
		ETag: etag(out.ETag),
	}, nil
}

// Delete removes an object; S3 answers the same when there is none.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return object.Fail("delete", key, err)
	}
	_, err := s.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &s.opts.Bucket, Key: &key, RequestPayer: s.opts.payer()})
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
