// Package dump writes a volume's whole metadata into a stream and loads it from one.
//
// Write copies a volume while it is in use, in the way of a mirror's first copy: it
// scans all tables as they change, and puts in between, as they come, the records of
// what was changed meanwhile. Effects are absolute, so loading all of it in order gives
// the state at exactly one position: that of the last record. The log need not be
// kept for as long as the dump takes, only from one part to the next.
//
// # What it guarantees
//
//   - A dump is consistent at one position, which Summary names.
//   - A dump that is damaged or cut short anywhere is refused, and the error says at
//     which byte (DamagedError).
//   - Load gives the same rows as the volume had, kept replies and sessions included: to
//     clients it is the same volume. Sessions have no heartbeat there, so that any
//     client cleans up those that do not come back.
//   - Until all of it was checked, what is loaded cannot be used: the target becomes a
//     source as the last step.
//   - Memory is bounded: a part of some hundred KiB at a time, whatever the volume's size.
//
// # What it is not
//
// It holds no file data, and nothing that is true of one site only (heartbeats, what
// mirrors acknowledged, where a mirror's source is). docs/format.md, "Dumps", has the bytes.
package dump
