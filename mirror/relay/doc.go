// Package relay compresses what crosses the way between two sites.
//
// A Server stands at one site, beside a server whose protocol knows no compression, and a
// client at the other dials the relay instead: both directions of each connection are one
// stream of zstd, flushed whenever the writer pauses. Because the stream goes on for as long as
// the connection does, what was sent before is a dictionary for what comes: small answers
// compress as well as large ones. Nothing of the protocol is known here, so all that it
// promises holds as on a connection of its own, and an end of the one is an end of the other.
//
// The relay keeps nothing, and has no secrets: who passes it still has to log in at the server.
// It hides nothing from who listens on the way: put TLS around it (ServerOptions.Listener and
// ClientOptions.Dial are the caller's).
//
// # The protocol
//
// The client sends "mfsr", a version, 1, and "\r\n". The relay answers with "mfsr", 1 and a byte: 0 when it
// has reached the server, else the length of a text that says why not, which follows, and then
// the connection ends. After that both directions are frames of zstd (RFC 8878) with a window of
// at most 1 MiB.
//
// # What it is not
//
// It chooses no target: a relay leads to one server.
package relay
