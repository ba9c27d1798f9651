package gateway_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mirrorfs/gateway"
	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/meta"
	"mirrorfs/meta/redis/redistest"
)

// expect is what a listing must give of all keys of a bucket: keys, and common prefixes in their place with a
// star before.
func expect(all []string, prefix, delimiter, after string) []string {
	var out []string
	for _, k := range all {
		if !strings.HasPrefix(k, prefix) || k <= after {
			continue
		}
		if delimiter != "" {
			if i := strings.Index(k[len(prefix):], delimiter); i >= 0 {
				k = "*" + k[:len(prefix)+i+len(delimiter)]
			}
		}
		if len(out) == 0 || out[len(out)-1] != k {
			out = append(out, k)
		}
	}
	return out
}

// listed goes through all pages of a listing.
func listed(t testing.TB, g gateway.API, r gateway.ListRequest) []string {
	t.Helper()
	var out []string
	for {
		page, err := g.List(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var items []string
		for _, k := range page.Keys {
			items = append(items, k.Key)
		}
		for _, p := range page.Prefixes {
			items = append(items, "*"+p)
		}
		slices.SortFunc(items, func(a, b string) int {
			return strings.Compare(strings.TrimPrefix(a, "*"), strings.TrimPrefix(b, "*"))
		})
		if len(items) > r.Max || page.More && len(items) < r.Max {
			t.Fatalf("a page of %d of %d, more: %v", len(items), r.Max, page.More)
		}
		if n := len(items); page.More && strings.TrimPrefix(items[n-1], "*") != page.Last {
			t.Fatalf("the last is %s, told is %s", items[n-1], page.Last)
		}
		out = append(out, items...)
		if !page.More {
			return out
		}
		r.After, r.AfterPrefix = page.Last, page.LastPrefix
	}
}

func TestListIsInByteOrderOfKeys(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	all := []string{"a!", "a!b/c", "a-b", "a.b/c", "a/", "a/!", "a/x-/y", "a/x/y", "a0", "ab", "b/c/d/e"}
	for _, k := range all {
		put(t, g, k, "")
	}
	for _, delimiter := range []string{"", "/"} {
		got := listed(t, g, gateway.ListRequest{Bucket: bucket, Delimiter: delimiter, Max: 1})
		if want := expect(all, "", delimiter, ""); !slices.Equal(got, want) {
			t.Errorf("delimiter %q:\n got %q\nwant %q", delimiter, got, want)
		}
	}
}

// TestListRandomTrees compares listings of random trees with sorted lists of their keys.
func TestListRandomTrees(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("MIRRORFS_SEED"), 10, 64); err == nil {
		seed = s
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	rounds := 4
	if os.Getenv("MIRRORFS_LONG") != "" {
		rounds = 200
	}
	for round := range rounds {
		opts, keys := gatewaytest.Options{}, 150
		if round == 0 {
			opts.Engine, keys = redistest.New(t), 40
		}
		if !randomTree(t, gatewaytest.New(t, opts), rnd, keys) {
			t.Fatalf("replay: MIRRORFS_SEED=%d go test ./gateway -run %s", seed, t.Name())
		}
	}
}

func randomTree(t *testing.T, g gateway.API, rnd *rand.Rand, n int) bool {
	// Few characters, on both sides of the slash, so that names begin alike.
	component := func() string {
		b := make([]byte, 1+rnd.IntN(3))
		for i := range b {
			b[i] = "!-.0ab\xff"[rnd.IntN(7)]
		}
		if s := string(b); s != "." && s != ".." {
			return s
		}
		return "x"
	}
	randomKey := func() string {
		parts := make([]string, 1+rnd.IntN(4))
		for i := range parts {
			parts[i] = component()
		}
		k := strings.Join(parts, "/")
		if rnd.IntN(8) == 0 {
			k += "/"
		}
		return k
	}
	keys := map[string]bool{}
	for range n {
		k := randomKey()
		_, err := g.Put(t.Context(), gateway.PutRequest{Name: key(k), Content: content(nil)})
		switch kind := gateway.KindOf(err); {
		case err == nil:
			keys[k] = true
		case kind != gateway.IsDirectory && kind != gateway.ParentIsFile:
			t.Errorf("put %q: %v", k, err)
			return false
		}
	}
	var all []string
	for k := range keys {
		all = append(all, k)
	}
	slices.Sort(all)
	for range n / 2 {
		r := gateway.ListRequest{Bucket: bucket, Max: 1 + rnd.IntN(20)}
		r.Delimiter = []string{"", "/", "/", "-", "a/", "!"}[rnd.IntN(6)]
		if rnd.IntN(2) == 0 {
			k := all[rnd.IntN(len(all))]
			r.Prefix = k[:rnd.IntN(len(k)+1)]
		}
		switch rnd.IntN(3) {
		case 0:
			r.After = randomKey()
		case 1:
			k := all[rnd.IntN(len(all))]
			r.After = k[:rnd.IntN(len(k)+1)]
		}
		want := expect(all, r.Prefix, r.Delimiter, r.After)
		if got := listed(t, g, r); !slices.Equal(got, want) {
			t.Errorf("%+v:\n got %q\nwant %q\nof %q", r, got, want, all)
			return false
		}
	}
	return true
}

// TestListOfALargeDirectory is about a directory of many pages in the metadata server.
func TestListOfALargeDirectory(t *testing.T) {
	n := 1500
	if os.Getenv("MIRRORFS_LONG") != "" {
		n = 100_000
	}
	g := gatewaytest.New(t, gatewaytest.Options{Engine: redistest.New(t)})
	put(t, g, "dir/", "")
	dir, err := g.FS.Lookup(t.Context(), g.FS.Root(), "dir")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := g.FS.Make(t.Context(), meta.Make{Parent: dir.Ino, Name: fmt.Sprintf("%07d", i), Mode: meta.TypeFile | 0o644}); err != nil {
			t.Fatal(err)
		}
	}
	got := listed(t, g, gateway.ListRequest{Bucket: bucket, Prefix: "dir/", Max: 1000})
	if len(got) != n+1 || !slices.IsSorted(got) {
		t.Errorf("%d keys, sorted: %v", len(got), slices.IsSorted(got))
	}
}
