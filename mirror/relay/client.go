package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	magic   = "mfsr"
	version = 1
	// hello is what a client begins with. A server of lines, such as Redis, answers the end of one.
	hello = magic + string(rune(version)) + "\r\n"
	// handshakeTimeout bounds what happens before bytes are passed.
	handshakeTimeout = 10 * time.Second
)

// Dial gives a connection to the server that a relay leads to. dial makes the connection to the
// relay. It takes two round trips.
func Dial(ctx context.Context, dial func(ctx context.Context) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	c, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	if err := greet(c); err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("relay at %s: %w", c.RemoteAddr(), err), c.Close())
	}
	if !stop() {
		return nil, fmt.Errorf("relay at %s: %w", c.RemoteAddr(), ctx.Err())
	}
	return compressed(c)
}

// errNoRelay says that something else listens there.
var errNoRelay = errors.New("what listens there is no relay of mirrorfs, or one of another version")

func greet(c net.Conn) error {
	if _, err := c.Write([]byte(hello)); err != nil {
		return err
	}
	answer := make([]byte, len(magic)+2)
	if n, err := io.ReadFull(c, answer); err != nil {
		if n > 0 || errors.Is(err, io.EOF) {
			return errNoRelay
		}
		return err
	}
	if string(answer[:len(magic)]) != magic || answer[len(magic)] != version {
		return errNoRelay
	}
	if n := answer[len(magic)+1]; n > 0 {
		why := make([]byte, n)
		if _, err := io.ReadFull(c, why); err != nil {
			return err
		}
		return errors.New(string(why))
	}
	return nil
}
