// Package fsck looks whether a volume's metadata agrees with itself, and mends it.
//
// Check copies all rows, in the way of package dump, so that it has them as they are at
// one position while the volume is in use, and compares them with each other: names with
// link counts, directories with their entries, extents with the references to slices, all of
// it with what the volume says it uses. An engine that can tell (Inspector) is asked
// for what its rows do not show.
//
// # What it guarantees
//
//   - A sound volume gives no findings, however busy it is.
//   - Repair changes a row only if it is still as it was when it was checked, so it
//     undoes no change of others. It makes changes through the log: mirrors follow.
//   - Repair guesses nothing. What has one right value gets it (counts, references,
//     flags, usage), and what has lost its name gets one in /lost+found. The rest
//     is only told.
//
// # What it is not
//
// It reads no data: whether the blocks of the slices it found are there is for
// whoever knows buckets. It needs memory for all rows, some 800 bytes a file.
package fsck
