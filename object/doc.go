// Package object stores immutable blobs under keys: in a cloud's object storage,
// in a directory, or in memory.
//
// Store is the contract; each implementation lives in a package of its own
// (object/file, object/mem, object/s3, ...) and passes the suite in
// object/objecttest, bare and behind every wrapper of this package. Wrappers add
// one power each and are stacked by the caller: WithRetry, WithLimit,
// WithPrefix, WithMetrics. Package object itself imports no cloud SDK and
// nothing of mirrorfs.
package object
