package limit

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Pieces, in bytes, that are written under one deadline: smaller ones with a limit of bytes a
// second, so that connections take turns.
const (
	piece        = 1 << 20
	limitedPiece = 64 << 10
)

// conn is a connection that keeps to limits.
type conn struct {
	net.Conn
	l      *Listener
	own    *rate.Limiter   // nil without a limit
	ctx    context.Context //nolint:containedctx // it ends when the connection does: no caller of Read has one
	cancel context.CancelFunc
	close  func() error

	patience atomic.Int64 // ns left
	// What the server set, ns since 1970; 0 is none. They hold beside our own.
	readBy, writeBy atomic.Int64
}

// limited tells whether there is a limit of bytes a second.
func (c *conn) limited() bool { return c.own != nil || c.l.all != nil }

// pay waits for the right to have moved n bytes, at most limitedPiece.
func (c *conn) pay(n int) error {
	for _, r := range []*rate.Limiter{c.own, c.l.all} {
		if r == nil || n == 0 {
			continue
		}
		if err := r.WaitN(c.ctx, n); err != nil {
			return net.ErrClosed // the only reason to end: n is never more than the burst
		}
	}
	return nil
}

// Read waits for as long as there is patience.
func (c *conn) Read(p []byte) (int, error) {
	if c.limited() {
		p = p[:min(len(p), limitedPiece)]
	}
	begun := time.Now()
	left := time.Duration(c.patience.Load())
	if err := c.Conn.SetReadDeadline(earlier(begun.Add(left), c.readBy.Load())); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.l.received.Add(int64(n))
	left += -time.Since(begun) + c.worth(int64(n))
	c.patience.Store(int64(max(0, min(left, c.l.opts.Patience))))
	if paid := c.pay(n); err == nil {
		err = paid
	}
	return n, err
}

// worth is the time that n bytes may take.
func (c *conn) worth(n int64) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(c.l.opts.MinBytesPerSecond)
}

// Write writes in pieces, each in its time.
func (c *conn) Write(p []byte) (done int, err error) {
	for done < len(p) || len(p) == 0 {
		n, err := c.before(int64(len(p) - done))
		if err != nil {
			return done, err
		}
		k, err := c.Conn.Write(p[done : done+int(n)])
		done += k
		c.after(int64(k))
		if err != nil || len(p) == 0 {
			return done, err
		}
	}
	return done, nil
}

// ReadFrom has the kernel send what it can: a file, or a part of one.
func (c *conn) ReadFrom(r io.Reader) (done int64, err error) {
	inner, ok := c.Conn.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	rest := int64(1) << 62
	limit, _ := r.(*io.LimitedReader) // sendfile sees through one, not through two
	if limit != nil {
		r, rest = limit.R, limit.N
	}
	for rest > 0 {
		n, err := c.before(rest)
		if err != nil {
			return done, err
		}
		k, err := inner.ReadFrom(&io.LimitedReader{R: r, N: n})
		done, rest = done+k, rest-k
		if limit != nil {
			limit.N -= k
		}
		c.after(k)
		if err != nil || k < n {
			return done, err
		}
	}
	return done, nil
}

// before gets the right to write some of rest bytes, and gives them their time.
func (c *conn) before(rest int64) (int64, error) {
	n := min(rest, piece)
	if c.limited() {
		n = min(n, limitedPiece)
		if err := c.pay(int(n)); err != nil {
			return 0, err
		}
	}
	by := time.Now().Add(c.l.opts.Patience + c.worth(n))
	return n, c.Conn.SetWriteDeadline(earlier(by, c.writeBy.Load()))
}

// after counts what was written. Who is answered may take its time with what it wants next.
func (c *conn) after(n int64) {
	c.l.sent.Add(n)
	c.patience.Store(int64(c.l.opts.Patience))
}

// earlier gives our own deadline or the server's, whichever comes first.
func earlier(own time.Time, server int64) time.Time {
	if server != 0 && server < own.UnixNano() {
		return time.Unix(0, server)
	}
	return own
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline holds for what is read now and later, beside our own limit.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readBy.Store(nanos(t))
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline holds for what is written now and later, beside our own limit.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeBy.Store(nanos(t))
	return c.Conn.SetWriteDeadline(t)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Close ends what waits for its turn, too.
func (c *conn) Close() error { return c.close() }
