package s3

import (
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
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

// buildable is what the SDK's configuration may still adjust: it adds
// AWS_CA_BUNDLE.
func buildable(connections int) *awshttp.BuildableClient {
	if connections <= 0 {
		connections = defaultConnections
	}
	return awshttp.NewBuildableClient().WithDialerOptions(func(d *net.Dialer) {
		d.Timeout, d.KeepAlive = dialTimeout, keepAlive
	}).WithTransportOptions(func(t *http.Transport) {
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
	})
}

// httpClient is the client for the bucket. It follows no redirects: a signature
// is for one host.
func httpClient(cfg *aws.Config) *http.Client {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		c.Transport = b.GetTransport()
	}
	return c
}
