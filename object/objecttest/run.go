package objecttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"mirrorfs/object"
)

// Run runs the whole suite. Open gives a new, empty store for each test and sees
// to its end by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) object.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s object.Store)
	}{
		{"PutGet", testPutGet},
		{"PutReplaces", testPutReplaces},
		{"PutKeepsNoData", testPutKeepsNoData},
		{"Ranges", testRanges},
		{"BadRange", testBadRange},
		{"Missing", testMissing},
		{"Head", testHead},
		{"Delete", testDelete},
		{"BadKeys", testBadKeys},
		{"OddKeys", testOddKeys},
		{"KeyAndDirectory", testKeyAndDirectory},
		{"ListOrder", testListOrder},
		{"ListPages", testListPages},
		{"ListBeside", testListBeside},
		{"ListLimits", testListLimits},
		{"PutIfAbsent", testPutIfAbsent},
		{"PutIfAbsentRace", testPutIfAbsentRace},
		{"PutRace", testPutRace},
		{"Concurrent", testConcurrent},
		{"EndedContext", testEndedContext},
		{"CancelBody", testCancelBody},
		{"CloseBodyEarly", testCloseBodyEarly},
		{"Create", testCreate},
		{"Address", testAddress},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// bytesOf gives n bytes that differ between seeds and repeat nowhere near.
func bytesOf(seed uint64, n int) []byte {
	data := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
	_, _ = src.Read(data) // never fails
	return data
}

func put(t *testing.T, s object.Store, key string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, data); err != nil {
		t.Fatalf("Put(%q, %d bytes): %v", key, len(data), err)
	}
}

func read(ctx context.Context, s object.Store, key string, off, n int64) ([]byte, error) {
	r, err := s.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// want checks that a range reads as the given bytes.
func want(t *testing.T, s object.Store, key string, off, n int64, data []byte) {
	t.Helper()
	got, err := read(t.Context(), s, key, off, n)
	if err != nil {
		t.Fatalf("Get(%q, %d, %d): %v", key, off, n, err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("Get(%q, %d, %d) gave %d bytes that differ from the %d expected", key, off, n, len(got), len(data))
	}
}

func wantErr(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: error %v, want %v", what, err, kind)
	}
}

// listAll pages through a listing.
func listAll(t *testing.T, s object.Store, prefix string, page int) []object.Info {
	t.Helper()
	var all []object.Info
	after := ""
	for {
		found, err := s.List(t.Context(), prefix, after, page)
		if err != nil {
			t.Fatalf("List(%q, %q, %d): %v", prefix, after, page, err)
		}
		all = append(all, found...)
		if len(found) < page {
			return all
		}
		after = found[page-1].Key
	}
}

func keysOf(infos []object.Info) []string {
	keys := make([]string, len(infos))
	for i, info := range infos {
		keys[i] = info.Key
	}
	return keys
}
