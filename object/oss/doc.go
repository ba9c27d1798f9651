// Package oss keeps objects in a bucket of Alibaba Cloud's Object Storage Service,
// through aliyun-oss-go-sdk.
//
// Guarantees: the whole contract of object.Store, for a bucket that has never had
// versioning: in one that has, OSS ignores x-oss-forbid-overwrite, and PutIfAbsent
// replaces (object.Probe finds out). It makes no retries: object.WithRetry does,
// in one place and for every store.
//
// Bytes on the way: requests are signed with V4, which does not cover bodies. OSS
// answers an upload with the CRC-64 of what it stored, and that is compared.
// Whoever needs end-to-end checks puts a checksum into the object, as package
// chunk does.
//
// Credentials come from the first place that has some: OSS_ACCESS_KEY_ID,
// OSS_ACCESS_KEY_SECRET and OSS_SESSION_TOKEN; the file of ossutil
// (OSS_CONFIG_FILE, else ~/.ossutilconfig); the RAM role of the ECS instance,
// whose temporary ones are renewed before they expire.
package oss
