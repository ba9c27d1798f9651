package gateway

import (
	"context"
	"io"
	"time"

	"mirrorfs/meta"
)

// API is what a front end serves. All methods may be called concurrently, and end with their context
// where they only read; a change that was begun runs to its end. Errors are *Error.
//
// Decorators (gateway/access) implement it by another API.
type API interface {
	// Buckets gives all buckets in byte order of their names.
	Buckets(ctx context.Context) ([]Bucket, error)
	// Bucket gives one: NoSuchBucket.
	Bucket(ctx context.Context, name string) (Bucket, error)
	// MakeBucket makes an empty bucket: BucketExists, NotImplemented when the volume is the bucket.
	MakeBucket(ctx context.Context, name string) error
	// RemoveBucket removes a bucket without objects: NoSuchBucket, BucketNotEmpty.
	RemoveBucket(ctx context.Context, name string) error

	// Get opens an object. Whoever gets one closes its Body.
	Get(ctx context.Context, r GetRequest) (*Object, error)
	// Head is Get without the body: Info, and the range that Get would give.
	Head(ctx context.Context, r GetRequest) (*Object, error)
	// Put makes an object of a body, in place of the one of that name.
	Put(ctx context.Context, r PutRequest) (Info, error)
	// Copy makes an object of another one. No bytes are copied: both refer to the same data.
	Copy(ctx context.Context, r CopyRequest) (Info, error)
	// Delete removes an object, and the directories above that it leaves empty up to one that was made
	// as an object. It is no error when there is none.
	Delete(ctx context.Context, r DeleteRequest) error
	// List gives a page of keys in byte order.
	List(ctx context.Context, r ListRequest) (ListPage, error)
	// Tags gives an object's tags, SetTags replaces them; none remove them.
	Tags(ctx context.Context, n Name) (map[string]string, error)
	SetTags(ctx context.Context, n Name, tags map[string]string) error

	// Uploads in parts. Requests name the object that it will be, too: NoSuchUpload when that differs.
	StartUpload(ctx context.Context, r StartRequest) (id string, err error)
	PutPart(ctx context.Context, r PartRequest) (Part, error)
	CopyPart(ctx context.Context, r CopyPartRequest) (Part, error)
	// Complete joins the parts, in the order of their numbers, without copying.
	Complete(ctx context.Context, r CompleteRequest) (Info, error)
	Abort(ctx context.Context, u UploadName) error
	Parts(ctx context.Context, r PartsRequest) (PartsPage, error)
	Uploads(ctx context.Context, r UploadsRequest) (UploadsPage, error)

	// Position is after all changes that were acknowledged through this API before; WaitFor returns
	// when what is asked later is answered as of a position or a later one: Unavailable when its
	// context or its limit ends before.
	Position() meta.Position
	WaitFor(ctx context.Context, at meta.Position) error
}

// Bucket is a place for objects.
type Bucket struct {
	Name    string
	Created time.Time
}

// Name names an object.
type Name struct{ Bucket, Key string }

// Headers are what a client said of an object's content, given back with it. Empty ones were not
// given.
type Headers struct {
	ContentType        string `json:"type,omitempty"`
	ContentEncoding    string `json:"encoding,omitempty"`
	ContentDisposition string `json:"disposition,omitempty"`
	ContentLanguage    string `json:"language,omitempty"`
	CacheControl       string `json:"cache,omitempty"`
	Expires            string `json:"expires,omitempty"`
	Redirect           string `json:"redirect,omitempty"`
}

// Described is what is kept of an object beside its bytes.
type Described struct {
	Headers
	Metadata map[string]string `json:"meta,omitempty"` // of the user, keys in lower case
	Tags     map[string]string `json:"tags,omitempty"`
}

// Checksum is a checksum of an object's bytes, or of the checksums of its parts.
type Checksum struct {
	Algorithm string `json:"by"`    // as S3 names it: CRC32, CRC64NVME, SHA256, ...
	Value     string `json:"value"` // base64; of a composite one with "-" and the number of parts
	// Composite says that it is one of the parts' checksums.
	Composite bool `json:"composite,omitempty"`
}

// Info is what is known of an object.
type Info struct {
	Described
	Size     int64
	Modified time.Time
	// ETag is without quotes. See docs/gateway.md.
	ETag string
	// Checksum is the one that came with the object, or nil; nil too when the file was written since.
	Checksum *Checksum
	// Parts is how many parts the object was made of, 0 when it was not or was written since.
	Parts int
}

// Conditions on the object that is there; nil ones hold. ETags as in HTTP: a list, with or without
// quotes, or "*".
type Conditions struct {
	IfMatch, IfNoneMatch               *string
	IfModifiedSince, IfUnmodifiedSince *time.Time
}

// GetRequest asks for an object or a part of it.
type GetRequest struct {
	Name
	Conditions
	// Range is as in HTTP; empty, malformed ones, and those of several ranges are the whole object.
	Range string
	// Part asks for the bytes of a part, from 1; 0 does not. It does not go with Range.
	Part int
}

// Object is an answer to Get: Info, and the bytes from Offset on.
type Object struct {
	Info
	Offset, Length int64
	// Partial says that a range or a part was asked for.
	Partial bool
	// Body gives Length bytes, or fails. Its WriteTo is the fast way. Nil of Head.
	Body *Body
}

// Content is the body of a request.
type Content struct {
	// Body gives the bytes. An error of its Read ends the request and is the cause of its error.
	Body io.Reader
	// Size is how many bytes there must be.
	Size int64
	// Checksum, if not nil, is asked after Body gave io.EOF: the checksum of what it gave, which was
	// found right; or nil.
	Checksum func() *Checksum
}

// PutRequest makes an object. Conditions are IfMatch and IfNoneMatch "*".
type PutRequest struct {
	Name
	Described
	Content
	Conditions
}

// CopyRequest makes an object of another one. Conditions are on the source.
type CopyRequest struct {
	From, To Name
	Conditions
	// Replace has Described take the place of what the source has: headers and metadata, tags.
	ReplaceHeaders, ReplaceTags bool
	Described
}

// DeleteRequest removes an object. If is as in Conditions.IfMatch.
type DeleteRequest struct {
	Name
	IfMatch *string
}

// ListRequest asks for a page of keys.
type ListRequest struct {
	Bucket, Prefix, Delimiter string
	// After is the key, or the common prefix, after which the page begins. Keys that begin with a
	// common prefix count as it when AfterPrefix says that After is one.
	After       string
	AfterPrefix bool
	// Max keys and common prefixes, at most MaxListKeys.
	Max int
}

// MaxListKeys is the longest page of a listing.
const MaxListKeys = 1000

// ListPage is a page of keys.
type ListPage struct {
	Keys []Listed
	// Prefixes are the common prefixes, up to and with the delimiter.
	Prefixes []string
	// More says that there is more after Last, a key, or, with LastPrefix, a common prefix.
	More       bool
	Last       string
	LastPrefix bool
}

// Listed is a key in a listing.
type Listed struct {
	Key      string
	Size     int64
	Modified time.Time
	ETag     string
}
