package s3_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/s3"
	"mirrorfs/object/s3/s3test"
)

// cutter is a proxy in front of a server that ends connections after so many
// bytes of the server's answers.
type cutter struct {
	listener net.Listener
	server   string

	mu     sync.Mutex
	limits []int // of the next connections; then none
	conns  int
}

func newCutter(t *testing.T, server s3test.Server) *cutter {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, server: server.Endpoint[len("http://"):]}
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

// open opens the bucket through the cutter, so that each call dials.
func (c *cutter) open(t *testing.T, bucket string) *s3.Store {
	t.Helper()
	return open(t, s3test.Server{Endpoint: "http://" + c.listener.Addr().String()}, bucket)
}

// TestCutBody: wherever the connection ends, reading fails, and a retry reads on.
func TestCutBody(t *testing.T) {
	server := serve(t)
	direct := open(t, server, "bucket")
	if err := direct.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	if err := direct.Put(t.Context(), "key", data); err != nil {
		t.Fatal(err)
	}
	c := newCutter(t, server)
	for _, limit := range []int{0, 1, 100, 1000, 5000, 500_000, len(data)} { // the last: the head is longer than nothing
		s := c.open(t, "bucket")
		c.next(limit)
		r, err := s.Get(t.Context(), "key", 0, -1)
		if err == nil {
			_, err = io.ReadAll(r)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut after %d bytes: %v, want io.ErrUnexpectedEOF", limit, err)
			}
			_ = r.Close()
		}
		if err == nil {
			t.Errorf("cut after %d bytes: no error", limit)
		}
	}
	s := c.open(t, "bucket")
	c.next(0, 5000, 100_000, 1, 300_000, 300_000)
	r, err := object.WithRetry(s, object.RetryOptions{FirstPause: time.Microsecond}).Get(t.Context(), "key", 7, 999_000)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data[7:7+999_000]) {
		t.Errorf("%d bytes through cuts: %v", len(got), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestCutPutIfAbsent: the answer is lost after the object was made.
func TestCutPutIfAbsent(t *testing.T) {
	server := serve(t)
	direct := open(t, server, "bucket")
	if err := direct.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := newCutter(t, server)
	s := c.open(t, "bucket")
	c.next(10, 10, 10)
	retry := object.WithRetry(s, object.RetryOptions{FirstPause: time.Microsecond})
	if err := retry.PutIfAbsent(t.Context(), "key", []byte("mine")); err != nil {
		t.Error(err)
	}
	if c.connections() < 4 {
		t.Errorf("only %d connections: nothing was cut", c.connections())
	}
	if err := retry.PutIfAbsent(t.Context(), "key", []byte("other")); !errors.Is(err, object.ErrExist) {
		t.Errorf("second: %v", err)
	}
}

// TestConnectionsAreKept: connections are used again instead of made for each
// request, also when a reader takes exactly the bytes that it asked for and no
// EOF. Each client first holds one, so that none is still being dialled: from then
// on, not one more is made.
func TestConnectionsAreKept(t *testing.T) {
	c := newCutter(t, serve(t))
	s := object.WithRetry(c.open(t, "bucket"), object.RetryOptions{})
	create, ok := object.As[object.Creator](s)
	if !ok {
		t.Fatal("no Creator")
	}
	if err := create.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	const clients, rounds = 16, 10
	data := bytes.Repeat([]byte("x"), 100_000)
	each := func(do func(key string)) {
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() { do(string(rune('a' + i))) })
		}
		wg.Wait()
	}
	read := func(key string, hold func()) {
		r, err := s.Get(t.Context(), key, 10, 1000)
		hold()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
			t.Error(err)
		}
		_ = r.Close()
	}
	put := func(key string) {
		if err := s.Put(t.Context(), key, data); err != nil {
			t.Error(err)
		}
	}
	each(put)
	var all sync.WaitGroup
	all.Add(clients)
	each(func(key string) { read(key, func() { all.Done(); all.Wait() }) })
	before := c.connections()
	if before < clients {
		t.Fatalf("%d connections carry %d answers at once", before, clients)
	}
	each(func(key string) {
		for range rounds {
			put(key)
			read(key, func() {})
		}
	})
	if n := c.connections(); n != before {
		t.Errorf("%d connections more for %d requests of %d clients that had %d", n-before, 2*clients*rounds, clients, before)
	}
}
