package objecttest

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"mirrorfs/object"
)

// Opener opens a store's bucket at a server's address, host:port: always the same
// bucket, with no connection made yet, closed when the test ends.
type Opener func(t *testing.T, address string) object.Store

// RunCut tests a store over a network: what it does when connections to server,
// a host:port, end in the middle of answers, and whether it uses them again when
// they do not. The store is a Creator.
func RunCut(t *testing.T, server string, open Opener) {
	t.Helper()
	c, ok := object.As[object.Creator](open(t, server))
	if !ok {
		t.Fatal("no Creator")
	}
	if err := c.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("Body", func(t *testing.T) { testCutBody(t, server, open) })
	t.Run("PutIfAbsent", func(t *testing.T) { testCutPutIfAbsent(t, server, open) })
	t.Run("ConnectionsAreKept", func(t *testing.T) { testConnectionsAreKept(t, server, open) })
}

// testCutBody: wherever the connection ends, reading fails, and a retry reads on.
func testCutBody(t *testing.T, server string, open Opener) {
	direct := open(t, server)
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	if err := direct.Put(t.Context(), "key", data); err != nil {
		t.Fatal(err)
	}
	c := newCutter(t, server)
	for _, limit := range []int{0, 1, 100, 1000, 5000, 500_000, len(data)} { // the last: the head is longer than nothing
		s := open(t, c.address())
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
	s := open(t, c.address())
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

// testCutPutIfAbsent: the answer is lost after the object was made.
func testCutPutIfAbsent(t *testing.T, server string, open Opener) {
	c := newCutter(t, server)
	s := open(t, c.address())
	c.next(10, 10, 10)
	retry := object.WithRetry(s, object.RetryOptions{FirstPause: time.Microsecond})
	if err := retry.PutIfAbsent(t.Context(), "absent", []byte("mine")); err != nil {
		t.Error(err)
	}
	if c.connections() < 4 {
		t.Errorf("only %d connections: nothing was cut", c.connections())
	}
	if err := retry.PutIfAbsent(t.Context(), "absent", []byte("other")); !errors.Is(err, object.ErrExist) {
		t.Errorf("second: %v", err)
	}
}

// testConnectionsAreKept: connections are used again instead of made for each
// request, also when a reader takes exactly the bytes that it asked for and no
// EOF. Each client first holds one, so that none is still being dialled: from then
// on, not one more is made.
func testConnectionsAreKept(t *testing.T, server string, open Opener) {
	c := newCutter(t, server)
	s := object.WithRetry(open(t, c.address()), object.RetryOptions{})
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
