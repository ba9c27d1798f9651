// Package vfs gives a volume the behaviour of a file system: open files,
// directory streams, buffered writes, truncation, and what programs on one
// machine expect of each other. It stands on meta.Engine for names and
// attributes and on chunk.Blocks for bytes, and knows neither Redis, nor
// mirrors, nor FUSE. Package vfs/fuse and the gateway stand on it.
//
// # What it guarantees
//
//   - Close-to-open: once File.Flush or File.Fsync has returned nil, every later
//     Open anywhere sees the bytes. Data is in object storage before the metadata
//     that names it, and all chunks of a file are committed by one change.
//   - Within one FS, a read sees every write that returned before it, through
//     whichever handle, committed or not; GetAttr, Lookup and directories give
//     the size and times that include them.
//   - Each operation is at most one round trip to the metadata, and these are
//     none: the close of a file that was not written (newly made or not), reads
//     of an open file whose extents are known, writes, and setting the times of
//     a file that has buffered data. Create, write and close are two: Make and
//     Commit, whatever tar does to the times in between.
//   - A write that could not be stored is reported once to each handle that was open
//     then, at its next write, fsync or close. All that was buffered for that file
//     is given up with it: a file never gets a hole where a write was lost.
//   - A change of metadata that was refused for good is reported in the same way;
//     one that may succeed later (the server does not answer) is reported by
//     fsync and close, kept, and tried again behind.
//   - A name that exists throughout is given exactly once by a directory stream,
//     whatever else changes.
//
// Reading changes no access time unless Options.Atime says so; then as on a mount
// with relatime, and behind the reader.
//
// # Cancelling
//
// Reads and questions end when their context does; without a deadline of the
// caller's, questions end after Options.MetaTimeout and downloads by the limits
// of the store. Writes, flushes and changes run to their end under a deadline of
// their own (Options.MetaTimeout, Options.FlushTimeout) whatever happens to the
// context: a signal to the program must not leave a half-made change whose
// outcome nobody learns.
//
// # Losing the session
//
// A client that was cut off for longer than a session lives is given a new
// session at its next change or heartbeat, and goes on with what it has
// buffered. Only files that were unlinked while open may be gone by then: their
// reads and writes fail with ENOENT.
//
// # Locks
//
// Per inode, to be taken in this order: flushing (a semaphore: one flush,
// truncation or SetAttr at a time; held over round trips), write (orders writes;
// held while a writer waits for room), mu (guards the fields; held for memory
// operations only). Under mu come the lock of the set of dirty inodes and under
// that those of the inode table. File.mu, Dir.mu (held over a round trip of its
// own stream) and the lock of the reserve of slice numbers stand alone. No lock
// of one inode is held while one of another is taken. The lock of the session is
// held while a change is on its way, under flushing and write. The semaphore busy of an
// owner's locks of a file is held over round trips and comes after flushing;
// locks.mu is for memory only, and an inode's mu may be taken under it.
package vfs
