package objecttest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cutter is a proxy in front of a server that ends connections after so many
// bytes of the server's answers.
type cutter struct {
	listener net.Listener
	server   string // host:port

	mu     sync.Mutex
	limits []int // of the next connections; then none
	conns  int
}

func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, server: server}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.carry(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return c
}

func (c *cutter) address() string { return c.listener.Addr().String() }

// next makes the next connections end after so many bytes each.
func (c *cutter) next(limits ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits = limits
}

func (c *cutter) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conns
}

func (c *cutter) carry(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	c.mu.Lock()
	limit := int64(1 << 40)
	if len(c.limits) > 0 {
		limit, c.limits = int64(c.limits[0]), c.limits[1:]
	}
	c.conns++
	c.mu.Unlock()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.CopyN(client, server, limit)
}
