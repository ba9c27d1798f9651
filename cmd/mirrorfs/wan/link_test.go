package wan_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"mirrorfs/cmd/mirrorfs/wan"
)

// echo serves connections that get back what they send, until their end.
func echo(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
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
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l
}

func link(t *testing.T, target net.Listener, rtt time.Duration) *wan.Link {
	t.Helper()
	l, err := wan.Listen(t.Context(), target.Addr().Network(), target.Addr().String(), rtt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dial(t *testing.T, l *wan.Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a byte and returns how long the answer took.
func ask(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

func TestCarriesEverythingToTheEnd(t *testing.T) {
	l := link(t, echo(t, "unix", filepath.Join(t.TempDir(), "s")), 2*time.Millisecond)
	c := dial(t, l)
	sent := make([]byte, 3<<20)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	go func() {
		_, _ = c.Write(sent)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d of %d bytes, equal %t, %v", len(got), len(sent), bytes.Equal(got, sent), err)
	}
	if to, from := l.Bytes(); to != int64(len(sent)) || from != int64(len(sent)) {
		t.Errorf("counted %d and %d bytes, want %d", to, from, len(sent))
	}
}

func TestDelaysByARoundTrip(t *testing.T) {
	const rtt = 40 * time.Millisecond
	c := dial(t, link(t, echo(t, "tcp", "127.0.0.1:0"), rtt))
	if d := ask(t, c); d < 2*rtt {
		t.Errorf("first answer after %v: connecting and asking take two round trips of %v", d, rtt)
	}
	if d := ask(t, c); d < rtt {
		t.Errorf("answer after %v, want %v or more", d, rtt)
	}
}

func TestCutHoldsAndMendReleases(t *testing.T) {
	l := link(t, echo(t, "tcp", "127.0.0.1:0"), time.Millisecond)
	c := dial(t, l)
	ask(t, c)
	l.Cut()
	if _, err := c.Write([]byte("held")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if n, err := c.Read(make([]byte, 4)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("read %d bytes through a cut link, %v", n, err)
	}
	l.Mend()
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "held" {
		t.Fatalf("after mending: %q, %v", got, err)
	}
}

func TestResetEndsConnectionsAndTakesNewOnes(t *testing.T) {
	l := link(t, echo(t, "tcp", "127.0.0.1:0"), time.Millisecond)
	c := dial(t, l)
	ask(t, c)
	l.Reset()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatalf("read %d bytes from a connection that was reset", n)
	}
	ask(t, dial(t, l))
}
