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
)

// flakyDialer makes connections that lose calls and the replies to them, as its seed
// says: about one of rate of each. Some calls that were lost arrive after all, when the
// client has sent them again and gone on to others.
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

// arrive returns when the server has done what it makes of the call, which may have been
// cut. The answer is nobody's.
func (l *lateCall) arrive() {
	if _, err := l.conn.Write(l.call); err == nil {
		if half, ok := l.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_, _ = io.Copy(io.Discard, l.conn)
		}
	}
	_ = l.conn.Close()
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
		l.arrive()
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
	gone   bool // the rest of this connection belongs to a late call
}

func (c *flakyConn) Write(b []byte) (int, error) {
	if c.gone {
		return 0, errCut
	}
	switch c.dialer.decide() {
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
	if err == nil && c.dialer.decide() != arrives {
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
