// Package model is the reference model of mirrorfs's metadata: a meta.Engine in
// memory, made of Go maps behind one mutex, written to be obviously right rather
// than fast. Where the comments of package meta leave a doubt, the model decides;
// meta/metatest compares every other engine with it, reply by reply.
//
// A Volume is what a metadata server would hold; each Client of it is an engine
// with a session of its own. Closing or forgetting a Client leaves the Volume as it is.
//
// # How it works
//
// A change is executed in three steps. It is validated against the tables; it
// stages new rows in a change under way (type staged), which become the record's
// effects; and the record is applied to the tables and appended to the log. A
// replica applies records of others by the same last step, so the model also
// proves that effects say all there is to say.
//
// Extent lists are kept resolved: sorted, without overlap, holes left out. Other
// engines may keep them in another form; what counts is which byte of which slice
// stands where.
//
// # Locks
//
// Volume.mu guards everything of a volume. It is never held while the volume's
// clock or an observer of a View runs. Nothing else is locked.
//
// # What it is not
//
// It stores nothing on disk, has no limit on memory, and never loses a reply, so it
// has no need to answer a resend; it keeps replies only because they are rows that
// a replica must hold.
package model
