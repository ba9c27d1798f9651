package access

import (
	"context"

	"mirrorfs/gateway"
	"mirrorfs/meta"
)

// Guard is an API that does what the caller's key allows, and refuses the rest with AccessDenied before
// anything was looked at. Whoever has no key, or one that was removed since the signature was checked, may
// do what is open to all.
type Guard struct {
	api  gateway.API // a field, not embedded: a new method must be thought about
	keys *Keyring
}

var _ gateway.API = (*Guard)(nil)

// NewGuard guards an API.
func NewGuard(api gateway.API, keys *Keyring) *Guard { return &Guard{api, keys} }

// allowed tells whether one of the caller's keys allows it.
func (g *Guard) allowed(ctx context.Context, by func(k *Key) bool) bool {
	if access := gateway.CallerOf(ctx).AccessKey; access != "" {
		if k, ok := g.keys.Find(access); ok && by(k) {
			return true
		}
	}
	for _, k := range g.keys.Anonymous() {
		if by(k) {
			return true
		}
	}
	return false
}

// object asks for the right to something of an object.
func (g *Guard) object(ctx context.Context, op string, need Role, n gateway.Name) error {
	if g.allowed(ctx, func(k *Key) bool { return k.Object(need, n.Bucket, n.Key) }) {
		return nil
	}
	return denied(op, n)
}

func denied(op string, n gateway.Name) error {
	return &gateway.Error{Op: op, Name: n, Kind: gateway.AccessDenied}
}

// Buckets gives those of which the caller may read something.
func (g *Guard) Buckets(ctx context.Context) ([]gateway.Bucket, error) {
	all, err := g.api.Buckets(ctx)
	if err != nil {
		return nil, err
	}
	var seen []gateway.Bucket
	for _, b := range all {
		if g.allowed(ctx, func(k *Key) bool { return k.Bucket(Read, b.Name) }) {
			seen = append(seen, b)
		}
	}
	return seen, nil
}

// Bucket is for who may read something of it.
func (g *Guard) Bucket(ctx context.Context, name string) (gateway.Bucket, error) {
	if !g.allowed(ctx, func(k *Key) bool { return k.Bucket(Read, name) }) {
		return gateway.Bucket{}, denied("bucket", gateway.Name{Bucket: name})
	}
	return g.api.Bucket(ctx, name)
}

// MakeBucket is for administrators of the whole bucket, as is RemoveBucket.
func (g *Guard) MakeBucket(ctx context.Context, name string) error {
	if !g.allowed(ctx, func(k *Key) bool { return k.Whole(Admin, name) }) {
		return denied("make bucket", gateway.Name{Bucket: name})
	}
	return g.api.MakeBucket(ctx, name)
}

// RemoveBucket implements gateway.API.
func (g *Guard) RemoveBucket(ctx context.Context, name string) error {
	if !g.allowed(ctx, func(k *Key) bool { return k.Whole(Admin, name) }) {
		return denied("remove bucket", gateway.Name{Bucket: name})
	}
	return g.api.RemoveBucket(ctx, name)
}

// Get is for readers, as are Head, Tags and, within their prefix, List.
func (g *Guard) Get(ctx context.Context, r gateway.GetRequest) (*gateway.Object, error) {
	if err := g.object(ctx, "get", Read, r.Name); err != nil {
		return nil, err
	}
	return g.api.Get(ctx, r)
}

// Head implements gateway.API.
func (g *Guard) Head(ctx context.Context, r gateway.GetRequest) (*gateway.Object, error) {
	if err := g.object(ctx, "head", Read, r.Name); err != nil {
		return nil, err
	}
	return g.api.Head(ctx, r)
}

// Tags implements gateway.API.
func (g *Guard) Tags(ctx context.Context, n gateway.Name) (map[string]string, error) {
	if err := g.object(ctx, "tags", Read, n); err != nil {
		return nil, err
	}
	return g.api.Tags(ctx, n)
}

