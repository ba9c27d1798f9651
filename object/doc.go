// Package object stores immutable blobs under keys: in a cloud's object storage,
// in a directory, or in memory.
//
// Store is the contract; each implementation lives in a package of its own
// (object/file, object/mem, object/s3, ...) and passes the suite in
// object/objecttest, bare and behind every wrapper of this package. Package object
// itself imports no cloud SDK and nothing of mirrorfs.
//
// # Wrappers
//
// Each adds one power, and leaves the contract as it is:
//
//	WithGate(WithRetry(WithHedge(WithMetrics(store, ...), ...), ...), gate)
//
// is the order of open.Store: waiting for one's turn uses up no attempt's time, a
// store that fails is not flooded by those who wait for its recovery, an attempt may
// be made twice at once, and metrics count every request. WithPrefix goes next to the store. An optional power of
// the store within (Creator) is found by As.
//
// # Keys are written once
//
// Nothing here forbids replacing an object, and each store does it atomically. But
// over a network a Put that was given up may still arrive, after a later one. Who
// writes a key once, or by PutIfAbsent, need not care.
package object
