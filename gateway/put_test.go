package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"mirrorfs/gateway"
	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/meta"
)

func TestConditions(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	info := put(t, g, "k", "body")
	hour := time.Hour
	before, after := info.Modified.Add(-hour), info.Modified.Add(hour)
	etag, other, quoted, star, list := info.ETag, "0123-1", `"`+info.ETag+`"`, "*", `"x", "`+info.ETag+`"`
	none := gateway.Kind(255)
	for i, c := range []struct {
		gateway.Conditions
		want gateway.Kind
	}{
		{gateway.Conditions{IfMatch: &etag}, none},
		{gateway.Conditions{IfMatch: &quoted}, none},
		{gateway.Conditions{IfMatch: &list}, none},
		{gateway.Conditions{IfMatch: &star}, none},
		{gateway.Conditions{IfMatch: &other}, gateway.PreconditionFailed},
		{gateway.Conditions{IfNoneMatch: &etag}, gateway.NotModified},
		{gateway.Conditions{IfNoneMatch: &star}, gateway.NotModified},
		{gateway.Conditions{IfNoneMatch: &other}, none},
		{gateway.Conditions{IfModifiedSince: &before}, none},
		{gateway.Conditions{IfModifiedSince: &after}, gateway.NotModified},
		{gateway.Conditions{IfUnmodifiedSince: &before}, gateway.PreconditionFailed},
		{gateway.Conditions{IfUnmodifiedSince: &after}, none},
		{gateway.Conditions{IfMatch: &etag, IfUnmodifiedSince: &before}, none},
		{gateway.Conditions{IfNoneMatch: &other, IfModifiedSince: &after}, none},
	} {
		_, err := g.Head(t.Context(), gateway.GetRequest{Name: key("k"), Conditions: c.Conditions})
		if c.want == none && err != nil || c.want != none && gateway.KindOf(err) != c.want {
			t.Errorf("condition %d: %v", i, err)
		}
	}
	write := func(k string, c gateway.Conditions) error {
		_, err := g.Put(t.Context(), gateway.PutRequest{Name: key(k), Conditions: c, Content: content([]byte("new"))})
		return err
	}
	fails(t, write("k", gateway.Conditions{IfNoneMatch: &star}), gateway.PreconditionFailed)
	fails(t, write("k", gateway.Conditions{IfMatch: &other}), gateway.PreconditionFailed)
	fails(t, write("none", gateway.Conditions{IfMatch: &etag}), gateway.NoSuchKey)
	fails(t, write("k", gateway.Conditions{IfNoneMatch: &etag}), gateway.NotImplemented)
	if err := write("new", gateway.Conditions{IfNoneMatch: &star}); err != nil {
		t.Error(err)
	}
	if err := write("k", gateway.Conditions{IfMatch: &etag}); err != nil {
		t.Error(err)
	}
}

func TestRanges(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{Disk: true})
	body := strings.Repeat("0123456789", 250_000) // 2.5 MB: three blocks
	put(t, g, "k", body)
	put(t, g, "empty", "")
	n := len(body)
	for _, c := range []struct {
		header  string
		off, to int
		partial bool
	}{
		{"bytes=0-9", 0, 10, true},
		{"bytes=1048570-1048585", 1048570, 1048586, true},
		{"bytes=2499999-", n - 1, n, true},
		{"bytes=-5", n - 5, n, true},
		{"bytes=-99999999999999999999", 0, n, true},
		{"bytes=5-99999999999999999999", 5, n, true},
		{"bytes=9-5", 0, n, false},
		{"bytes=0-1,3-4", 0, n, false},
		{"bytes=a-", 0, n, false},
		{"lines=0-1", 0, n, false},
		{"bytes=-", 0, n, false},
	} {
		r := gateway.GetRequest{Name: key("k"), Range: c.header}
		if got := get(t, g, r); got != body[c.off:c.to] {
			t.Errorf("%s: %d bytes, want %d", c.header, len(got), c.to-c.off)
		}
		if o, err := g.Head(t.Context(), r); err != nil || o.Partial != c.partial {
			t.Errorf("%s: partial %v, %v", c.header, o.Partial, err)
		}
	}
	for _, r := range []gateway.GetRequest{{Name: key("k"), Range: "bytes=2500000-"}, {Name: key("k"), Range: "bytes=-0"}, {Name: key("empty"), Range: "bytes=0-"}} {
		_, err := g.Get(t.Context(), r)
		fails(t, err, gateway.InvalidRange)
	}
}

