package redis_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/local"
	"mirrorfs/meta/redis/redistest"
)

func TestFormatAndOpen(t *testing.T) {
	address := redistest.Start(t)
	ctx := t.Context()
	if _, err := redis.Open(ctx, address, redis.Options{}); !errors.Is(err, meta.ErrNoVolume) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("opening an empty server: %v: want ErrNoVolume", err)
	}
	e := redistest.Format(t, address, redis.Options{})
	if _, err := redis.Format(ctx, address, meta.Volume{Name: "test"}, redis.Options{}); !errors.Is(err, meta.ErrVolumeExists) {
		t.Errorf("formatting twice: %v: want ErrVolumeExists", err)
	}
	s, err := e.State(ctx)
	want := meta.State{
		Position: meta.Position{Epoch: 1, Seq: 1}, Chain: s.Chain, Role: meta.RoleSource,
		Counters: meta.Counters{NextIno: 2, NextSlice: 1, Usage: meta.Usage{Inodes: 1}},
	}
	if err != nil || s != want {
		t.Errorf("state of a new volume: %+v, %v\nwant %+v", s, err, want)
	}
	if _, err := redis.Format(ctx, address, meta.Volume{Name: "other"}, redis.Options{}); err != nil {
		t.Fatalf("formatting another volume: %v", err)
	}
	_, err = redis.Open(ctx, address, redis.Options{})
	if err == nil || !strings.Contains(err.Error(), "?volume=NAME") || !strings.Contains(err.Error(), "other") {
		t.Errorf("opening one of two: %v: want a list and what to add", err)
	}
	other, err := redis.Open(ctx, address+"?volume=other", redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if v, err := other.Volume(ctx); err != nil || v.Name != "other" {
		t.Errorf("settings of %q: %+v, %v", "other", v, err)
	}
	if _, err := redis.Open(ctx, address+"?volume=third", redis.Options{}); !errors.Is(err, meta.ErrNoVolume) {
		t.Errorf("opening what is not there: %v: want ErrNoVolume", err)
	}
	for _, name := range []string{"", "a b", "a{b", strings.Repeat("x", 64)} {
		if _, err := redis.Format(ctx, address, meta.Volume{Name: name}, redis.Options{}); err == nil {
			t.Errorf("a volume can be called %q", name)
		}
	}
}

// A client loads the functions when they are missing, replaces older ones, and leaves
// newer ones alone.
func TestLibraryIsLoadedWhenNeeded(t *testing.T) {
	address := redistest.Start(t)
	e := redistest.Format(t, address, redis.Options{})
	server, ctx := admin(t, address), t.Context()
	if err := server.FunctionFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.GetAttr(ctx, meta.RootIno); err != nil {
		t.Errorf("a question after FUNCTION FLUSH: %v", err)
	}
	if err := server.FunctionFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if err := e.StartSession(ctx, meta.SessionInfo{}); err != nil {
		t.Errorf("a change after FUNCTION FLUSH: %v", err)
	}
	stub := func(revision string) string {
		return "#!lua name=mirrorfs_1\nredis.register_function{function_name='mirrorfs_1_revision', callback=function() return " + revision + " end, flags={'no-writes'}}"
	}
	for revision, replaced := range map[string]bool{"0": true, "1000000": false} {
		if err := server.FunctionLoadReplace(ctx, stub(revision)).Err(); err != nil {
			t.Fatal(err)
		}
		redistest.Open(t, address, redis.Options{})
		_, err := server.FCallRO(ctx, "mirrorfs_1_getattr", []string{"{test}:v"}, "", 1).Result()
		if got := err == nil; got != replaced {
			t.Errorf("a library of revision %s was replaced: %v (%v), want %v", revision, got, err, replaced)
		}
	}
}

// holdingDialer makes connections that hold their answers back while held is not nil.
type holdingDialer struct {
	mu   sync.Mutex
	held chan struct{}
	sent atomic.Int64
}

func (d *holdingDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &holdingConn{Conn: conn, dialer: d}, nil
}

func (d *holdingDialer) hold() (release func()) {
	held := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = held
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.held = nil
		close(held)
	}
}

type holdingConn struct {
	net.Conn
	dialer *holdingDialer
}

func (c *holdingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.dialer.sent.Add(1)
	return n, err
}

