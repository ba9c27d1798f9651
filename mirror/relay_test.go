package mirror_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
	"mirrorfs/mirror/relay"
)

// wire counts what a runner reads of its source and writes to it.
type wire struct{ in, out atomic.Int64 }

type wired struct {
	net.Conn
	w *wire
}

func (c wired) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.w.in.Add(int64(n))
	return n, err
}

func (c wired) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.w.out.Add(int64(n))
	return n, err
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return wired{c, w}, err
}

type (
	dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)
	wayFunc  = func(ctx context.Context, dial dialFunc) (net.Conn, error)
)

// startRelay runs a relay to a source, and gives a way through it.
func startRelay(t testing.TB, source string) (way wayFunc, stop func()) {
	t.Helper()
	dial, err := redis.DialerTo(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Serve(ctx, relay.ServerOptions{Listener: l, Dial: dial}) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("relay: %v", err)
		}
	}
	return func(ctx context.Context, dial dialFunc) (net.Conn, error) {
		return relay.Dial(ctx, func(ctx context.Context) (net.Conn, error) { return dial(ctx, "tcp", l.Addr().String()) })
	}, stop
}

// through makes a world's runner reach the source as options say.
func (s *redisSites) through(opts redis.Options) {
	s.upstream = func(ctx context.Context) (mirror.Upstream, error) {
		e, err := redis.Open(ctx, s.sourceAddr, opts)
		if err != nil {
			return nil, err
		}
		return e, nil
	}
}

// What comes through a relay is the same and a fraction of the bytes; without the relay the
// runner goes to the source directly.
func TestFollowingThroughARelay(t *testing.T) {
	s := redisWorld(t)
	e := session(t, s.local(t))
	s.add(t)
	follow := func(name string, opts redis.Options, w *wire) int64 {
		s.through(opts)
		cfg := s.config(t)
		cfg.TailWait, cfg.ReportInterval, cfg.CallTimeout = time.Second, time.Second, patience // little is said besides records
		stop := start(t, cfg)
		s.wait(t)
		before := w.in.Load()
		d := change(t, e, dir(meta.RootIno, name)).Node.Ino
		for i := range 400 {
			change(t, e, file(d, fmt.Sprint("file-", i)))
		}
		s.mustBeEqual(t)
		stop()
		return w.in.Load() - before
	}
	var plain, pressed, again wire
	direct := quick()
	direct.Dialer = plain.dial
	whole := follow("direct", direct, &plain)
	relayed := quick()
	way, stop := startRelay(t, s.sourceAddr)
	relayed.Relay, relayed.Dialer = way, pressed.dial
	small := follow("relayed", relayed, &pressed)
	if small > whole/2 {
		t.Errorf("%d bytes came through the relay, %d without: want half at most", small, whole)
	}
	t.Logf("for each of 401 records in small batches: %d bytes directly, %d through the relay", whole/401, small/401)
	stop()
	relayed.Dialer = again.dial
	if n := follow("without its relay", relayed, &again); n == 0 {
		t.Error("nothing came directly after the relay had ended: the test proves nothing")
	}
}

// BenchmarkBacklogBytes measures what crosses the way for each record of a backlog.
func BenchmarkBacklogBytes(b *testing.B) {
	for _, relayed := range []bool{false, true} {
		b.Run(fmt.Sprintf("relay=%t", relayed), func(b *testing.B) {
			s := redisWorld(b)
			s.add(b)
			var w wire
			opts := quick()
			opts.CallTimeout, opts.Dialer = time.Minute, w.dial
			if relayed {
				var stop func()
				opts.Relay, stop = startRelay(b, s.sourceAddr)
				b.Cleanup(stop)
			}
			s.through(opts)
			cfg := s.config(b)
			cfg.CallTimeout, cfg.Logger = time.Minute, nil
			stop := start(b, cfg)
			s.wait(b)
			stop()
			mixed(b, s, b.N)
			begin := w.in.Load()
			before := mustState(b, s.world.near).Position.Seq
			b.ResetTimer()
			start(b, cfg)
			s.wait(b)
			records := float64(mustState(b, s.world.near).Position.Seq - before)
			b.ReportMetric(records/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(w.in.Load()-begin)/records, "wire-B/record")
		})
	}
}

// mixed makes files as programs do: created, written, given a time, and some removed.
func mixed(b *testing.B, s *redisSites, n int) {
	b.Helper()
	e := session(b, s.local(b))
	parent := meta.RootIno
	for i := 0; i < n; i += 3 {
		if i%3000 == 0 {
			parent = change(b, e, dir(meta.RootIno, fmt.Sprint("directory-", i))).Node.Ino
		}
		name := fmt.Sprintf("sample-%06d.bin", i)
		ino := change(b, e, file(parent, name)).Node.Ino
		extent := meta.Extent{Len: 65536, Slice: uint64(i + 1), Home: 1, Size: 65536}
		change(b, e, meta.Commit{Ino: ino, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{extent}}}})
		if i%30 == 0 {
			change(b, e, meta.Unlink{Parent: parent, Name: name})
		} else {
			change(b, e, meta.SetAttr{Ino: ino, Set: meta.SetMode, Mode: 0o600})
		}
	}
}
