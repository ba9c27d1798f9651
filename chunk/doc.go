// Package chunk turns slices of data into objects and back: it cuts what is
// written into blocks and uploads them behind the writing program, and it
// reads blocks through a cache, checking every byte.
//
// # Words
//
// A chunk is a 64 MiB range of a file and has a list of extents. A slice is up
// to 64 MiB of data, written once and never changed. A block is a part of a
// slice of up to Options.BlockBytes: one object, named by Key. Everything in
// this package is about slices; it knows no files, no inodes and no sites
// beyond the number in an object's name.
//
// # Guarantees
//
//   - When Writer.Close has returned nil, every byte is durable in the store.
//   - A byte that is handed out has passed its CRC32C: on its way from the
//     store always, from a cache file once after each start of the program. A
//     torn or damaged block is never served.
//   - Concurrent readers of one block that is not cached share one download. A
//     reader that gives up does not fail the others; the download ends early
//     only when all have given up.
//   - A cache never fails a read or a write: when it cannot, it is left out.
//   - Memory is bounded: Options.BufferBytes for writing (one block more for
//     each writer that has begun one, so that writers that hold partial blocks
//     cannot lock each other out), Options.Downloads and PrefetchBytes for
//     reading, beside the spans that callers have not released.
//
// # Lock order
//
// A lock may be taken while holding one to its left:
//
//	Writer.mu -> budget.mu
//	diskEntry.io -> diskIndex.mu -> DiskCache.mu
//
// Blocks.mu and MemCache.mu are taken alone. diskEntry.io and diskIndex.mu are
// held across input and output of their files; DiskCache.mu across what is
// quick: closing a file, asking for free space, removing a stray file. None is held
// while waiting for a download, an upload or memory.
//
// # What this package is not
//
// It does not retry: the store does (object.WithRetry). It deletes no objects:
// garbage collection belongs to those who know what is referenced.
//
// docs/format.md, "Objects" and "Cache files", gives the byte layouts.
package chunk
