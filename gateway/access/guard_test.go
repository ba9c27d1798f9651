package access_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"mirrorfs/gateway"
	"mirrorfs/gateway/access"
	"mirrorfs/meta"
)

// noted is an API that only counts what reaches it.
type noted struct{ calls int }

func (n *noted) Buckets(context.Context) ([]gateway.Bucket, error) {
	n.calls++
	return []gateway.Bucket{{Name: "models"}, {Name: "other"}}, nil
}
func (n *noted) Bucket(context.Context, string) (b gateway.Bucket, err error) { n.calls++; return }
func (n *noted) MakeBucket(context.Context, string) error                     { n.calls++; return nil }
func (n *noted) RemoveBucket(context.Context, string) error                   { n.calls++; return nil }
func (n *noted) Get(context.Context, gateway.GetRequest) (o *gateway.Object, err error) {
	n.calls++
	return
}

func (n *noted) Head(context.Context, gateway.GetRequest) (o *gateway.Object, err error) {
	n.calls++
	return
}

func (n *noted) Put(context.Context, gateway.PutRequest) (i gateway.Info, err error) {
	n.calls++
	return
}

func (n *noted) Copy(context.Context, gateway.CopyRequest) (i gateway.Info, err error) {
	n.calls++
	return
}
func (n *noted) Delete(context.Context, gateway.DeleteRequest) error { n.calls++; return nil }
func (n *noted) List(context.Context, gateway.ListRequest) (p gateway.ListPage, err error) {
	n.calls++
	return
}

func (n *noted) Tags(context.Context, gateway.Name) (t map[string]string, err error) {
	n.calls++
	return
}

func (n *noted) SetTags(context.Context, gateway.Name, map[string]string) error {
	n.calls++
	return nil
}

func (n *noted) StartUpload(context.Context, gateway.StartRequest) (id string, err error) {
	n.calls++
	return
}

func (n *noted) PutPart(context.Context, gateway.PartRequest) (p gateway.Part, err error) {
	n.calls++
	return
}

func (n *noted) CopyPart(context.Context, gateway.CopyPartRequest) (p gateway.Part, err error) {
	n.calls++
	return
}

func (n *noted) Complete(context.Context, gateway.CompleteRequest) (i gateway.Info, err error) {
	n.calls++
	return
}
func (n *noted) Abort(context.Context, gateway.UploadName) error { n.calls++; return nil }
func (n *noted) Parts(context.Context, gateway.PartsRequest) (p gateway.PartsPage, err error) {
	n.calls++
	return
}

func (n *noted) Uploads(context.Context, gateway.UploadsRequest) (p gateway.UploadsPage, err error) {
	n.calls++
	return
}
func (n *noted) Position() (p meta.Position)                  { n.calls++; return }
func (n *noted) WaitFor(context.Context, meta.Position) error { n.calls++; return nil }

// request is one of each kind, about an object.
type request struct {
	method string
	need   access.Role
	do     func(ctx context.Context, api gateway.API, n gateway.Name) error
}

// other is an object that every key of the test may read and write.
var other = gateway.Name{Bucket: "models", Key: "pub/shared"}

var requests = []request{
	{"Get", access.Read, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.Get(ctx, gateway.GetRequest{Name: n})
		return err
	}},
	{"Head", access.Read, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.Head(ctx, gateway.GetRequest{Name: n})
		return err
	}},
	{"Tags", access.Read, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.Tags(ctx, n)
		return err
	}},
	{"List", access.Read, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.List(ctx, gateway.ListRequest{Bucket: n.Bucket, Prefix: n.Key})
		return err
	}},
	{"Put", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.Put(ctx, gateway.PutRequest{Name: n})
		return err
	}},
	{"Copy", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.Copy(ctx, gateway.CopyRequest{From: other, To: n})
		return err
	}},
	{"Copy", access.Read, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.Copy(ctx, gateway.CopyRequest{From: n, To: other})
		return err
	}},
	{"Delete", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		return api.Delete(ctx, gateway.DeleteRequest{Name: n})
	}},
	{"SetTags", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error { return api.SetTags(ctx, n, nil) }},
	{"StartUpload", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.StartUpload(ctx, gateway.StartRequest{Name: n})
		return err
	}},
	{"PutPart", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.PutPart(ctx, gateway.PartRequest{UploadName: gateway.UploadName{Name: n}})
		return err
	}},
	{"CopyPart", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.CopyPart(ctx, gateway.CopyPartRequest{UploadName: gateway.UploadName{Name: n}, From: other})
		return err
	}},
	{"CopyPart", access.Read, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.CopyPart(ctx, gateway.CopyPartRequest{UploadName: gateway.UploadName{Name: other}, From: n})
		return err
	}},
	{"Complete", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.Complete(ctx, gateway.CompleteRequest{UploadName: gateway.UploadName{Name: n}})
		return err
	}},
	{"Abort", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		return api.Abort(ctx, gateway.UploadName{Name: n})
	}},
	{"Parts", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.Parts(ctx, gateway.PartsRequest{UploadName: gateway.UploadName{Name: n}})
		return err
	}},
	{"Uploads", access.Write, func(ctx context.Context, api gateway.API, n gateway.Name) error {
		_, err := api.Uploads(ctx, gateway.UploadsRequest{Bucket: n.Bucket, Prefix: n.Key})
		return err
	}},
}

