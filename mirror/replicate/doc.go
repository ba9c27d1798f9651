// Package replicate copies the blocks that a site's log tells of from one bucket to
// another, in the order of the log.
//
// # How
//
// A Replicator looks through all rows of its site's metadata once, at a position that
// it notes, and copies what it wants of that. Then it follows the log from that
// position. Blocks are copied by several workers at once, so they end in another
// order; the position that is told is the last one up to which all are there. It is
// kept among the facts of the site, so a Replicator that is started again goes on from
// there, and looks of each block whether it is there before it fetches it.
//
// # What it guarantees
//
//   - At a position that State tells, every block that the log up to there made known and
//     that is still in use is in the bucket To, with its right length, and was fetched
//     with right checksums if Check is given.
//   - A block that cannot be had is tried again for as long as it takes, told in
//     State.Reason, and the position stays before it. It is left out only when the
//     metadata knows its slice no more: freed, and deleted, meanwhile.
//   - A log that was trimmed before this read it costs another look at all rows, and no
//     copy of a block that is there.
//   - Several at once, a crash, a restart from an older state: each block is there or it
//     is not, and is written only where it is not.
//
// # Limits
//
// Options.WindowObjects bounds how far it reads ahead of its copying,
// Options.BufferBytes what it holds in memory.
//
// # Locks
//
// window.mu is held for memory only.
//
// # What it is not
//
// It knows neither what is in a block nor how a slice is cut: Options.Objects and
// Options.Check do. It never deletes.
package replicate
