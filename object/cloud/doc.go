// Package cloud holds what the stores of clouds (object/s3, object/oss, object/cos)
// have in common and their SDKs do differently or not at all: connections, bodies
// that know where they must end, uploads that end with their request, errors by
// status and code, listings in pages, and credentials that expire.
//
// It speaks to no store and imports no SDK.
package cloud
