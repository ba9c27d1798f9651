// Package local runs a private redis-server for a volume on one machine: the
// server behind the address local:DIR. It listens on a unix socket in the
// directory only, keeps an append-only file there, and never evicts.
//
// The server is started by whoever needs it first and outlives that command;
// a file lock in the directory keeps two commands from starting it twice. Stop ends it.
//
// It is no supervisor: a server that dies is started again by the next Start.
package local
