package limit_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/gateway/limit"
)

// pipes is a listener whose connections are in memory, so that they live in the time of a bubble.
type pipes struct{ conns chan net.Conn }

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p *pipes) Close() error   { close(p.conns); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// pair gives both ends of a connection, the server's with limits.
func pair(t *testing.T, o limit.Options) (server, client net.Conn, l *limit.Listener) {
	t.Helper()
	p := &pipes{make(chan net.Conn, 1)}
	l = limit.Listen(p, o)
	inner, client := net.Pipe()
	p.conns <- inner
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(); _ = client.Close(); _ = l.Close() })
	return server, client, l
}

func TestSlowSenderIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client, _ := pair(t, limit.Options{Patience: time.Minute, MinBytesPerSecond: 1024})
		var sender sync.WaitGroup
		defer sender.Wait()
		sender.Go(func() { // a byte a second, for ever
			for {
				if _, err := client.Write([]byte{1}); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		})
		begun := time.Now()
		_, err := io.Copy(io.Discard, server)
		if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || took < time.Minute || took > 61*time.Second {
			t.Errorf("ended after %v: %v", took, err)
		}
		_ = server.Close()
	})
}

func TestSteadySenderAndIdleClientAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client, _ := pair(t, limit.Options{Patience: time.Minute, MinBytesPerSecond: 1024})
		go func() {
			for range 600 { // 2 KiB a second, for ten minutes
				_, _ = client.Write(make([]byte, 2048))
				<-time.After(time.Second)
			}
			_, _ = io.ReadFull(client, make([]byte, 4))
			<-time.After(59 * time.Second) // idle, then the next request
			_, _ = client.Write([]byte("next"))
		}()
		if _, err := io.ReadFull(server, make([]byte, 600*2048)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Write([]byte("done")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(server, make([]byte, 4)); err != nil {
			t.Error(err)
		}
	})
}

func TestSlowReaderIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client, _ := pair(t, limit.Options{Patience: time.Minute, MinBytesPerSecond: 16 << 10})
		var reader sync.WaitGroup
		defer reader.Wait()
		reader.Go(func() {
			for {
				if _, err := client.Read(make([]byte, 100)); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		})
		begun := time.Now()
		n, err := server.Write(make([]byte, 64<<20))
		if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || took > 3*time.Minute {
			t.Errorf("ended after %v and %d bytes: %v", took, n, err)
		}
		_ = server.Close()
	})
}

func TestTheServersDeadlinesHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, _, _ := pair(t, limit.Options{Patience: time.Minute})
		begun := time.Now()
		if err := server.SetReadDeadline(begun.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if err := server.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != 59*time.Second {
			t.Errorf("without one, after %v: %v", time.Since(begun), err)
		}
	})
}

func TestBandwidth(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name string
		opts limit.Options
	}{
		{"of the process", limit.Options{BytesPerSecond: mib}},
		{"of a connection", limit.Options{ConnBytesPerSecond: mib}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client, l := pair(t, c.opts)
				begun := time.Now()
				go func() { _, _ = io.Copy(io.Discard, client) }()
				if _, err := server.Write(make([]byte, 10*mib)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took < 9*time.Second || took > 11*time.Second {
					t.Errorf("10 MiB at 1 MiB/s sent in %v", took)
				}
				if l.Sent() != 10*mib {
					t.Errorf("counted %d bytes", l.Sent())
				}
				begun = time.Now()
				go func() { _, _ = client.Write(make([]byte, 10*mib)) }()
				if _, err := io.ReadFull(server, make([]byte, 10*mib)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took < 9*time.Second || took > 11*time.Second {
					t.Errorf("10 MiB at 1 MiB/s received in %v", took)
				}
			})
		})
	}
}

func TestClosingEndsWaitingForBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client, _ := pair(t, limit.Options{BytesPerSecond: 1})
		go func() { _, _ = io.Copy(io.Discard, client) }()
		ended := make(chan error, 1)
		go func() {
			_, err := server.Write(make([]byte, 1<<20))
			ended <- err
		}()
		synctest.Wait()
		_ = server.Close()
		if err := <-ended; err == nil {
			t.Error("a closed connection wrote on")
		}
	})
}

func TestConnectionsWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{make(chan net.Conn, 2)}
		l := limit.Listen(p, limit.Options{Connections: 1})
		for range 2 {
			inner, _ := net.Pipe()
			p.conns <- inner
		}
		first, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		second := make(chan net.Conn, 1)
		go func() {
			c, _ := l.Accept()
			second <- c
		}()
		synctest.Wait()
		if len(second) != 0 || l.Connections() != 1 {
			t.Errorf("%d connections with a limit of 1", l.Connections())
		}
		_ = first.Close()
		_ = first.Close() // gives its place back once
		c := <-second
		go func() { _, err = l.Accept() }()
		synctest.Wait()
		if cerr := l.Close(); cerr != nil {
			t.Error(cerr)
		}
		synctest.Wait()
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept of a closed listener: %v", err)
		}
		_ = c.Close()
	})
}

func TestFilesAreSentAsTheyAre(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []limit.Options{{}, {BytesPerSecond: 1 << 30}} {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := limit.Listen(inner, o)
		got := make(chan []byte, 1)
		go func() {
			c, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				got <- nil
				return
			}
			b, _ := io.ReadAll(c)
			_ = c.Close()
			got <- b
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		part := &io.LimitedReader{R: f, N: 2 << 20}
		n, err := c.(io.ReaderFrom).ReadFrom(part)
		if n != 2<<20 || err != nil || part.N != 0 {
			t.Errorf("a part: %d bytes, %d left, %v", n, part.N, err)
		}
		n, err = c.(io.ReaderFrom).ReadFrom(f)
		if n != 1<<20 || err != nil {
			t.Errorf("the rest: %d bytes, %v", n, err)
		}
		_ = c.Close()
		if b := <-got; !bytes.Equal(b, want) {
			t.Errorf("%d bytes arrived, not the %d of the file", len(b), len(want))
		}
		_, _ = f.Close(), l.Close()
	}
}

func TestGate(t *testing.T) {
	g := limit.NewGate(2)
	a, ok := g.Enter()
	_, ok2 := g.Enter()
	_, ok3 := g.Enter()
	if !ok || !ok2 || ok3 || g.Inside() != 2 || g.Refused() != 1 {
		t.Fatalf("%v %v %v, %d inside, %d refused", ok, ok2, ok3, g.Inside(), g.Refused())
	}
	a()
	a()
	if g.Inside() != 1 {
		t.Errorf("%d inside after one left", g.Inside())
	}
	if _, ok := g.Enter(); !ok {
		t.Error("the place is not free")
	}
}
