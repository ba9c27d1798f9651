package gateway_test

import (
	"strings"
	"testing"

	"mirrorfs/gateway"
	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/meta"
)

func TestKeysThatNoObjectCanHave(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	put(t, g, "a/file", "x")
	long := strings.Repeat("n", meta.MaxNameBytes)
	for _, c := range []struct {
		key  string
		want gateway.Kind
	}{
		{"", gateway.InvalidKey},
		{"/", gateway.InvalidKey},
		{"/a", gateway.InvalidKey},
		{"a//b", gateway.InvalidKey},
		{"a//", gateway.InvalidKey},
		{".", gateway.InvalidKey},
		{"./a", gateway.InvalidKey},
		{"a/..", gateway.InvalidKey},
		{"../x", gateway.InvalidKey},
		{"a/../../x", gateway.InvalidKey},
		{"a\x00b", gateway.InvalidKey},
		{".mirrorfs-gateway/tmp/x", gateway.InvalidKey},
		{long + "n", gateway.KeyTooLong},
		{"a/" + long + "n/b", gateway.KeyTooLong},
		{strings.Repeat(long+"/", 4) + "n", gateway.KeyTooLong},
		{"a", gateway.IsDirectory},
		{"a/file/b", gateway.ParentIsFile},
		{"a/file/", gateway.ParentIsFile},
	} {
		_, err := g.Put(t.Context(), gateway.PutRequest{Name: key(c.key), Content: content(nil)})
		fails(t, err, c.want)
		if gateway.KindOf(err) != c.want {
			t.Errorf("of key %q", c.key)
		}
		_, err = g.Head(t.Context(), gateway.GetRequest{Name: key(c.key)})
		fails(t, err, gateway.NoSuchKey)
		if err := g.Delete(t.Context(), gateway.DeleteRequest{Name: key(c.key)}); err != nil {
			t.Errorf("delete %q: %v", c.key, err)
		}
	}
	for _, k := range []string{"a/" + long, strings.Repeat("d/", 500) + "f", "...", "..a", " ", "a/\xff", "ü", ".mirrorfs-gateway.x"} {
		put(t, g, k, k)
		if got := get(t, g, gateway.GetRequest{Name: key(k)}); got != k {
			t.Errorf("%q holds %q", k, got)
		}
	}
}

func TestDirectoriesAsObjects(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	put(t, g, "made/", "")
	put(t, g, "a/b/c", "x")
	_, err := g.Put(t.Context(), gateway.PutRequest{Name: key("full/"), Content: content([]byte("x"))})
	fails(t, err, gateway.DirectoryHasData)
	if _, err := g.Head(t.Context(), gateway.GetRequest{Name: key("made/")}); err != nil {
		t.Error(err)
	}
	for _, k := range []string{"a/b/", "a/", "made", "a/b/c/"} {
		_, err := g.Head(t.Context(), gateway.GetRequest{Name: key(k)})
		fails(t, err, gateway.NoSuchKey)
	}
	put(t, g, "made/x/y", "")
	for _, k := range []string{"made/", "made/x/y", "a/b/c"} {
		if err := g.Delete(t.Context(), gateway.DeleteRequest{Name: key(k)}); err != nil {
			t.Error(err)
		}
	}
	// Nothing is left: neither the directory that was an object and had something in it, nor those above.
	nodes, err := g.FS.ReadDir(t.Context(), g.FS.Root(), "", 10)
	if err != nil || len(nodes.Entries) != 1 {
		t.Errorf("%+v, %v: want the hidden directory only", nodes.Entries, err)
	}
}

func TestDeleteKeepsDirectoriesThatAreObjects(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	put(t, g, "keep/", "")
	put(t, g, "keep/a/b/c", "x")
	if err := g.Delete(t.Context(), gateway.DeleteRequest{Name: key("keep/a/b/c")}); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, g, gateway.ListRequest{Bucket: bucket, Max: 10}); len(got) != 1 || got[0] != "keep/" {
		t.Errorf("listed %q", got)
	}
	if _, err := g.FS.Resolve(t.Context(), g.FS.Root(), "keep/a"); err == nil {
		t.Error("an empty directory is left")
	}
}

func TestBuckets(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{Dirs: true})
	ctx := t.Context()
	for _, name := range []string{"b-one", "b-two"} {
		if err := g.MakeBucket(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	fails(t, g.MakeBucket(ctx, "b-one"), gateway.BucketExists)
	fails(t, g.MakeBucket(ctx, "No"), gateway.InvalidBucketName)
	fails(t, g.RemoveBucket(ctx, "none"), gateway.NoSuchBucket)
	n := gateway.Name{Bucket: "b-one", Key: "a/b"}
	if _, err := g.Put(ctx, gateway.PutRequest{Name: n, Content: content([]byte("1"))}); err != nil {
		t.Fatal(err)
	}
	_, err := g.Put(ctx, gateway.PutRequest{Name: gateway.Name{Bucket: "none", Key: "a"}, Content: content(nil)})
	fails(t, err, gateway.NoSuchBucket)
	_, err = g.List(ctx, gateway.ListRequest{Bucket: "none", Max: 1})
	fails(t, err, gateway.NoSuchBucket)
	fails(t, g.RemoveBucket(ctx, "b-one"), gateway.BucketNotEmpty)
	if err := g.RemoveBucket(ctx, "b-two"); err != nil {
		t.Error(err)
	}
	if err := g.Delete(ctx, gateway.DeleteRequest{Name: n}); err != nil {
		t.Error(err)
	}
	all, err := g.Buckets(ctx)
	if err != nil || len(all) != 1 || all[0].Name != "b-one" {
		t.Errorf("buckets %v, %v: a bucket stays when its last object goes", all, err)
	}
}
