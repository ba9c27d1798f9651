package objecttest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mirrorfs/object"
)

// tree has keys whose order differs between bytes of keys and walks of a
// directory: '-', '.' and '+' sort before '/', '0' and letters after it.
func tree() []string {
	var keys []string
	for _, dir := range []string{"a", "a-", "a.b", "a0", "aa", "a+", "b/c", "b-c", "b/c-", "data/1/00", "data/1/ff", "data/10/00"} {
		for _, name := range []string{"1", "10", "1-1", "2", "x.y", "Z"} {
			keys = append(keys, dir+"/"+name)
		}
	}
	long := strings.Repeat("l", 80)
	keys = append(keys, "a-file", "a.file", "a1", "file", "~", long+"/x", long+"-x", long+"0", long[1:], long[2:]+"/y", long+long+"/z")
	slices.Sort(keys)
	return keys
}

func plant(t *testing.T, s object.Store, keys []string) {
	t.Helper()
	for i, key := range keys {
		put(t, s, key, bytesOf(uint64(i), i))
	}
}

func testListOrder(t *testing.T, s object.Store) {
	wantKeys(t, "of an empty store", keysOf(listAll(t, s, "", 10)), nil)
	keys := tree()
	plant(t, s, keys)
	found := listAll(t, s, "", object.MaxListed)
	wantKeys(t, "of all", keysOf(found), keys)
	for i, info := range found {
		if info.Size != int64(i) || info.ModTime.IsZero() {
			t.Errorf("%q: size %d, want %d; time %v", info.Key, info.Size, i, info.ModTime)
		}
	}
	for _, prefix := range []string{"a", "a/", "a/1", "a-", "b/c", "b/c/", "data/1", "data/1/", "none", "a/none", "none/", "data/1/00/1-", "zz", "file/", "file"} {
		var match []string
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) {
				match = append(match, key)
			}
		}
		for _, page := range []int{2, object.MaxListed} {
			wantKeys(t, fmt.Sprintf("of %q in pages of %d", prefix, page), keysOf(listAll(t, s, prefix, page)), match)
		}
	}
}

// testListPages starts after every key, and after strings that are none.
func testListPages(t *testing.T, s object.Store) {
	keys := tree()
	plant(t, s, keys)
	var afters []string
	for _, key := range keys {
		afters = append(afters, key, key+" ", key+"/", key[:len(key)-1])
	}
	afters = append(afters, " ", "/", "zzz", "~~")
	for _, prefix := range []string{"", "a", "b/"} {
		for _, after := range afters {
			var match []string
			for _, key := range keys {
				if object.Listed(key, prefix, after) && len(match) < 3 {
					match = append(match, key)
				}
			}
			found, err := s.List(t.Context(), prefix, after, 3)
			if err != nil {
				t.Fatalf("List(%q, %q): %v", prefix, after, err)
			}
			wantKeys(t, fmt.Sprintf("of %q after %q", prefix, after), keysOf(found), match)
		}
	}
}

// testListBeside: what comes and goes during a listing must not hide the rest.
func testListBeside(t *testing.T, s object.Store) {
	var stay []string
	for i := range 40 {
		stay = append(stay, fmt.Sprintf("k/%02d/stay", i))
		put(t, s, stay[i], nil)
		put(t, s, fmt.Sprintf("k/%02d/go", i), nil)
	}
	var seen []string
	after := ""
	for i := 0; ; i++ {
		found, err := s.List(t.Context(), "k/", after, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range found {
			if strings.HasSuffix(info.Key, "/stay") {
				seen = append(seen, info.Key)
			}
		}
		if len(found) < 5 {
			break
		}
		after = found[4].Key
		for _, key := range []string{after, fmt.Sprintf("k/%02d/go", min(2*i+7, 39))} {
			if strings.HasSuffix(key, "/go") {
				if err := s.Delete(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			}
		}
		put(t, s, fmt.Sprintf("k/%02d/new", i), nil)
	}
	wantKeys(t, "while others change", seen, stay)
}

func testListLimits(t *testing.T, s object.Store) {
	for _, limit := range []int{-1, 0, object.MaxListed + 1} {
		_, err := s.List(t.Context(), "", "", limit)
		wantErr(t, fmt.Sprintf("List with limit %d", limit), err, object.ErrInvalid)
	}
	for i := range 3 {
		put(t, s, fmt.Sprintf("k%d", i), nil)
	}
	for limit := 1; limit <= 4; limit++ {
		found, err := s.List(t.Context(), "", "", limit)
		if err != nil || len(found) != min(limit, 3) {
			t.Errorf("List with limit %d gave %d of 3: %v", limit, len(found), err)
		}
	}
}
