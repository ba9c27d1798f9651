// Package limit bounds what clients can take of a gateway: bytes a second, of the process and
// of a connection, how long one that is slow is waited for, connections, and requests at a
// time.
//
// A Listener wraps another one. Its connections count what they carry against the limits, keep
// the shortcut by which the kernel sends files (sendfile), and are closed when the other side
// takes or sends too little for too long. A Gate counts requests, and what it refuses is to be
// answered with 503 SlowDown.
//
// # Slow clients
//
// A connection has patience: so much time in which it may be waited for. Reading uses it up,
// bytes that come give some of it back, and an answer that was written gives it back in full.
// So a client may be idle between requests for that time, and one that sends its request byte
// by byte uses up no more than that. A piece that is written may take the patience and the time
// that Options.MinBytesPerSecond gives it.
//
// # Locks
//
// None. A connection is read by one goroutine and written by one, as always; everything else is
// atomic.
package limit
