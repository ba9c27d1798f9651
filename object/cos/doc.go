// Package cos keeps objects in a bucket of Tencent Cloud's Cloud Object Storage,
// through cos-go-sdk-v5.
//
// Guarantees: the whole contract of object.Store, for a bucket that has never had
// versioning: in one that has, COS ignores x-cos-forbid-overwrite, and PutIfAbsent
// replaces (object.Probe finds out). It makes no retries: object.WithRetry does,
// in one place and for every store.
//
// Bytes on the way: the signature does not cover bodies. COS answers an upload with
// the CRC-64 of what it stored, and that is compared. Whoever needs end-to-end
// checks puts a checksum into the object, as package chunk does.
//
// Credentials come from the first place that has some: COS_SECRETID, COS_SECRETKEY
// and COS_SESSION_TOKEN; TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY and
// TENCENTCLOUD_TOKEN; ~/.tencentcloud/credentials (or
// TENCENTCLOUD_CREDENTIALS_FILE); coscmd's ~/.cos.conf; the CAM role of the CVM
// instance, whose temporary ones are renewed before they expire.
package cos
