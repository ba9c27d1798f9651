// Package compare tells where the rows of two sites of a volume differ, while both change.
//
// Sums of ranges of rows are compared first (meta.Comparer): 12 bytes for some hundred
// rows. Where those differ, or were of different positions, the rows themselves are read,
// and what the log says of the time between is added, so that both sides are at one
// position: see Settle. So a difference is one, however busy the volume is.
//
// # What it guarantees
//
//   - It writes nothing.
//   - It keeps the rows of one range in memory at a time.
//
// # What it is not
//
// It knows neither of blocks nor of states of a mirror, and mends nothing: package
// mirror does, by what is found here.
package compare
