// Package s3 keeps objects in a bucket of Amazon S3, or of anything that speaks
// its protocol (MinIO, Ceph, R2, versitygw, ...), through aws-sdk-go-v2.
//
// Guarantees: the whole contract of object.Store, given a server that is
// strongly consistent and honours If-None-Match on PUT, as S3 does since 2024. It
// makes no retries: object.WithRetry does, in one place and for every store.
//
// Bytes on the way: uploads carry the payload's SHA-256 in the signature over
// plain HTTP and rely on TLS otherwise; the SDK's newer CRC trailers are sent only
// where S3 requires them, since many servers refuse them. Whoever needs
// end-to-end checks puts a checksum into the object, as package chunk does.
//
// Credentials come from the SDK's chain: AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, AWS_PROFILE and the shared files, web identity,
// container and instance roles; none with Options.Anonymous.
package s3
