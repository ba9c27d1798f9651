package objecttest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mirrorfs/object"
)

// odd are keys that must work, or be refused as invalid when put.
func odd() []string {
	keys := []string{
		".", "..", "...", "a/.", "a/..", "./a", "../a", "a/./b", "a/../b", "../../../../etc/passwd",
		"/", "//", "/a", "a/", "a//b", "a/b/", ".hidden", ".mirrorfs-tmp", ".mirrorfs-tmp/x", "x/.mirrorfs-tmp",
		"%", "%41", "%_", "%+", "%2E", "a%+/b", "%/%", "A", "Aa", "aA",
		" ", " a", "a ", "a b", "\x7f", "\u0080",
		"a\\b", "a:b", "a*b", "a?b", "a#b", "a&b", "a+b", "a=b", "a;b", `a"b`, "a'b", "a<b>", "a|b", "{a}", "[a]", "~",
		"ü", "日本語", "𝄞", "é", "e\u0301", "\ufeff", "\ufffd", "a\u2028b", "\U0010ffff",
		"con", "nul.txt", "trailing.", "xattr@x", "?versionId=1", "a?b=c&d", "@", "$", "^", "`",
		strings.Repeat("x", object.MaxKeyBytes),
		strings.Repeat("\x7f", object.MaxKeyBytes),
		strings.Repeat("ü", object.MaxKeyBytes/2),
		strings.Repeat("y/", object.MaxKeyBytes/2-1) + "yy",
		strings.Repeat("/", object.MaxKeyBytes),
	}
	// The lengths around which a file system's name ends.
	for _, n := range []int{79, 80, 81, 159, 160, 161, 254, 255, 256} {
		keys = append(keys, strings.Repeat("n", n), strings.Repeat("m", n)+"/o", strings.Repeat("m", n)+"-o")
	}
	return keys
}

func testBadKeys(t *testing.T, s object.Store) {
	for _, key := range []string{"", strings.Repeat("x", object.MaxKeyBytes+1), "\xff", "a\xc3", "\x00", "a\x00b", "a\n", "\r", "\uffff"} {
		wantErr(t, "Put", s.Put(t.Context(), key, nil), object.ErrInvalid)
		wantErr(t, "PutIfAbsent", s.PutIfAbsent(t.Context(), key, nil), object.ErrInvalid)
		_, err := read(t.Context(), s, key, 0, -1)
		wantErr(t, "Get", err, object.ErrInvalid)
		_, err = s.Head(t.Context(), key)
		wantErr(t, "Head", err, object.ErrInvalid)
		wantErr(t, "Delete", s.Delete(t.Context(), key), object.ErrInvalid)
	}
}

func testOddKeys(t *testing.T, s object.Store) {
	var held []string
	for i, key := range odd() {
		err := s.Put(t.Context(), key, bytesOf(uint64(i), 100+i))
		if errors.Is(err, object.ErrInvalid) {
			t.Logf("refused as invalid: %.60q", key)
			// A server may make a long key and yet not replace it: then the object of a
			// request whose answer was lost is there, and must be whole.
			if _, err := s.Head(t.Context(), key); err == nil {
				held = append(held, key)
			}
			continue
		}
		if err != nil {
			t.Errorf("Put(%.60q): %v", key, err)
			continue
		}
		held = append(held, key)
	}
	for i, key := range odd() {
		if !slices.Contains(held, key) {
			continue
		}
		want(t, s, key, 0, -1, bytesOf(uint64(i), 100+i))
		info, err := s.Head(t.Context(), key)
		if err != nil || info.Key != key || info.Size != int64(100+i) {
			t.Errorf("Head(%.60q) = %.60q, %d bytes, %v", key, info.Key, info.Size, err)
		}
	}
	slices.Sort(held)
	for _, page := range []int{1, 7, object.MaxListed} {
		wantKeys(t, fmt.Sprintf("in pages of %d", page), keysOf(listAll(t, s, "", page)), held)
	}
	for _, key := range held {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%.60q): %v", key, err)
		}
	}
	wantKeys(t, "after deleting all", keysOf(listAll(t, s, "", 10)), nil)
}

// testKeyAndDirectory: a store may hold both "a" and "a/b", or refuse the second
// as invalid; it must not harm the first, nor refuse it once that is gone.
func testKeyAndDirectory(t *testing.T, s object.Store) {
	for _, keys := range [][2]string{{"a", "a/b/c"}, {"d/e/f", "d/e"}} {
		put(t, s, keys[0], []byte("first"))
		if err := s.Put(t.Context(), keys[1], []byte("second")); err != nil {
			wantErr(t, "Put of "+keys[1], err, object.ErrInvalid)
			wantErr(t, "PutIfAbsent of "+keys[1], s.PutIfAbsent(t.Context(), keys[1], nil), object.ErrInvalid)
			_, err = read(t.Context(), s, keys[1], 0, -1)
			wantErr(t, "Get of "+keys[1], err, object.ErrNotExist)
		} else {
			want(t, s, keys[1], 0, -1, []byte("second"))
		}
		want(t, s, keys[0], 0, -1, []byte("first"))
		if err := s.Delete(t.Context(), keys[0]); err != nil {
			t.Fatal(err)
		}
		put(t, s, keys[1], []byte("third"))
		want(t, s, keys[1], 0, -1, []byte("third"))
	}
}

func wantKeys(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		g, w := "(end)", "(end)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("list %s: %d keys, want %d; the first that differs is number %d: %.80q, want %.80q",
				what, len(got), len(want), i, g, w)
			return
		}
	}
}
