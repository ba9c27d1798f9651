package objecttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"mirrorfs/object"
)

func testPutIfAbsent(t *testing.T, s object.Store) {
	if err := s.PutIfAbsent(t.Context(), "x/key", []byte("first")); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "second PutIfAbsent", s.PutIfAbsent(t.Context(), "x/key", []byte("second")), object.ErrExist)
	want(t, s, "x/key", 0, -1, []byte("first"))
	put(t, s, "x/key", []byte("third"))
	wantErr(t, "PutIfAbsent after Put", s.PutIfAbsent(t.Context(), "x/key", []byte("fourth")), object.ErrExist)
	want(t, s, "x/key", 0, -1, []byte("third"))
	put(t, s, "empty", nil)
	wantErr(t, "PutIfAbsent on an empty object", s.PutIfAbsent(t.Context(), "empty", []byte("x")), object.ErrExist)
}

// testPutIfAbsentRace: of several at once exactly one succeeds. One that was told
// to come again (ErrThrottled) does.
func testPutIfAbsentRace(t *testing.T, s object.Store) {
	const writers, rounds = 8, 5
	for round := range rounds {
		key := fmt.Sprintf("race/%d", round)
		var won atomic.Int64
		var winner atomic.Int64
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				err := object.ErrThrottled
				for errors.Is(err, object.ErrThrottled) {
					err = s.PutIfAbsent(t.Context(), key, bytesOf(uint64(w), 3000))
				}
				if err == nil {
					won.Add(1)
					winner.Store(int64(w))
				} else if !errors.Is(err, object.ErrExist) {
					t.Errorf("PutIfAbsent: %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d of %d succeeded", won.Load(), writers)
		}
		want(t, s, key, 0, -1, bytesOf(uint64(winner.Load()), 3000))
	}
}

// testPutRace: readers see one of the objects put, whole, never a part or a mix.
func testPutRace(t *testing.T, s object.Store) {
	versions := [][]byte{bytesOf(1, 300_000), bytesOf(2, 300_000), bytesOf(3, 100_001)}
	put(t, s, "key", versions[0])
	var wg sync.WaitGroup
	for w := range versions {
		wg.Go(func() {
			for range 8 {
				if err := s.Put(t.Context(), "key", versions[w]); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 20 {
				err := object.ErrChanged
				var got []byte
				for errors.Is(err, object.ErrChanged) {
					got, err = read(t.Context(), s, "key", 0, -1)
				}
				if err != nil {
					t.Errorf("Get: %v", err)
				} else if !bytes.Equal(got, versions[0]) && !bytes.Equal(got, versions[1]) && !bytes.Equal(got, versions[2]) {
					t.Errorf("Get gave %d bytes that nobody put", len(got))
				}
			}
		})
	}
	wg.Wait()
}

// testConcurrent: many clients, each with keys of its own in shared directories.
func testConcurrent(t *testing.T, s object.Store) {
	const clients, steps = 8, 40
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(c)))
			if err := work(t.Context(), s, r, c, steps); err != nil {
				t.Errorf("client %d, seed %d: %v", c, seed, err)
			}
		})
	}
	wg.Wait()
}

// work changes and checks random keys against what it remembers.
func work(ctx context.Context, s object.Store, r *rand.Rand, client, steps int) error {
	held := make(map[string][]byte)
	for range steps {
		key := fmt.Sprintf("d%d/c%d-%d", r.IntN(4), client, r.IntN(4))
		data, there := held[key]
		switch r.IntN(4) {
		case 0:
			held[key] = bytesOf(r.Uint64(), r.IntN(20_000))
			if err := s.Put(ctx, key, held[key]); err != nil {
				return err
			}
		case 1:
			fresh := bytesOf(r.Uint64(), r.IntN(20_000))
			err := s.PutIfAbsent(ctx, key, fresh)
			if there != errors.Is(err, object.ErrExist) || err != nil && !there {
				return fmt.Errorf("PutIfAbsent(%s), there before: %t: %w", key, there, err)
			}
			if err == nil {
				held[key] = fresh
			}
		case 2:
			delete(held, key)
			if err := s.Delete(ctx, key); err != nil {
				return err
			}
		case 3:
			got, err := read(ctx, s, key, 0, -1)
			if there != (err == nil) || err != nil && !errors.Is(err, object.ErrNotExist) || !bytes.Equal(got, data) {
				return fmt.Errorf("Get(%s) gave %d bytes, want %d: %w", key, len(got), len(data), err)
			}
		}
	}
	return nil
}

func testEndedContext(t *testing.T, s object.Store) {
	put(t, s, "key", []byte("data"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := read(ctx, s, "key", 0, -1)
	_, headErr := s.Head(ctx, "key")
	_, listErr := s.List(ctx, "", "", 10)
	for what, err := range map[string]error{
		"Put": s.Put(ctx, "new", nil), "PutIfAbsent": s.PutIfAbsent(ctx, "new", nil),
		"Get": getErr, "Head": headErr, "List": listErr, "Delete": s.Delete(ctx, "key"),
	} {
		wantErr(t, what, err, context.Canceled)
	}
	want(t, s, "key", 0, -1, []byte("data"))
}

// testCancelBody: a body may end in the error of its ctx, never too early without.
func testCancelBody(t *testing.T, s object.Store) {
	data := bytesOf(1, 2*block)
	put(t, s, "key", data)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := s.Get(ctx, "key", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(r, head); err != nil || !bytes.Equal(head, data[:1000]) {
		t.Fatalf("first bytes: %v", err)
	}
	cancel()
	rest, err := io.ReadAll(r)
	if !bytes.Equal(rest, data[1000:1000+len(rest)]) {
		t.Error("wrong bytes after cancel")
	}
	if err == nil && len(rest) != len(data)-1000 {
		t.Errorf("%d of %d bytes without an error", len(rest), len(data)-1000)
	}
	if err != nil {
		wantErr(t, "reading after cancel", err, context.Canceled)
	}
}

func testCloseBodyEarly(t *testing.T, s object.Store) {
	data := bytesOf(1, block)
	put(t, s, "key", data)
	for range 20 {
		r, err := s.Get(t.Context(), "key", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want(t, s, "key", 0, -1, data)
}
