package mirror

import (
	"context"
	"io"

	"mirrorfs/object"
)

// originStore is a bucket of another volume.
type originStore struct {
	object.Store
	homes func(site uint8) bool
}

// NewOriginStore gives what a restored volume may see of a bucket of the volume that it was
// restored from: the blocks whose home was a site of that volume. Anything else that is
// there is not this volume's, even under a name that could be. It refuses to write
// (object.ErrDenied), and leaves alone what is to be deleted: the other volume may need it.
func NewOriginStore(bucket object.Store, homes func(site uint8) bool) object.Store {
	return &originStore{Store: bucket, homes: homes}
}

// sees reports whether a key, or a prefix of keys, is of a block that is shared.
func (o *originStore) sees(key string) bool {
	site, ok := homeOf(key)
	return ok && o.homes(site)
}

func (o *originStore) Put(_ context.Context, key string, _ []byte) error {
	return object.Fail("put", key, object.ErrDenied)
}

func (o *originStore) PutIfAbsent(_ context.Context, key string, _ []byte) error {
	return object.Fail("put-if-absent", key, object.ErrDenied)
}

func (o *originStore) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if !o.sees(key) {
		return nil, object.Fail("get", key, object.ErrNotExist)
	}
	return o.Store.Get(ctx, key, off, n)
}

func (o *originStore) Head(ctx context.Context, key string) (object.Info, error) {
	if !o.sees(key) {
		return object.Info{}, object.Fail("head", key, object.ErrNotExist)
	}
	return o.Store.Head(ctx, key)
}

func (o *originStore) Delete(ctx context.Context, key string) error {
	return object.Fail("delete", key, ctx.Err())
}

func (o *originStore) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	if !o.sees(prefix) {
		return nil, object.Fail("list", prefix, ctx.Err())
	}
	return o.Store.List(ctx, prefix, after, limit)
}
