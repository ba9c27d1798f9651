// Package bucket judges object stores before a volume depends on them: Check tells
// whether one will do and what to change, Bench how fast it is.
//
// Both work on objects of their own below probe/<random>-, on a store that somebody
// else may be using, and remove them whatever happens. They need nothing but the
// Store interface, so that they see what a volume will see: credentials, permissions,
// the network and the server together.
//
// Check is not a proof. A store that answers wrongly once in a million requests
// passes; the checksum in each block is there for that one.
package bucket
