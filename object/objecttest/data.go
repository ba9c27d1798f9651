package objecttest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"mirrorfs/object"
)

const block = 4 << 20 // the unit of package chunk

func testPutGet(t *testing.T, s object.Store) {
	for i, size := range []int{0, 1, 4095, 4096, 65537, block, block + 64, 2*block + 1} {
		key := fmt.Sprintf("size/%d", size)
		data := bytesOf(uint64(i), size)
		put(t, s, key, data)
		want(t, s, key, 0, -1, data)
	}
}

func testPutReplaces(t *testing.T, s object.Store) {
	for i, size := range []int{100, 5000, 10, 0, 10} {
		data := bytesOf(uint64(i), size)
		put(t, s, "a/key", data)
		want(t, s, "a/key", 0, -1, data)
	}
}

func testPutKeepsNoData(t *testing.T, s object.Store) {
	data := bytesOf(1, 5000)
	kept := bytes.Clone(data)
	put(t, s, "key", data)
	clear(data)
	want(t, s, "key", 0, -1, kept)
}

func testRanges(t *testing.T, s object.Store) {
	const size = 100_000
	data := bytesOf(1, size)
	put(t, s, "key", data)
	for _, off := range []int64{0, 1, 4096, size - 1, size, size + 1, 10 * size} {
		for _, n := range []int64{-1, 0, 1, 4096, size - 1, size, size + 1, 10 * size} {
			from, to := min(off, size), int64(size)
			if n >= 0 {
				to = min(off+n, size)
			}
			want(t, s, "key", off, n, data[from:to])
		}
	}
	put(t, s, "empty", nil)
	for _, off := range []int64{0, 1} {
		for _, n := range []int64{-1, 0, 1} {
			want(t, s, "empty", off, n, nil)
		}
	}
}

func testBadRange(t *testing.T, s object.Store) {
	put(t, s, "key", []byte("data"))
	_, err := read(t.Context(), s, "key", -1, 1)
	wantErr(t, "negative offset", err, object.ErrInvalid)
	_, err = read(t.Context(), s, "key", 5, math.MaxInt64)
	wantErr(t, "range past 2^63", err, object.ErrInvalid)
}

func testMissing(t *testing.T, s object.Store) {
	put(t, s, "dir/other", []byte("data"))
	for _, key := range []string{"none", "dir", "dir/", "dir/none", "dir/other/none", "dir/other2", "none/none"} {
		for _, n := range []int64{-1, 0, 1} {
			_, err := read(t.Context(), s, key, 0, n)
			wantErr(t, "Get of "+key, err, object.ErrNotExist)
		}
		_, err := s.Head(t.Context(), key)
		wantErr(t, "Head of "+key, err, object.ErrNotExist)
		if errno := syscall.Errno(0); errors.As(err, &errno) {
			t.Errorf("error %v shows the errno %v, which could pass for a volume's", err, errno)
		}
		if err != nil && !strings.Contains(err.Error(), key) {
			t.Errorf("error %q does not name the key %q", err, key)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete of a missing %q: %v", key, err)
		}
	}
	want(t, s, "dir/other", 0, -1, []byte("data"))
}

func testHead(t *testing.T, s object.Store) {
	before := time.Now().Add(-2 * time.Second) // stores may cut off fractions
	put(t, s, "a/key", bytesOf(1, 1234))
	first, err := s.Head(t.Context(), "a/key")
	if err != nil {
		t.Fatal(err)
	}
	if first.Key != "a/key" || first.Size != 1234 {
		t.Errorf("Head gave key %q and size %d", first.Key, first.Size)
	}
	if first.ModTime.Before(before) || first.ModTime.After(time.Now().Add(2*time.Second)) {
		t.Errorf("Head gave time %v, now is %v", first.ModTime, time.Now())
	}
	if strings.Contains(first.ETag, `"`) {
		t.Errorf("ETag %s has quotes", first.ETag)
	}
	put(t, s, "a/key", bytesOf(2, 99))
	second, err := s.Head(t.Context(), "a/key")
	if err != nil {
		t.Fatal(err)
	}
	if second.Size != 99 || first.ETag != "" && first.ETag == second.ETag {
		t.Errorf("after another Put: size %d, ETag %s, before %s", second.Size, second.ETag, first.ETag)
	}
	if found := listAll(t, s, "", 10); len(found) != 1 || found[0].Key != second.Key ||
		found[0].Size != second.Size || found[0].ETag != second.ETag {
		t.Errorf("List gave %+v, Head %+v", found, second)
	}
}

func testDelete(t *testing.T, s object.Store) {
	put(t, s, "d/a", []byte("1"))
	put(t, s, "d/b", []byte("2"))
	for range 2 {
		if err := s.Delete(t.Context(), "d/a"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := read(t.Context(), s, "d/a", 0, -1)
	wantErr(t, "Get after Delete", err, object.ErrNotExist)
	want(t, s, "d/b", 0, -1, []byte("2"))
	if keys := keysOf(listAll(t, s, "", 10)); len(keys) != 1 || keys[0] != "d/b" {
		t.Errorf("after Delete the keys are %q", keys)
	}
	if err := s.PutIfAbsent(t.Context(), "d/a", []byte("3")); err != nil {
		t.Errorf("PutIfAbsent after Delete: %v", err)
	}
}

func testCreate(t *testing.T, s object.Store) {
	c, ok := object.As[object.Creator](s)
	if !ok {
		t.Skip("the store makes no buckets")
	}
	put(t, s, "key", []byte("data"))
	for range 2 {
		if err := c.Create(t.Context()); err != nil {
			t.Fatalf("Create of a bucket that exists: %v", err)
		}
	}
	want(t, s, "key", 0, -1, []byte("data"))
}

func testAddress(t *testing.T, s object.Store) {
	if !strings.Contains(s.String(), "://") {
		t.Errorf("address %q has no scheme", s)
	}
}
