package mirror_test

import (
	"errors"
	"io"
	"testing"

	"mirrorfs/mirror"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// A restored volume sees of the other one's bucket only what both share, and harms nothing
// there.
func TestOriginStore(t *testing.T) {
	ctx := t.Context()
	bucket := mem.New("other")
	shared, theirs, segment := "data/1/2a/42-0", "data/3/2a/42-0", "log/x/y"
	for _, key := range []string{shared, theirs, segment} {
		if err := bucket.Put(ctx, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	s := mirror.NewOriginStore(bucket, func(site uint8) bool { return site < 3 })
	r, err := s.Get(ctx, shared, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != shared {
		t.Errorf("%s holds %q, %v", shared, b, err)
	}
	if info, err := s.Head(ctx, shared); err != nil || info.Size != int64(len(shared)) {
		t.Errorf("%s: %+v, %v", shared, info, err)
	}
	for _, key := range []string{theirs, segment} {
		if _, err := s.Get(ctx, key, 0, -1); !errors.Is(err, object.ErrNotExist) {
			t.Errorf("get %s: %v", key, err)
		}
		if _, err := s.Head(ctx, key); !errors.Is(err, object.ErrNotExist) {
			t.Errorf("head %s: %v", key, err)
		}
	}
	for _, key := range []string{shared, theirs, segment, "data/1/2b/43-0"} {
		if err := s.Put(ctx, key, nil); !errors.Is(err, object.ErrDenied) {
			t.Errorf("put %s: %v", key, err)
		}
		if err := s.PutIfAbsent(ctx, key, nil); !errors.Is(err, object.ErrDenied) {
			t.Errorf("put %s if absent: %v", key, err)
		}
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
	}
	for prefix, want := range map[string]int{"data/1/": 1, "data/3/": 0, "": 0, "log/": 0} {
		if list, err := s.List(ctx, prefix, "", 10); err != nil || len(list) != want {
			t.Errorf("list %q: %v, %v", prefix, list, err)
		}
	}
	if list, err := bucket.List(ctx, "", "", 10); err != nil || len(list) != 3 {
		t.Errorf("left are %v, %v", list, err)
	}
}
