package limit

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// DefaultConnections is how many connections a Listener has at a time.
const DefaultConnections = 4096

// Options are the limits of a Listener. The zero value limits what must be limited.
type Options struct {
	// BytesPerSecond is for all connections together and both ways, ConnBytesPerSecond for
	// each; 0 is no limit.
	BytesPerSecond, ConnBytesPerSecond int64
	// Connections is how many there may be at a time: more wait in the kernel. Default DefaultConnections.
	Connections int
	// Patience is how long a client is waited for that does nothing; default 1 minute.
	// MinBytesPerSecond is what one that is slow must reach; default 16 KiB.
	Patience          time.Duration
	MinBytesPerSecond int64
}

func (o Options) withDefaults() Options {
	if o.Connections <= 0 {
		o.Connections = DefaultConnections
	}
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	if o.MinBytesPerSecond <= 0 {
		o.MinBytesPerSecond = 16 << 10
	}
	return o
}

// Listener gives connections that keep to limits.
type Listener struct {
	net.Listener
	opts  Options
	all   *rate.Limiter // nil without a limit
	slots chan struct{}
	done  chan struct{}
	close func() error

	open           atomic.Int64
	sent, received atomic.Int64 // bytes
}

// Listen wraps a listener, which it then owns.
func Listen(inner net.Listener, o Options) *Listener {
	o = o.withDefaults()
	l := &Listener{
		Listener: inner, opts: o, all: newRate(o.BytesPerSecond),
		slots: make(chan struct{}, o.Connections), done: make(chan struct{}),
	}
	l.close = sync.OnceValue(func() error {
		close(l.done)
		return inner.Close()
	})
	return l
}

// newRate is a limit of bytes a second; nil when there is none.
func newRate(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), limitedPiece)
}

// Accept waits for a connection, and before that for one to end when there are too many.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	inner, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	l.open.Add(1)
	c := &conn{Conn: inner, l: l, own: newRate(l.opts.ConnBytesPerSecond)}
	c.patience.Store(int64(l.opts.Patience))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.close = sync.OnceValue(func() error {
		c.cancel()
		err := inner.Close()
		l.open.Add(-1)
		<-l.slots
		return err
	})
	return c, nil
}

// Close ends Accept; connections go on.
func (l *Listener) Close() error { return l.close() }

// Connections is how many are open.
func (l *Listener) Connections() int64 { return l.open.Load() }

// Sent and Received are what all connections have carried, in bytes.
func (l *Listener) Sent() int64 { return l.sent.Load() }

// Received is what all connections have read, in bytes.
func (l *Listener) Received() int64 { return l.received.Load() }
