package redis_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// withTLS puts TLS in front of a server, and returns its address there, which names
// the certificate to trust.
func withTLS(t *testing.T, address string) string {
	t.Helper()
	certified := httptest.NewTLSServer(nil)
	t.Cleanup(certified.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go carryPlain(client, strings.TrimPrefix(address, "unix://"))
		}
	}()
	return "rediss://" + l.Addr().String() + "/0?ca=" + url.QueryEscape(ca)
}

func carryPlain(client net.Conn, socket string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// A dialer of one's own, such as one that limits, and counting leave TLS what it is.
func TestTLSOnADialerOfOnesOwn(t *testing.T) {
	address := redistest.Start(t)
	redistest.Format(t, address, redis.Options{})
	secure := withTLS(t, address)
	var dials atomic.Int64
	reg := prometheus.NewRegistry()
	e, err := redis.Open(t.Context(), secure, redis.Options{
		Metrics: reg, Name: "source",
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if _, err := e.Lookup(t.Context(), meta.RootIno, "nothing"); err == nil {
		t.Error("found what is not there")
	}
	if dials.Load() == 0 {
		t.Error("the dialer was not asked")
	}
	values := gathered(t, reg)
	for _, name := range []string{
		"mirrorfs_meta_bytes_total received source", "mirrorfs_meta_bytes_total sent source", "mirrorfs_meta_round_trips_total source", "mirrorfs_meta_errors_total ENOENT source",
	} {
		if values[name] == 0 {
			t.Errorf("%s was not counted: %v", name, values)
		}
	}
	if values["mirrorfs_meta_errors_total lost source"] != 0 {
		t.Errorf("calls were lost: %v", values)
	}
	if _, err := redis.Open(t.Context(), strings.Split(secure, "?")[0], redis.Options{}); err == nil {
		t.Error("a certificate of nobody was trusted")
	}
}

// gathered gives the counters of a registry by name and label values.
func gathered(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue()
		}
	}
	return values
}
