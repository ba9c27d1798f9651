package file_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"mirrorfs/object"
	"mirrorfs/object/file"
)

// FuzzNames: a key's path stays below the root, no component is too long, and
// its names lead back to the key.
func FuzzNames(f *testing.F) {
	for _, key := range []string{
		"a", "a/b", "/", "//", "..", "a/../b", ".mirrorfs-tmp", "%", "%_", "%+", "ü",
		strings.Repeat("x", 79), strings.Repeat("x", 80), strings.Repeat("x", 160), strings.Repeat("x", 161) + "/y", strings.Repeat("\x7f", 1024),
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if object.CheckKey(key) != nil || !utf8.ValidString(key) {
			t.Skip()
		}
		names := strings.Split(file.RelPath(key), "/")
		var back strings.Builder
		for i, name := range names {
			if len(name) == 0 || len(name) > 255 || name == "." || name == ".." || name == ".mirrorfs-tmp" || strings.ContainsRune(name, 0) {
				t.Fatalf("%q has the name %q", key, name)
			}
			text, more, ok := file.ParseName(name)
			if !ok {
				t.Fatalf("%q has the name %q, which does not lead back", key, name)
			}
			back.WriteString(text)
			if !more && i < len(names)-1 {
				back.WriteByte('/')
			}
		}
		if back.String() != key {
			t.Fatalf("%q came back as %q", key, back.String())
		}
	})
}

// FuzzOrder: a walk that visits names by their key, directories with a slash,
// visits keys in order.
func FuzzOrder(f *testing.F) {
	f.Add("a/b", "a-b", "a0")
	f.Add(strings.Repeat("x", 80)+"/a", strings.Repeat("x", 80)+"-a", strings.Repeat("x", 80))
	f.Fuzz(func(t *testing.T, a, b, c string) {
		keys := []string{a, b, c}
		for _, key := range keys {
			if object.CheckKey(key) != nil {
				t.Skip()
			}
		}
		slices.Sort(keys)
		var paths [][]string
		for _, key := range keys {
			paths = append(paths, sortable(file.RelPath(key)))
		}
		if !slices.IsSortedFunc(paths, slices.Compare[[]string]) {
			t.Errorf("keys %q have paths %q", keys, paths)
		}
	})
}

// sortable is a path as List compares it, component by component.
func sortable(path string) []string {
	names := strings.Split(path, "/")
	for i, name := range names {
		text, more, _ := file.ParseName(name)
		if !more && i < len(names)-1 {
			text += "/"
		}
		names[i] = text
	}
	return names
}

// TestOrder is FuzzOrder on keys of the kinds that matter: components around the
// length of a piece, and what sorts around a slash.
func TestOrder(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	parts := []string{strings.Repeat("x", 79), strings.Repeat("x", 80), strings.Repeat("x", 81), "x", "-", "/", "0", "ü", "%"}
	var keys []string
	for range 20_000 {
		var key strings.Builder
		for range 1 + r.IntN(6) {
			key.WriteString(parts[r.IntN(len(parts))])
		}
		keys = append(keys, key.String())
	}
	slices.Sort(keys)
	var before []string
	for _, key := range slices.Compact(keys) {
		path := sortable(file.RelPath(key))
		if slices.Compare(before, path) >= 0 {
			t.Fatalf("seed %d: %q comes before %q, and the key %q after that one's", seed, path, before, key)
		}
		before = path
	}
}