// TestAnObjectAppearsWholeOrNotAtAll has bodies that end early, fail, or are too long.
func TestAnObjectAppearsWholeOrNotAtAll(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	put(t, g, "k", "old")
	broken := errors.New("broken")
	for _, c := range []struct {
		gateway.Content
		want gateway.Kind
	}{
		{gateway.Content{Body: strings.NewReader("abc"), Size: 4}, gateway.IncompleteBody},
		{gateway.Content{Body: strings.NewReader("abcde"), Size: 4}, gateway.IncompleteBody},
		{gateway.Content{Body: io.MultiReader(strings.NewReader("abcd"), failing{broken}), Size: 4}, gateway.BadBody},
		{gateway.Content{Body: strings.NewReader(""), Size: gateway.MaxPutBytes + 1}, gateway.TooLarge},
	} {
		_, err := g.Put(t.Context(), gateway.PutRequest{Name: key("k"), Content: c.Content})
		fails(t, err, c.want)
		if c.want == gateway.BadBody && !errors.Is(err, broken) {
			t.Errorf("%v: the cause is lost", err)
		}
	}
	if got := get(t, g, gateway.GetRequest{Name: key("k")}); got != "old" {
		t.Errorf("the object is %q", got)
	}
	left(t, g, 0)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// left checks how many hidden files there are.
func left(t *testing.T, g *gatewaytest.Rig, want int) {
	t.Helper()
	nodes, err := g.FS.Resolve(t.Context(), g.FS.Root(), ".mirrorfs-gateway/tmp")
	if err != nil {
		t.Fatal(err)
	}
	page, err := g.FS.ReadDir(t.Context(), nodes[len(nodes)-1].Ino, "", 100)
	if err != nil || len(page.Entries) != want {
		t.Errorf("%d hidden files, want %d: %v", len(page.Entries), want, err)
	}
}

// TestReadersFinishWithTheOldBytes replaces an object that is being read.
func TestReadersFinishWithTheOldBytes(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	body := bytes.Repeat([]byte("old."), 3<<20) // 12 MiB: more than is looked up at once
	put(t, g, "k", string(body))
	o, err := g.Get(t.Context(), gateway.GetRequest{Name: key("k")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Body.Close() }()
	put(t, g, "k", "new")
	got, err := io.ReadAll(o.Body)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestWritersAndReadersOfOneKey: nobody ever sees a mixture of two writers' bytes.
func TestWritersAndReadersOfOneKey(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{Disk: true, BlockBytes: 64 << 10})
	const each, size = 4, 150_000
	body := func(i int) string { return strings.Repeat(strconv.Itoa(1000+i), size/4) }
	put(t, g, "k", body(0))
	var etags sync.Map // ETag to body
	var group errgroup.Group
	for w := range 32 {
		group.Go(func() error {
			for i := range each {
				b := body(w*each + i)
				info, err := g.Put(t.Context(), gateway.PutRequest{Name: key("k"), Content: content([]byte(b))})
				if err != nil {
					return err
				}
				if old, twice := etags.Swap(info.ETag, b); twice && old != b {
					t.Errorf("two objects have the ETag %s", info.ETag)
				}
			}
			return nil
		})
		group.Go(func() error {
			for range each {
				o, err := g.Get(t.Context(), gateway.GetRequest{Name: key("k")})
				if err != nil {
					return err
				}
				b, err := io.ReadAll(o.Body)
				_ = o.Body.Close()
				if err != nil {
					return err
				}
				if len(b) != size || string(b) != strings.Repeat(string(b[:4]), size/4) {
					t.Errorf("a torn object of %d bytes", len(b))
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	left(t, g, 0)
}

// TestOneOfManyMakesTheObject has many clients make an object that must not be there.
func TestOneOfManyMakesTheObject(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	star := "*"
	made := make(chan int, 16)
	var group errgroup.Group
	for i := range 16 {
		group.Go(func() error {
			_, err := g.Put(t.Context(), gateway.PutRequest{
				Name: key("a/lock"), Conditions: gateway.Conditions{IfNoneMatch: &star}, Content: content([]byte(strconv.Itoa(i))),
			})
			if gateway.KindOf(err) == gateway.PreconditionFailed && err != nil {
				return nil
			}
			made <- i
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(made) != 1 {
		t.Fatalf("%d made it", len(made))
	}
	if got := get(t, g, gateway.GetRequest{Name: key("a/lock")}); got != strconv.Itoa(<-made) {
		t.Errorf("it is %s", got)
	}
}

// TestPutsAndDeletesUnderOneDirectory: a directory that is removed as empty does not fail who is about to
// make something in it.
func TestPutsAndDeletesUnderOneDirectory(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	var group errgroup.Group
	for w := range 8 {
		group.Go(func() error {
			n := key("a/b/" + strconv.Itoa(w))
			for range 30 {
				if _, err := g.Put(t.Context(), gateway.PutRequest{Name: n, Content: content(nil)}); err != nil {
					return err
				}
				if err := g.Delete(t.Context(), gateway.DeleteRequest{Name: n}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestListingWhileWriting: a key that exists throughout is in every listing.
func TestListingWhileWriting(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	for i := range 60 {
		put(t, g, "d/"+strconv.Itoa(i)+"/keep", "")
	}
	stop := make(chan struct{})
	var group errgroup.Group
	for w := range 4 {
		group.Go(func() error {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return nil
				default:
				}
				n := key("d/" + strconv.Itoa(i%60) + "/" + strconv.Itoa(w))
				if i%7 == 0 {
					n = key("d/" + strconv.Itoa(i%60) + "/keep")
				}
				if _, err := g.Put(t.Context(), gateway.PutRequest{Name: n, Content: content(nil)}); err != nil {
					return err
				}
				if i%7 == 0 {
					continue
				}
				if err := g.Delete(t.Context(), gateway.DeleteRequest{Name: n}); err != nil {
					return err
				}
			}
		})
	}
	for range 20 {
		kept := 0
		for _, k := range listed(t, g, gateway.ListRequest{Bucket: bucket, Prefix: "d/", Max: 7}) {
			if strings.HasSuffix(k, "/keep") {
				kept++
			}
		}
		if kept != 60 {
			t.Errorf("%d of 60 keys listed", kept)
		}
	}
	close(stop)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestFilesAreObjects: what is made through the file system is an object at once, and the other way round.
func TestFilesAreObjects(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	ctx := t.Context()
	_, f, err := g.FS.Create(ctx, meta.Make{Parent: g.FS.Root(), Name: "file", Mode: 0o644}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(ctx, []byte("by a program"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if got := get(t, g, gateway.GetRequest{Name: key("file")}); got != "by a program" {
		t.Errorf("the object holds %q", got)
	}
	one, err := g.Head(ctx, gateway.GetRequest{Name: key("file")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(ctx, []byte("By"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	two, err := g.Head(ctx, gateway.GetRequest{Name: key("file")})
	if err != nil || two.ETag == one.ETag {
		t.Errorf("the ETag stays %s when bytes change: %v", two.ETag, err)
	}
	f.Release()
	// A checksum that came with an object does not outlive its bytes.
	_, err = g.Put(ctx, gateway.PutRequest{Name: key("sum"), Content: gateway.Content{
		Body: strings.NewReader("abc"), Size: 3, Checksum: func() *gateway.Checksum { return &gateway.Checksum{Algorithm: "CRC32", Value: "x"} },
	}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := g.Head(ctx, gateway.GetRequest{Name: key("sum")})
	if err != nil || o.Checksum == nil {
		t.Fatalf("%+v, %v: no checksum", o, err)
	}
	n, err := g.FS.Lookup(ctx, g.FS.Root(), "sum")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.FS.SetAttr(ctx, meta.SetAttr{Ino: n.Ino, Set: meta.SetSize, Size: 2}); err != nil {
		t.Fatal(err)
	}
	if o, err = g.Head(ctx, gateway.GetRequest{Name: key("sum")}); err != nil || o.Checksum != nil {
		t.Errorf("%+v, %v: a checksum of other bytes", o, err)
	}
}
