package wan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pieceBytes is the most that is read and delayed as one.
	pieceBytes = 64 << 10
	// maxPieces bounds what one direction of a connection has on its way: 16 MiB.
	maxPieces = 256
)

// Link is a proxy to one address. Its methods may be called concurrently.
type Link struct {
	listener        net.Listener
	network, target string
	rtt             atomic.Int64 // nanoseconds
	toTarget        atomic.Int64 // bytes
	fromTarget      atomic.Int64 // bytes
	wg              sync.WaitGroup

	there, back gate // of bytes to the target and from it

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	refuses bool
	closed  bool
}

// gate holds up one direction while it is shut.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // closed when it opens; nil while it is open
}

// pass waits until the gate is open.
func (g *gate) pass() {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// Listen starts a link to an address of a network as net.Dial knows them ("tcp",
// "unix") on a free port of 127.0.0.1, with a round trip time.
func Listen(ctx context.Context, network, target string, rtt time.Duration) (*Link, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link to %s: %w", target, err)
	}
	l := &Link{listener: listener, network: network, target: target, conns: map[net.Conn]struct{}{}}
	l.rtt.Store(int64(rtt))
	l.wg.Go(l.accept)
	return l, nil
}

// Addr is where the link listens, host:port.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// SetRTT changes the round trip time for bytes that enter from now on.
func (l *Link) SetRTT(rtt time.Duration) { l.rtt.Store(int64(rtt)) }

// Bytes tells how many bytes were carried to the target and from it.
func (l *Link) Bytes() (to, from int64) { return l.toTarget.Load(), l.fromTarget.Load() }

// Cut makes the link a black hole until Mend: connections stay, and nothing arrives.
func (l *Link) Cut() {
	l.CutThere()
	l.CutBack()
}

// CutThere makes it a black hole for what goes to the target only.
func (l *Link) CutThere() { l.there.close() }

// CutBack makes it a black hole for what comes from the target only.
func (l *Link) CutBack() { l.back.close() }

// Refuse ends every connection, and every new one at once, until Mend: the way is there, and who is at
// its end is not.
func (l *Link) Refuse() {
	l.mu.Lock()
	l.refuses = true
	l.mu.Unlock()
	l.Reset()
}

// Mend undoes the cuts. What waited goes on.
func (l *Link) Mend() {
	l.mu.Lock()
	l.refuses = false
	l.mu.Unlock()
	l.there.open()
	l.back.open()
}

// Reset ends every connection at once; new ones may come.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

// Close ends the link and its connections and waits for both.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.Mend()
	err := l.listener.Close()
	l.Reset()
	l.wg.Wait()
	return err
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && l.track(conn) {
			l.wg.Go(func() { l.carry(conn) })
		}
	}
}

// track notes a connection for Reset; false when the link is closed, or refuses it.
func (l *Link) track(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.refuses {
		_ = c.Close()
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) drop(c net.Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	_ = c.Close()
}

// carry runs one connection to its end.
func (l *Link) carry(client net.Conn) {
	defer l.drop(client)
	// The handshake of TCP takes a round trip.
	wait(time.Now().Add(time.Duration(l.rtt.Load())))
	l.there.pass()
	l.back.pass()
	target, err := net.Dial(l.network, l.target)
	if err != nil || !l.track(target) {
		return
	}
	defer l.drop(target)
	var wg sync.WaitGroup
	wg.Go(func() { l.pump(target, client, &l.there, &l.toTarget) })
	wg.Go(func() { l.pump(client, target, &l.back, &l.fromTarget) })
	wg.Wait()
}

// piece is bytes on their way.
type piece struct {
	data []byte
	due  time.Time
}

// pump carries one direction until the end of src, and then ends that direction
// of dst. When dst fails, both connections end.
func (l *Link) pump(dst, src net.Conn, way *gate, carried *atomic.Int64) {
	pieces := make(chan piece, maxPieces)
	go func() {
		defer close(pieces)
		for {
			buf := make([]byte, pieceBytes)
			n, err := src.Read(buf)
			if n > 0 {
				pieces <- piece{data: buf[:n], due: time.Now().Add(time.Duration(l.rtt.Load()) / 2)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		wait(p.due)
		way.pass()
		n, err := dst.Write(p.data)
		carried.Add(int64(n))
		if err != nil {
			_ = src.Close()    // ends the reader; what is on its way is lost
			for range pieces { // so that the reader sees the end
			}
			return
		}
	}
	if half, ok := dst.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return
	}
	_ = dst.Close()
}

func wait(until time.Time) {
	if d := time.Until(until); d > 0 {
		<-time.After(d)
	}
}

var _ io.Closer = (*Link)(nil)
