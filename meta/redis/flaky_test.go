package redis_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
)

// flakyDialer makes connections that lose calls of functions and the replies to them, as
// its seed says: about one of rate of each. Opening and other commands are left alone: who
// asks for the state, say, has to repeat that himself.
type flakyDialer struct {
	rate int

	mu   sync.Mutex
	rng  *rand.Rand
	lost int // requests and replies so far
}

func newFlakyDialer(seed uint64, rate int) *flakyDialer {
	return &flakyDialer{rate: rate, rng: rand.New(rand.NewPCG(seed, 9))}
}

func (d *flakyDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &flakyConn{Conn: conn, dialer: d}, nil
}

// loses decides about one request or reply, and where to cut it: 0 to 1.
func (d *flakyDialer) loses() (bool, float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rng.IntN(d.rate) > 0 {
		return false, 0
	}
	d.lost++
	return true, d.rng.Float64()
}

func (d *flakyDialer) losses() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

var errCut = errors.New("the connection was cut on purpose")

// flakyConn is cut in the middle of a request, or when a reply has come: then the
// server has done what it was asked, and nobody knows.
type flakyConn struct {
	net.Conn
	dialer *flakyDialer
	called bool // the last request called a function; go-redis uses a connection for one at a time
}

func (c *flakyConn) loses() (bool, float64) {
	if !c.called {
		return false, 0
	}
	return c.dialer.loses()
}

func (c *flakyConn) Write(b []byte) (int, error) {
	c.called = bytes.Contains(b[:min(len(b), 30)], []byte("\r\nfcall")) && !bytes.Contains(b, []byte("_revision"))
	if lose, at := c.loses(); lose {
		n, _ := c.Conn.Write(b[:int(at*float64(len(b)))])
		return n, errors.Join(errCut, c.Close())
	}
	return c.Conn.Write(b)
}

func (c *flakyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		return n, err
	}
	if lose, _ := c.loses(); lose {
		return 0, errors.Join(errCut, c.Close())
	}
	return n, nil
}
