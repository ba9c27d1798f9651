package s3

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

// newHTTPClient keeps a connection for each of so many concurrent requests: with
// Go's default of two, every block but two would dial and slow-start anew.
func newHTTPClient(connections int) (client *http.Client, closeIdle func()) {
	if connections <= 0 {
		connections = defaultConnections
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		MaxIdleConns:          connections,
		MaxIdleConnsPerHost:   connections,
		IdleConnTimeout:       idleTimeout,
		TLSHandshakeTimeout:   tlsTimeout,
		ResponseHeaderTimeout: responseHeaderTimeout,
		ExpectContinueTimeout: time.Second,
		WriteBufferSize:       bufferBytes,
		ReadBufferSize:        bufferBytes,
		// Objects are the bytes that were put, and HTTP/1.1 with many connections
		// fills a WAN better than one HTTP/2 connection.
		DisableCompression: true,
	}
	return &http.Client{Transport: t}, t.CloseIdleConnections
}
