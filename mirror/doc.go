// Package mirror carries a volume's metadata to another site and lets programs
// there use it: reads are answered near, changes are sent to the source.
//
// # Parts
//
//   - Add and Remove register a mirror at the source and prepare its site.
//   - Run stands in the mirror's site and pulls: a fuzzy copy first (bootstrap.go),
//     then the log for ever (follow.go), each batch applied exactly once. What left
//     the source's log it reads from segments (Config.Archive, package segments).
//     Of several runners one does the work, by a lease (lead.go).
//   - Status and Wait tell how far a mirror is.
//   - Engine is the meta.Engine of a mirror's clients: it reads near and writes
//     far (forward.go, read.go), and floors.go keeps it from ever going back in
//     time.
//   - Store is the object.Store of a mirror's clients: it reads a block near,
//     then at its home, then anywhere.
//
// # What it guarantees
//
//   - A mirror's metadata equals the source's at one position, always. It is
//     written by Apply alone, which moves rows and position in one step and
//     checks the position it starts from. So two runners, a crash or a resend are
//     harmless.
//   - Positions are contiguous and chained by checksums. Whatever does not fit
//     (a gap, a checksum, a source that lost its tail, another volume) stops the
//     mirror in state "stalled" with the reason, and it keeps serving reads. It is
//     never skipped.
//   - Through one Engine, a read that follows a change or another read of the same
//     inode or name never sees an older state of it.
//   - Nothing waits for ever on a lost link: changes fail within ChangeTimeout,
//     reads that need the source within ReadTimeout, and the runner reconnects
//     until the link is back.
//
// # Locks
//
// Every type here has one mutex, held for memory only, never over I/O, and no
// two of them at once. A link to the source is opened under a token of its own
// (link.opening), which is taken before link.mu.
//
// # What it is not
//
// It knows neither Redis, nor files and handles, nor how blocks are cut: it
// stands on the interfaces of packages meta and object alone.
package mirror
