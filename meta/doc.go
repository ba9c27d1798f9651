// Package meta is the contract of mirrorfs's metadata: what an inode, a
// directory entry and an extent are, which questions can be asked about them,
// which changes can be made, and what a change leaves in the log.
//
// It holds types, the errors, the codecs of inode values, extents and records,
// and the interfaces that engines implement (Engine, Source, Replica). It does
// no I/O and imports nothing else of mirrorfs.
//
// # The shape of it
//
// A volume's metadata is a handful of tables (inodes, entries, chunks, link
// targets, extended attributes, slice references, orphans, freed slices,
// sessions, settings). Every change is a value of one of the Change types. An
// engine executes it as a whole or not at all and appends exactly one Record to
// the log. A record holds the effects of the change: for every row that
// changed, its table, key and absolute new value. So replaying a record twice
// changes nothing, and a replica needs no code for the operation that made it,
// only for the tables.
//
// # What this package is not
//
// It checks no permissions (the kernel does, with default_permissions) and
// knows neither Redis nor object storage. docs/format.md gives the byte layouts.
package meta