// guarded gives a guard with a reader, a writer and an administrator, each of pub/ in the bucket models, a
// key for everything, and what is open to all.
func guarded(t *testing.T) (*access.Guard, *noted) {
	t.Helper()
	o := access.Options{}
	for _, r := range []access.Role{access.Read, access.Write, access.Admin} {
		o.Keys = append(o.Keys, access.NewKey(access.KeyOptions{Access: r.String(), Secret: secret, Role: r, Bucket: "models", Prefix: "pub/"}))
	}
	o.Keys = append(o.Keys, access.NewKey(access.KeyOptions{Access: "all", Secret: secret, Role: access.Admin}),
		access.NewKey(access.KeyOptions{Role: access.Read, Bucket: "models", Prefix: "open/"}))
	ring, err := access.New(o)
	if err != nil {
		t.Fatal(err)
	}
	api := &noted{}
	return access.NewGuard(api, ring), api
}

func as(access string) context.Context {
	return gateway.WithCaller(context.Background(), gateway.Caller{AccessKey: access})
}

func TestGuardOfObjects(t *testing.T) {
	g, api := guarded(t)
	methods := map[string]bool{}
	for _, r := range requests {
		methods[r.method] = true
		for _, c := range []struct {
			who     string
			role    access.Role // what it has in pub/; 0 is nothing
			open    bool        // it may read open/
			outside bool        // it may do everything
		}{
			{"read", access.Read, true, false},
			{"write", access.Write, true, false},
			{"admin", access.Admin, true, false},
			{"all", access.Admin, true, true},
			{"", 0, true, false},
			{"unknown", 0, true, false},
		} {
			for _, n := range []gateway.Name{
				{Bucket: "models", Key: "pub/a"},
				{Bucket: "models", Key: "open/a"},
				{Bucket: "models", Key: "priv/a"},
				{Bucket: "models", Key: "pub"},
				{Bucket: "models", Key: ""},
				{Bucket: "other", Key: "pub/a"},
				{Bucket: "other", Key: "open/a"},
			} {
				want := c.outside
				switch n {
				case gateway.Name{Bucket: "models", Key: "pub/a"}:
					want = want || c.role >= r.need
				case gateway.Name{Bucket: "models", Key: "open/a"}:
					want = want || r.need == access.Read
				}
				if r.need == access.Read && (r.method == "Copy" || r.method == "CopyPart") && c.role < access.Write {
					want = false // it may not write what it copies to
				}
				before := api.calls
				err := r.do(as(c.who), g, n)
				if denied := gateway.KindOf(err) == gateway.AccessDenied; denied == want || want != (api.calls == before+1) {
					t.Errorf("%s of %s/%s by %q: %v, reached the API: %v; want it allowed: %v", r.method, n.Bucket, n.Key, c.who, err, api.calls > before, want)
				}
			}
		}
	}
	for _, name := range []string{"Buckets", "Bucket", "MakeBucket", "RemoveBucket", "Position", "WaitFor"} {
		methods[name] = true // below, or nothing to guard
	}
	for m := range reflect.TypeFor[gateway.API]().Methods() {
		if !methods[m.Name] {
			t.Errorf("%s is not tested", m.Name)
		}
	}
}

func TestGuardOfBuckets(t *testing.T) {
	g, api := guarded(t)
	for _, c := range []struct {
		who  string
		seen string
		make bool
	}{
		{"all", "[{models 0001-01-01 00:00:00 +0000 UTC} {other 0001-01-01 00:00:00 +0000 UTC}]", true},
		{"admin", "[{models 0001-01-01 00:00:00 +0000 UTC}]", false}, // of a prefix only
		{"read", "[{models 0001-01-01 00:00:00 +0000 UTC}]", false},
		{"unknown", "[{models 0001-01-01 00:00:00 +0000 UTC}]", false}, // what is open to all
	} {
		all, err := g.Buckets(as(c.who))
		if got := fmt.Sprint(all); err != nil || got != c.seen {
			t.Errorf("%s sees %s, %v", c.who, got, err)
		}
		for _, err := range []error{g.MakeBucket(as(c.who), "models"), g.RemoveBucket(as(c.who), "models")} {
			if (err == nil) != c.make {
				t.Errorf("%s makes or removes a bucket: %v", c.who, err)
			}
		}
	}
	api.calls = 0
	if _, err := g.Bucket(as("read"), "other"); gateway.KindOf(err) != gateway.AccessDenied || api.calls != 0 {
		t.Errorf("a bucket of others: %v", err)
	}
	if _, err := g.Bucket(as("read"), "models"); err != nil || api.calls != 1 {
		t.Errorf("its bucket: %v", err)
	}
}
