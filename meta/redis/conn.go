package redis

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// dialFunc makes a connection.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer makes connections: counted, and with TLS on top of that if config is not nil. go-redis
// leaves TLS to a dialer that it is given.
func (o *Options) dialer(m *meters, config *tls.Config) dialFunc {
	dial := o.Dialer
	if dial == nil {
		dial = (&net.Dialer{
			Timeout:         o.CallTimeout,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3},
		}).DialContext
	}
	if m.sent != nil {
		dial = m.counted(dial)
	}
	direct := dial
	if config != nil {
		direct = secured(dial, config)
	}
	if o.Relay == nil {
		return direct
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := o.Relay(ctx, dial)
		if err == nil {
			return c, nil
		}
		o.Logger.WarnContext(ctx, "the server is dialed directly: its relay does not answer", slog.Any("error", err))
		return direct(ctx, network, address)
	}
}

// secured speaks TLS on the connections of another dialer.
func secured(dial dialFunc, config *tls.Config) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		own := config.Clone()
		if own.ServerName == "" {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			own.ServerName = host
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, own)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, &net.OpError{Op: "dial", Net: network, Err: err} // nothing was asked yet
		}
		return secure, nil
	}
}

// counted counts the bytes of the connections of another dialer.
func (m *meters) counted(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn, sent: m.sent, received: m.received}, nil
	}
}

// countedConn counts bytes.
type countedConn struct {
	net.Conn
	sent, received prometheus.Counter
}

// NetConn is the connection below: go-redis looks there whether the server has closed it.
func (c *countedConn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(float64(n))
	return n, err
}

// Write implements net.Conn.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(float64(n))
	return n, err
}
