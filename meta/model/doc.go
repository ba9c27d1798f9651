// Package model is the reference model of mirrorfs's metadata: a meta.Engine in
// memory, made of Go maps behind one mutex, written to be obviously right rather
// than fast. Where the comments of package meta leave a doubt, the model decides;
// meta/metatest compares every other engine with it, reply by reply.
//
// New formats a volume and gives a first client's engine on it; Engine.Client gives
// engines for more clients, each with a session of its own. The volume lives as long
// as any of them is referred to; closing an engine leaves it as it is.
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
// Engine.mu guards an engine's session and comes before volume.mu, which guards
// everything of a volume and is never held while the clock or an observer of a View
// runs.
//
// # What it is not
//
// It stores nothing on disk, has no limit on memory, and never loses a reply, so it
// has no need to answer a resend; it keeps replies only because they are rows that
// a replica must hold.
package model