func (c *holdingConn) Read(b []byte) (int, error) {
	c.dialer.mu.Lock()
	held := c.dialer.held
	c.dialer.mu.Unlock()
	if held != nil {
		<-held
	}
	return c.Conn.Read(b)
}

// A change that has been sent runs to its end although its caller is interrupted; one that
// has not is not made.
func TestCancelledChangeIsKnown(t *testing.T) {
	address := redistest.Start(t)
	redistest.Format(t, address, redis.Options{})
	var d holdingDialer
	e := redistest.Open(t, address, redis.Options{Dialer: d.dial})
	if err := e.StartSession(t.Context(), meta.SessionInfo{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	release := d.hold()
	sent := d.sent.Load()
	done := make(chan error, 1)
	go func() {
		res, err := e.Change(ctx, newFile(1, "a"))
		if err == nil && res.Node.Ino != 2 {
			err = errors.New("another inode than expected")
		}
		done <- err
	}()
	waitUntil(t, func() bool { return d.sent.Load() > sent })
	cancel()
	release()
	if err := <-done; err != nil {
		t.Errorf("the outcome of a change whose context ended: %v: want success", err)
	}
	if _, err := e.Change(ctx, newFile(1, "b")); !errors.Is(err, syscall.EINTR) || !errors.Is(err, context.Canceled) {
		t.Errorf("a change under an ended context: %v: want EINTR", err)
	}
	if _, err := e.Lookup(t.Context(), 1, "b"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("it was made all the same: %v", err)
	}
}

func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(3 * time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen within three minutes")
		}
	}
}

// A server that does not answer is an error within the time set, and says so.
func TestUnreachableServer(t *testing.T) {
	address := redistest.Start(t)
	redistest.Format(t, address, redis.Options{})
	var down atomic.Bool
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &mutableConn{Conn: conn, down: &down}, nil
	}
	e := redistest.Open(t, address, redis.Options{Dialer: dial, ChangeTimeout: 100 * time.Millisecond, CallTimeout: 10 * time.Millisecond})
	// A busy machine may need longer than that: what has to work is tried again.
	waitUntil(t, func() bool { return e.StartSession(t.Context(), meta.SessionInfo{}) == nil })
	down.Store(true)
	if _, err := e.Change(t.Context(), newFile(1, "a")); !errors.Is(err, meta.ErrUnreachable) || !errors.Is(err, syscall.EIO) {
		t.Errorf("a change: %v: want ErrUnreachable as EIO", err)
	}
	if _, err := e.GetAttr(t.Context(), 1); !errors.Is(err, meta.ErrUnreachable) || !errors.Is(err, syscall.EIO) {
		t.Errorf("a question: %v: want ErrUnreachable as EIO", err)
	}
	down.Store(false)
	waitUntil(t, func() bool {
		_, err := e.Change(t.Context(), newFile(1, "b"))
		return err == nil || errors.Is(err, syscall.EEXIST)
	})
}

// mutableConn swallows what is sent while its link is down.
type mutableConn struct {
	net.Conn
	down *atomic.Bool
}

func (c *mutableConn) Write(b []byte) (int, error) {
	if c.down.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// The same engine goes on when its local server was stopped or killed and started again,
// with all that it had acknowledged.
func TestLocalServerRestarts(t *testing.T) {
	dir, err := os.MkdirTemp("", "mfs") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = local.Stop(context.Background(), dir)
		_ = os.RemoveAll(dir)
	})
	e := redistest.Format(t, "local:"+dir, redis.Options{})
	if err := e.StartSession(t.Context(), meta.SessionInfo{}); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a", "b"} {
		if _, err := e.Change(t.Context(), newFile(1, name)); err != nil {
			t.Fatalf("after %d restarts: %v", i, err)
		}
		before, err := e.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			kill(t, filepath.Join(dir, "redis.pid"))
		} else if err := local.Stop(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if _, err := local.Start(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if after, err := e.State(t.Context()); err != nil || after != before {
			t.Errorf("state after a restart: %+v, %v\nbefore %+v", after, err, before)
		}
	}
	if w, err := e.CheckServer(t.Context()); err != nil || len(w) > 0 {
		t.Errorf("a local server has warnings %v, %v", w, err)
	}
}

// kill ends a process that no one has to be asked about, and waits until it is gone.
func kill(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
}
