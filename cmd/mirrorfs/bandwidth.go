package main

import (
	"context"
	"net"

	"golang.org/x/time/rate"
)

// readAtOnce is the most bytes that a limited connection reads in one piece.
const readAtOnce = 64 << 10

// newLimit is a limit of bytes a second; nil when there is none.
func newLimit(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), readAtOnce)
}

// limitedDialer dials connections that together read at most what a limit gives; nil,
// the network's own dialer, when there is no limit.
func limitedDialer(limit *rate.Limiter) func(ctx context.Context, network, address string) (net.Conn, error) {
	if limit == nil {
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &limitedConn{Conn: conn, limit: limit, closed: make(chan struct{})}, nil
	}
}

// limitedConn pays for what it has read before it hands it on, so that the other
// side is slowed by the window of TCP.
type limitedConn struct {
	net.Conn
	limit  *rate.Limiter
	closed chan struct{}
}

// Read reads at most readAtOnce bytes.
func (c *limitedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), readAtOnce)])
	if n > 0 {
		ctx, cancel := context.WithCancel(context.Background())
		stop := make(chan struct{})
		go func() {
			select {
			case <-c.closed:
				cancel()
			case <-stop:
			}
		}()
		_ = c.limit.WaitN(ctx, n) // a connection that was closed meanwhile tells at the next call
		close(stop)
		cancel()
	}
	return n, err
}

// Close ends a Read that waits for its turn.
func (c *limitedConn) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return c.Conn.Close()
}
