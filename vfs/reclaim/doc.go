// Package reclaim gives space back: it purges orphans whose time is up, deletes the
// blocks of slices that nothing refers to, and finds objects that no metadata knows.
//
// # What becomes of data
//
//	a name goes      the inode becomes an orphan: the trash           (unlink, rmdir, rename over, truncation to nothing)
//	+ trash time     Orphans purges it: its slices are freed
//	+ grace          Freed deletes their blocks and forgets them
//
// What is overwritten in part is freed at once, and kept for the trash time from
// then on. Somebody who stopped halfway leaves nothing worse than blocks without
// metadata, which Leaked finds.
//
// # Nothing is deleted under a reader
//
// The blocks of a freed slice are deleted only when all of this is so:
//
//   - the volume's trash time and its grace have passed since it was freed. Grace is for
//     those who looked up where a file's bytes are and fetch them now: it is longer
//     than any one read can take. Whoever comes after it finds no object, looks again, and
//     reads what the file holds now.
//   - every mirror has acknowledged a position at or after the record that freed it.
//     A mirror that is known but never acknowledged has passed nothing. A hold (meta.Hold) stands where
//     it was made.
//
// # Several at once
//
// Any client of the source may run this, also many at the same time: a purge of what was
// purged and a deletion of what was deleted are harmless, and an orphan or a
// row of freed slices goes exactly once: whoever sent the change that removed it is
// told so and counts it. A client in the background that finds somebody else at
// the same work leaves it to them.
//
// # A bucket that does not answer
//
// A block may be in several buckets, and its slice is forgotten when it is gone from all. While one of them
// does not answer the others are emptied, once: see Postponed. Of many clients one does that.
//
// # What it is not
//
// It knows no names and no files; it neither retries (the engine and the store do)
// nor starts anything.
package reclaim
