// Package segments keeps the log of a source in its bucket: records that left the
// metadata server's memory, for mirrors that were away for long and for restoring the
// metadata as of a past position or time.
//
// # Parts
//
//   - A segment is an immutable object: some thousand records in order, compressed, with
//     a checksum over all (Encode, Decoder). Its name says which, and ends with the chain
//     after its last record, so two segments of one name are equal.
//   - Archiver copies the log of a source into segments, and deletes them when the volume's
//     time for them is up. Any client of the source may run one.
//   - Archive finds the records that follow a position.
//
// # What it guarantees
//
//   - Up to where the log is archived (meta.Source.Archived) moves after the segment is
//     stored, and the log is trimmed no further than that: what leaves the log is in a
//     segment first.
//   - Two archivers at once, or one that dies at any point, write segments that overlap or
//     are equal. A reader takes any that continues its chain. A segment of another history
//     (a source that lost its tail and went on) continues no chain and is passed by.
//   - An Archive gives records that follow the position asked for, or an error: meta.ErrGap
//     when no segment has the next one.
//
// # What it is not
//
// It trims no log: meta.Source.TrimLog does. It has no locks; an Archiver is used by one
// goroutine, an Archive by any number.
package segments
