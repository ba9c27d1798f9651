package relay

import (
	"fmt"
	"net"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// windowBytes is how far back compression looks, and what a peer may make a decoder keep.
const windowBytes = 512 << 10

// maxWindowBytes is the largest window that is accepted.
const maxWindowBytes = 1 << 20

// conn is a connection whose bytes are compressed on their way.
type conn struct {
	net.Conn
	from *zstd.Decoder

	mu     sync.Mutex // held over a write: its bytes stay together
	to     *zstd.Encoder
	closed bool
}

// compressed makes a connection of one to a peer that does the same.
func compressed(c net.Conn) (*conn, error) {
	to, err := zstd.NewWriter(c, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windowBytes), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	from, err := zstd.NewReader(c, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindowBytes), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return &conn{Conn: c, from: from, to: to}, nil
}

// Read implements net.Conn. After an error, also one of a deadline, there are no more bytes to be had.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return c.from.Read(p)
}

// Write implements net.Conn: the peer can read all of p when it returns.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	n, err := c.to.Write(p)
	if err == nil {
		err = c.to.Flush()
	}
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	err := c.Conn.Close() // ends a write and a read that are under way
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.to.Reset(nil)
	}
	return err
}
