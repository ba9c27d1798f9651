package gateway_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/gateway"
	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// counting is a store that counts the bytes put into it.
type counting struct {
	object.Store
	bytes atomic.Int64
}

func (c *counting) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	c.bytes.Add(int64(len(data)))
	return c.Store.PutIfAbsent(ctx, key, data)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestCopySharesData(t *testing.T) {
	store := &counting{Store: mem.New("test")}
	g := gatewaytest.New(t, gatewaytest.Options{Store: store})
	body := random(3_000_000)
	sum := &gateway.Checksum{Algorithm: "CRC32", Value: "x"}
	c := content(body)
	c.Checksum = func() *gateway.Checksum { return sum }
	from, err := g.Put(t.Context(), gateway.PutRequest{
		Name: key("from"), Content: c,
		Described: gateway.Described{Headers: gateway.Headers{ContentType: "a/b"}, Metadata: map[string]string{"k": "v"}, Tags: map[string]string{"t": "1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	before := store.bytes.Load()
	info, err := g.Copy(t.Context(), gateway.CopyRequest{From: key("from"), To: key("dir/to"), ReplaceTags: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := store.bytes.Load() - before; n != 0 {
		t.Errorf("%d bytes were stored for a copy", n)
	}
	o, err := g.Head(t.Context(), gateway.GetRequest{Name: key("dir/to")})
	if err != nil {
		t.Fatal(err)
	}
	if o.ETag != info.ETag || o.ETag == from.ETag || o.Checksum == nil || *o.Checksum != *sum || o.ContentType != "a/b" || o.Metadata["k"] != "v" || len(o.Tags) != 0 {
		t.Errorf("the copy is %+v, told was %+v", o.Info, info)
	}
	if err := g.Delete(t.Context(), gateway.DeleteRequest{Name: key("from")}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, g, gateway.GetRequest{Name: key("dir/to")}); got != string(body) {
		t.Errorf("the copy has %d bytes", len(got))
	}
	_, err = g.Copy(t.Context(), gateway.CopyRequest{From: key("none"), To: key("x")})
	fails(t, err, gateway.NoSuchKey)
	stale := from.ETag
	_, err = g.Copy(t.Context(), gateway.CopyRequest{From: key("dir/to"), To: key("x"), Conditions: gateway.Conditions{IfMatch: &stale}})
	fails(t, err, gateway.PreconditionFailed)
}

func TestUploadInParts(t *testing.T) {
	store := &counting{Store: mem.New("test")}
	g := gatewaytest.New(t, gatewaytest.Options{Store: store})
	ctx := t.Context()
	put(t, g, "src", string(random(6<<20)))
	body := random(17<<20 + 123)
	u := gateway.UploadName{Name: key("model/whole")}
	var err error
	u.ID, err = g.StartUpload(ctx, gateway.StartRequest{Name: u.Name, Described: gateway.Described{Metadata: map[string]string{"a": "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	// Parts of other sizes, in another order, one of them twice, one by a copy, one that is not used.
	parts := map[int][]byte{2: body[:5<<20], 7: body[5<<20 : 12<<20+7], 9: random(6 << 20)[1000 : 1000+5<<20], 10_000: body[12<<20+7:]}
	whole := bytes.Join([][]byte{parts[2], parts[7], parts[9], parts[10_000]}, nil)
	tags := map[int]string{}
	for _, n := range []int{10_000, 7, 2, 5, 2} {
		b := parts[n]
		if n == 5 {
			b = []byte("unused")
		}
		p, err := g.PutPart(ctx, gateway.PartRequest{UploadName: u, Number: n, Content: content(b)})
		if err != nil {
			t.Fatal(err)
		}
		tags[n] = p.ETag
	}
	last := 1000 + 5<<20 - 1
	p, err := g.CopyPart(ctx, gateway.CopyPartRequest{UploadName: u, Number: 9, From: key("src"), Range: "bytes=1000-" + strconv.Itoa(last)})
	if err != nil {
		t.Fatal(err)
	}
	tags[9] = p.ETag
	_, err = g.CopyPart(ctx, gateway.CopyPartRequest{UploadName: u, Number: 9, From: key("src"), Range: "bytes=0-" + strconv.Itoa(6<<20)})
	fails(t, err, gateway.InvalidArgument)

	page, err := g.Parts(ctx, gateway.PartsRequest{UploadName: u, After: 2, Max: 2})
	if err != nil || !page.More || len(page.Parts) != 2 || page.Parts[0].Number != 5 || page.Parts[1].ETag != tags[7] {
		t.Errorf("parts %+v, %v", page, err)
	}
	complete := func(numbers ...int) (gateway.Info, error) {
		r := gateway.CompleteRequest{UploadName: u}
		for _, n := range numbers {
			r.Parts = append(r.Parts, gateway.CompletePart{Number: n, ETag: tags[n]})
		}
		return g.Complete(ctx, r)
	}
	_, err = complete(2, 9, 7)
	fails(t, err, gateway.InvalidPartOrder)
	_, err = complete(2, 3)
	fails(t, err, gateway.InvalidPart)
	_, err = complete(5, 7)
	fails(t, err, gateway.PartTooSmall)
	if _, err := g.Head(ctx, gateway.GetRequest{Name: u.Name}); gateway.KindOf(err) != gateway.NoSuchKey {
		t.Errorf("the object is there before: %v", err)
	}
	before := store.bytes.Load()
	info, err := complete(2, 7, 9, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	if n := store.bytes.Load() - before; n != 0 {
		t.Errorf("%d bytes were stored to join parts", n)
	}
	if got := get(t, g, gateway.GetRequest{Name: u.Name}); got != string(whole) {
		t.Errorf("the object has %d bytes, want %d", len(got), len(whole))
	}
	o, err := g.Head(ctx, gateway.GetRequest{Name: u.Name, Part: 3})
	if err != nil || o.Parts != 4 || o.Offset != 12<<20+7 || o.Length != 5<<20 || o.ETag != info.ETag || o.Metadata["a"] != "b" {
		t.Errorf("part 3 is %+v, %v", o, err)
	}
	if got := get(t, g, gateway.GetRequest{Name: u.Name, Part: 2}); got != string(parts[7]) {
		t.Error("part 2 has other bytes")
	}
	_, err = g.Head(ctx, gateway.GetRequest{Name: u.Name, Part: 5})
	fails(t, err, gateway.InvalidRange)
	if again, err := complete(2, 7, 9, 10_000); err != nil || again.ETag != info.ETag {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	_, err = g.PutPart(ctx, gateway.PartRequest{UploadName: u, Number: 1, Content: content(nil)})
	fails(t, err, gateway.NoSuchUpload)
	if err := g.Clean(ctx); err != nil {
		t.Error(err)
	}
	left(t, g, 0)
	if got := get(t, g, gateway.GetRequest{Name: u.Name}); got != string(whole) {
		t.Error("the object lost bytes with its parts")
	}
}

func TestUploadsAreListedAndEnd(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	g := gatewaytest.New(t, gatewaytest.Options{Gateway: gateway.Options{Now: clock}})
	ctx := t.Context()
	ids := map[string][]string{}
	for i, k := range []string{"b/x", "a", "b/y", "a", "c"} {
		now = now.Add(time.Duration(i) * time.Second)
		id, err := g.StartUpload(ctx, gateway.StartRequest{Name: key(k)})
		if err != nil {
			t.Fatal(err)
		}
		ids[k] = append(ids[k], id)
	}
	var got []string
	r := gateway.UploadsRequest{Bucket: bucket, Max: 1}
	for {
		page, err := g.Uploads(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Uploads {
			got = append(got, u.Key+" "+u.ID)
			r.After, r.AfterID = u.Key, u.ID
		}
		if !page.More {
			break
		}
	}
	want := []string{"a " + ids["a"][0], "a " + ids["a"][1], "b/x " + ids["b/x"][0], "b/y " + ids["b/y"][0], "c " + ids["c"][0]}
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("uploads\n got %q\nwant %q", got, want)
	}
	page, err := g.Uploads(ctx, gateway.UploadsRequest{Bucket: bucket, Delimiter: "/", Max: 10})
	if err != nil || len(page.Uploads) != 3 || len(page.Prefixes) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	c := gateway.UploadName{Name: key("c"), ID: ids["c"][0]}
	fails(t, g.Abort(ctx, gateway.UploadName{Name: key("a"), ID: c.ID}), gateway.NoSuchUpload)
	for _, id := range []string{"", "..", "../tmp", strings.Repeat("0", 32), c.ID + "/.."} {
		fails(t, g.Abort(ctx, gateway.UploadName{Name: key("c"), ID: id}), gateway.NoSuchUpload)
	}
	if err := g.Abort(ctx, c); err != nil {
		t.Error(err)
	}
	fails(t, g.Abort(ctx, c), gateway.NoSuchUpload)
	// The others get too old.
	now = now.Add(8 * 24 * time.Hour)
	if err := g.Clean(ctx); err != nil {
		t.Error(err)
	}
	page, err = g.Uploads(ctx, gateway.UploadsRequest{Bucket: bucket, Max: 10})
	if err != nil || len(page.Uploads) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
	left(t, g, 0)
}
