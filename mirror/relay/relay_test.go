package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/mirror/relay"
)

// echo gives back what it gets, in pieces of any size.
func echo(t *testing.T) string {
	t.Helper()
	return echoOf(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
}

// echoOf answers connections as it is told.
func echoOf(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				answer(c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func dialTo(address string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
}

// start runs a relay to an address, and gives its own.
func start(t *testing.T, opts relay.ServerOptions) string {
	t.Helper()
	var err error
	if opts.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Serve(ctx, opts) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("relay: %v", err)
		}
	})
	return opts.Listener.Addr().String()
}

// tapped counts what a client reads and writes below the compression.
type tapped struct {
	net.Conn
	bytes *atomic.Int64
}

func (c tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c tapped) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

// open gives a connection through a relay.
func open(t *testing.T, address string, wire *atomic.Int64) net.Conn {
	t.Helper()
	c, err := relay.Dial(t.Context(), func(ctx context.Context) (net.Conn, error) {
		c, err := dialTo(address)(ctx)
		return tapped{c, wire}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil { // of a test that hangs
		t.Fatal(err)
	}
	return c
}

func TestPassesEveryByteAtOnce(t *testing.T) {
	address := start(t, relay.ServerOptions{Dial: dialTo(echo(t))})
	var all sync.WaitGroup
	for client := range 4 {
		all.Go(func() {
			var wire atomic.Int64
			c := open(t, address, &wire)
			rng := rand.New(rand.NewPCG(uint64(client), 1))
			for range 60 {
				sent := make([]byte, 1+rng.IntN(1<<(4+rng.IntN(14))))
				for i := range sent {
					sent[i] = byte(rng.Uint32() >> 28)
				}
				if _, err := c.Write(sent); err != nil {
					t.Error(err)
					return
				}
				got := make([]byte, len(sent)) // all of it comes before more is sent
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d bytes: %v", len(sent), err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestCompressesSmallPieces(t *testing.T) {
	address := start(t, relay.ServerOptions{Dial: dialTo(echo(t))})
	var wire atomic.Int64
	c := open(t, address, &wire)
	plain := 0
	for i := range 500 {
		text := []byte(fmt.Sprintf("a record of some two hundred bytes that is number %d and looks much like the one before it, as records do, %s", i, strings.Repeat("x", 90)))
		if _, err := c.Write(text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, len(text))); err != nil {
			t.Fatal(err)
		}
		plain += 2 * len(text)
	}
	if n := wire.Load(); n > int64(plain/4) {
		t.Errorf("%d bytes for %d: want a quarter at most", n, plain)
	}
}

func TestRefusals(t *testing.T) {
	full := start(t, relay.ServerOptions{Dial: dialTo(echo(t)), Connections: 1})
	var wire atomic.Int64
	open(t, full, &wire)
	dead := start(t, relay.ServerOptions{Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("the server is away") }})
	for _, c := range []struct{ address, want string }{
		{full, "as many connections"},
		{dead, "the server is away"},
		{echoOf(t, func(c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, len("mfsr1\r\n"))) // else the end would be a reset
			_, _ = io.WriteString(c, "-ERR unknown command\r\n")
		}), "no relay"},
	} {
		if c, err := relay.Dial(t.Context(), dialTo(c.address)); err == nil {
			t.Errorf("a connection was passed on: %v", c)
		} else if !strings.Contains(err.Error(), "relay") {
			t.Errorf("%v", err)
		}
		if _, err := relay.Dial(t.Context(), dialTo(c.address)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// An end of one connection is an end of the other, whichever it is.
func TestEndsAreTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	address := start(t, relay.ServerOptions{Dial: dialTo(l.Addr().String())})
	var wire atomic.Int64
	accepted := make(chan net.Conn, 2)
	go func() {
		for range 2 {
			if c, err := l.Accept(); err == nil {
				accepted <- c
			}
		}
	}()
	first := open(t, address, &wire)
	_ = (<-accepted).Close()
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("the client was not told that the server has ended")
	}
	second := open(t, address, &wire)
	server := <-accepted
	_ = second.Close()
	_ = server.SetDeadline(time.Now().Add(time.Minute))
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Error("the server was not told that the client has ended")
	}
	_ = server.Close()
}