// List implements gateway.API.
func (g *Guard) List(ctx context.Context, r gateway.ListRequest) (gateway.ListPage, error) {
	if !g.allowed(ctx, func(k *Key) bool { return k.List(r.Bucket, r.Prefix) }) {
		return gateway.ListPage{}, denied("list", gateway.Name{Bucket: r.Bucket, Key: r.Prefix})
	}
	return g.api.List(ctx, r)
}

// Put is for writers, as is what follows.
func (g *Guard) Put(ctx context.Context, r gateway.PutRequest) (gateway.Info, error) {
	if err := g.object(ctx, "put", Write, r.Name); err != nil {
		return gateway.Info{}, err
	}
	return g.api.Put(ctx, r)
}

// Copy is for who may read the one and write the other.
func (g *Guard) Copy(ctx context.Context, r gateway.CopyRequest) (gateway.Info, error) {
	if err := g.object(ctx, "copy", Write, r.To); err != nil {
		return gateway.Info{}, err
	}
	if err := g.object(ctx, "copy", Read, r.From); err != nil {
		return gateway.Info{}, err
	}
	return g.api.Copy(ctx, r)
}

// Delete implements gateway.API.
func (g *Guard) Delete(ctx context.Context, r gateway.DeleteRequest) error {
	if err := g.object(ctx, "delete", Write, r.Name); err != nil {
		return err
	}
	return g.api.Delete(ctx, r)
}

// SetTags implements gateway.API.
func (g *Guard) SetTags(ctx context.Context, n gateway.Name, tags map[string]string) error {
	if err := g.object(ctx, "set tags", Write, n); err != nil {
		return err
	}
	return g.api.SetTags(ctx, n, tags)
}

// StartUpload implements gateway.API.
func (g *Guard) StartUpload(ctx context.Context, r gateway.StartRequest) (string, error) {
	if err := g.object(ctx, "start upload", Write, r.Name); err != nil {
		return "", err
	}
	return g.api.StartUpload(ctx, r)
}

// PutPart implements gateway.API.
func (g *Guard) PutPart(ctx context.Context, r gateway.PartRequest) (gateway.Part, error) {
	if err := g.object(ctx, "put part", Write, r.Name); err != nil {
		return gateway.Part{}, err
	}
	return g.api.PutPart(ctx, r)
}

// CopyPart is as Copy.
func (g *Guard) CopyPart(ctx context.Context, r gateway.CopyPartRequest) (gateway.Part, error) {
	if err := g.object(ctx, "copy part", Write, r.Name); err != nil {
		return gateway.Part{}, err
	}
	if err := g.object(ctx, "copy part", Read, r.From); err != nil {
		return gateway.Part{}, err
	}
	return g.api.CopyPart(ctx, r)
}

// Complete implements gateway.API.
func (g *Guard) Complete(ctx context.Context, r gateway.CompleteRequest) (gateway.Info, error) {
	if err := g.object(ctx, "complete", Write, r.Name); err != nil {
		return gateway.Info{}, err
	}
	return g.api.Complete(ctx, r)
}

// Abort implements gateway.API.
func (g *Guard) Abort(ctx context.Context, u gateway.UploadName) error {
	if err := g.object(ctx, "abort", Write, u.Name); err != nil {
		return err
	}
	return g.api.Abort(ctx, u)
}

// Parts implements gateway.API.
func (g *Guard) Parts(ctx context.Context, r gateway.PartsRequest) (gateway.PartsPage, error) {
	if err := g.object(ctx, "parts", Write, r.Name); err != nil {
		return gateway.PartsPage{}, err
	}
	return g.api.Parts(ctx, r)
}

// Uploads gives those within the caller's prefix.
func (g *Guard) Uploads(ctx context.Context, r gateway.UploadsRequest) (gateway.UploadsPage, error) {
	if err := g.object(ctx, "uploads", Write, gateway.Name{Bucket: r.Bucket, Key: r.Prefix}); err != nil {
		return gateway.UploadsPage{}, err
	}
	return g.api.Uploads(ctx, r)
}

// Position is no secret.
func (g *Guard) Position() meta.Position { return g.api.Position() }

// WaitFor is for everybody: it tells nothing.
func (g *Guard) WaitFor(ctx context.Context, at meta.Position) error { return g.api.WaitFor(ctx, at) }
