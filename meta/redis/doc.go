// Package redis keeps a volume's metadata in Redis 7 or Valkey: it implements
// meta.Engine, meta.Purger, meta.Source and meta.Replica.
//
// # How it works
//
// Every change is one call of one Redis Function, which validates everything, then
// writes the rows, the state, the reply kept for a resend, and the record in the log.
// Redis runs a function alone and whole, so a change is linearizable and its record is
// exact. Questions are functions that do not write. docs/format.md gives the keys.
//
// The functions are in lua/, one file per theme. A client loads them when it finds them
// missing or older than its own; their names carry the version of the format, so two
// versions can live side by side.
//
// # What it guarantees
//
// A change that was answered is in the log, once. A reply that is lost is asked for again
// with the same session, slot and number, which cannot make the change twice; see call.go.
// What survives a crash of the server itself depends on its append-only file: Durability
// says it, and CheckServer warns.
//
// # Locks
//
// Engine.mu guards the session's number only and is never held during a call. The slot
// pool has a lock of its own; neither is taken under the other.
//
// # What it is not
//
// It caches nothing and checks no permissions. It does not make Redis durable.
package redis
