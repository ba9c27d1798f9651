package gateway

import "time"

// Limits of uploads in parts, those of S3.
const (
	MaxParts      = 10_000
	MinPartBytes  = 5 << 20 // of all parts but the last
	MaxListParts  = 1000
	MaxPutBytes   = 5 << 30 // of one body
	maxObjectName = 1024    // bytes of a key
)

// UploadName names an upload in parts and the object that it will be.
type UploadName struct {
	Name
	ID string
}

// StartRequest begins an upload in parts.
type StartRequest struct {
	Name
	Described
	// Checksum is the algorithm that parts come with, and whether that of the object is a composite;
	// nil when the client did not say. Value is empty.
	Checksum *Checksum
}

// PartRequest is a part. A part that has the number of an earlier one takes its place.
type PartRequest struct {
	UploadName
	Number int // 1 to MaxParts
	Content
}

// CopyPartRequest makes a part of a range of an object. Conditions are on that.
type CopyPartRequest struct {
	UploadName
	Number int
	From   Name
	Conditions
	// Range is "bytes=first-last" within the object (InvalidArgument otherwise), or empty for all of it.
	Range string
}

// Part is a part of an upload that goes on.
type Part struct {
	Number   int
	Size     int64
	Modified time.Time
	ETag     string
	Checksum *Checksum
}

// CompleteRequest names the parts that the object is made of. Those that it does not name are
// dropped. Conditions are as in PutRequest.
type CompleteRequest struct {
	UploadName
	Parts []CompletePart
	Conditions
	// Size, if not nil, is what the object's size must come to.
	Size *int64
	// Checksum, if not nil, has the checksum that the client expects: the front end has checked that
	// it follows from those of the parts where that can be.
	Checksum *Checksum
}

// CompletePart is a part by its number and the ETag that its PutPart gave. Checksum, if not nil, must
// be the one the part came with.
type CompletePart struct {
	Number   int
	ETag     string
	Checksum *Checksum
}

// PartsRequest asks for the parts of an upload after a number.
type PartsRequest struct {
	UploadName
	After int
	Max   int // at most MaxListParts
}

// PartsPage is a page of parts, in the order of their numbers.
type PartsPage struct {
	Upload Upload
	Parts  []Part
	More   bool
}

// UploadsRequest asks for the uploads of a bucket after a key, and after an upload of that key when
// AfterID is not empty.
type UploadsRequest struct {
	Bucket, Prefix, Delimiter string
	After, AfterID            string
	Max                       int // at most MaxListKeys
}

// UploadsPage is a page of uploads by key, then by when they began.
type UploadsPage struct {
	Uploads  []Upload
	Prefixes []string
	More     bool
}

// Upload is an upload that goes on.
type Upload struct {
	UploadName
	Started  time.Time
	Checksum *Checksum // as in StartRequest
}
