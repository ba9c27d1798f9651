package cloud

import (
	"net"
	"net/http"
	"time"
)

// Limits of one request's phases. A body may take as long as it needs: its limit
// is the caller's ctx, which WithRetry scales with its size.
const (
	defaultConnections    = 64
	dialTimeout           = 5 * time.Second
	tlsTimeout            = 5 * time.Second
	responseHeaderTimeout = 30 * time.Second
	idleTimeout           = 90 * time.Second
	keepAlive             = 15 * time.Second
	bufferBytes           = 64 << 10
)

// TuneDialer gives a dialer the limits of a store's connections.
func TuneDialer(d *net.Dialer) { d.Timeout, d.KeepAlive = dialTimeout, keepAlive }

// Tune prepares a transport for so many requests at once; 0 means 64.
func Tune(t *http.Transport, connections int) {
	if connections <= 0 {
		connections = defaultConnections
	}
	// A connection for each of so many concurrent requests: with Go's default of
	// two, every block but two would dial and slow-start anew.
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 2*connections, connections, 0
	t.IdleConnTimeout = idleTimeout
	t.TLSHandshakeTimeout = tlsTimeout
	t.ResponseHeaderTimeout = responseHeaderTimeout
	t.WriteBufferSize, t.ReadBufferSize = bufferBytes, bufferBytes
	// Objects are the bytes that were put.
	t.DisableCompression = true
	// Many connections fill a WAN better than the one of HTTP/2.
	t.ForceAttemptHTTP2 = false
}

// Transport is a tuned transport for an SDK that brings none of its own. It
// honours HTTPS_PROXY and NO_PROXY.
func Transport(connections int) *http.Transport {
	var d net.Dialer
	TuneDialer(&d)
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: d.DialContext}
	Tune(t, connections)
	return t
}

// Client follows no redirects: a signature is for one host.
func Client(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
