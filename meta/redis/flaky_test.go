package redis_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// flakyDialer makes connections that lose calls of functions and the replies to them, as
// its seed says: about one of rate of each. Some calls that were lost arrive after all,
// when the client has sent them again and gone on to others. Opening and other commands
// are left alone: who asks for the state, say, has to repeat that himself.
type flakyDialer struct {
	rate int

	mu   sync.Mutex
	rng  *rand.Rand
	lost int // calls and replies so far
	late []lateCall
}

// lateCall is a call that the client gave up and that is still on its way.
type lateCall struct {
	conn net.Conn
	call []byte
}

func newFlakyDialer(t testing.TB, seed uint64) *flakyDialer {
	t.Helper()
	d := &flakyDialer{rate: 12, rng: rand.New(rand.NewPCG(seed, 9))}
	t.Cleanup(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, l := range d.late {
			_ = l.conn.Close()
		}
	})
	return d
}

func (d *flakyDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &flakyConn{Conn: conn, dialer: d}, nil
}

// fate is what becomes of a call or a reply.
type fate int

const (
	arrives fate = iota
	isCut        // in the middle
	isLate
)

// decide decides about one call or reply, and lets a late call arrive now and then.
func (d *flakyDialer) decide() fate {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.late) > 0 && d.rng.IntN(2) == 0 {
		l := d.late[0]
		d.late = d.late[1:]
		if _, err := l.conn.Write(l.call); err == nil {
			// The server has it before it gets what the client sends next; the answer is
			// nobody's. The beginning of a long command, such as the library, has none.
			_ = l.conn.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = io.ReadAtLeast(l.conn, make([]byte, 64<<10), 1)
		}
		_ = l.conn.Close()
	}
	if d.rng.IntN(d.rate) > 0 {
		return arrives
	}
	d.lost++
	return isCut + fate(d.rng.IntN(2))
}

func (d *flakyDialer) postpone(l lateCall) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.late = append(d.late, l)
}

func (d *flakyDialer) losses() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

var errCut = errors.New("the connection was cut on purpose")

// flakyConn is cut in the middle of a call, or when a reply has come: then the server has
// done what it was asked, and nobody knows. go-redis uses a connection for one call at a
// time.
type flakyConn struct {
	net.Conn
	dialer *flakyDialer
	called bool // the last request called a function
	gone   bool // the rest of this connection belongs to a late call
}

func (c *flakyConn) decide() fate {
	if !c.called {
		return arrives
	}
	return c.dialer.decide()
}

func (c *flakyConn) Write(b []byte) (int, error) {
	if c.gone {
		return 0, errCut
	}
	c.called = true
	switch c.decide() {
	case isCut:
		n, _ := c.Conn.Write(b[:len(b)/2])
		return n, errors.Join(errCut, c.Close())
	case isLate:
		c.gone = true
		c.dialer.postpone(lateCall{conn: c.Conn, call: bytes.Clone(b)})
		return 0, errCut
	case arrives:
	}
	return c.Conn.Write(b)
}

func (c *flakyConn) Read(b []byte) (int, error) {
	if c.gone {
		return 0, errCut
	}
	n, err := c.Conn.Read(b)
	if err == nil && c.decide() != arrives {
		return 0, errors.Join(errCut, c.Close())
	}
	return n, err
}

func (c *flakyConn) Close() error {
	if c.gone {
		return nil
	}
	return c.Conn.Close()
}
