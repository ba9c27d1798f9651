package object_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"mirrorfs/object"
	"mirrorfs/object/faulty"
	"mirrorfs/object/mem"
)

// careless takes put-if-absent for put, as servers do that ignore If-None-Match.
type careless struct{ object.Store }

func (c careless) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return c.Put(ctx, key, data)
}

// wholesale ignores ranges.
type wholesale struct{ object.Store }

func (w wholesale) Get(ctx context.Context, key string, _, _ int64) (io.ReadCloser, error) {
	return w.Store.Get(ctx, key, 0, -1)
}

// blind lists nothing.
type blind struct{ object.Store }

func (blind) List(context.Context, string, string, int) ([]object.Info, error) { return nil, nil }

func TestProbe(t *testing.T) {
	inner := mem.New("t")
	for _, test := range []struct {
		store object.Store
		want  string
		kind  error
	}{
		{inner, "", nil},
		{careless{inner}, "put-if-absent", object.ErrInvalid},
		{wholesale{inner}, "5 bytes", object.ErrInvalid},
		{blind{inner}, "list", object.ErrInvalid},
		{fails(inner, faulty.Put), "writing", faulty.ErrInjected},
		{fails(inner, faulty.PutIfAbsent), "put-if-absent", faulty.ErrInjected},
		{fails(inner, faulty.Get), "reading", faulty.ErrInjected},
		{fails(inner, faulty.List), "listing", faulty.ErrInjected},
		{fails(inner, faulty.Delete), "deleting", faulty.ErrInjected},
	} {
		err := object.Probe(t.Context(), test.store)
		if !errors.Is(err, test.kind) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%T: %v, want %q and %v", test.store, err, test.want, test.kind)
		}
	}
	// All but the one that could not delete tidied up.
	if found, err := inner.List(t.Context(), "", "", 10); err != nil || len(found) != 1 {
		t.Errorf("%d objects left, %v", len(found), err)
	}
}

func fails(s object.Store, op faulty.Op) object.Store {
	return faulty.New(s, faulty.Options{Rates: map[faulty.Op]faulty.Rates{op: {Error: 1}}})
}
