package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"mirrorfs/mirror"
	"mirrorfs/object"
	"mirrorfs/object/mem"
	"mirrorfs/object/objecttest"
)

// The store of a mirror is a store like any other.
func TestStoreSuite(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) object.Store {
		return mustStore(t, mirror.StoreOptions{
			Near:   mem.New("near"),
			Homes:  map[uint8]object.Store{1: mem.New("home"), 2: mem.New("away")},
			Source: 1,
		})
	})
}

func mustStore(t testing.TB, opts mirror.StoreOptions) *mirror.Store {
	t.Helper()
	s, err := mirror.NewStore(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s object.Store, key, data string) {
	t.Helper()
	if err := s.Put(t.Context(), key, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s object.Store, key string, off, n int64) (string, error) {
	t.Helper()
	r, err := s.Get(t.Context(), key, off, n)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	return string(b), err
}

func TestStoreWritesHome(t *testing.T) {
	near, one, two := mem.New("near"), mem.New("one"), mem.New("two")
	s := mustStore(t, mirror.StoreOptions{Near: near, Homes: map[uint8]object.Store{1: one, 2: two}, Source: 1})
	put(t, s, "data/2/0a/10-0", "two")
	put(t, s, "data/1/0b/11-0", "one")
	put(t, s, "data/9/0c/12-0", "unknown")
	put(t, s, "meta/x", "other")
	for _, c := range []struct {
		store object.Store
		keys  string
	}{{one, "data/1/0b/11-0 data/9/0c/12-0 meta/x"}, {two, "data/2/0a/10-0"}, {near, ""}} {
		list, err := c.store.List(t.Context(), "", "", 10)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, o := range list {
			keys = append(keys, o.Key)
		}
		if got := strings.Join(keys, " "); got != c.keys {
			t.Errorf("%s has %q: want %q", c.store, got, c.keys)
		}
	}
}

// broken fails every read, in the way of a site that cannot be reached.
type broken struct {
	object.Store
	err error
}

func (b *broken) Get(context.Context, string, int64, int64) (io.ReadCloser, error) { return nil, b.err }

func (b *broken) Head(context.Context, string) (object.Info, error) { return object.Info{}, b.err }

// torn breaks off in the middle of what it reads.
type torn struct{ object.Store }

func (s *torn) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, 3), iotest.ErrReader(errors.New("connection reset"))), r}, nil
}

func TestPromise08FallsBackToAnySite(t *testing.T) {
	const key, want = "data/2/0a/10-0", "0123456789"
	down := &broken{Store: mem.New("down"), err: errors.New("connection refused")}
	with := func(t *testing.T) object.Store {
		s := mem.New("with")
		put(t, s, key, want)
		return s
	}
	empty := mem.New("empty")
	for _, c := range []struct {
		name       string
		near       object.Store
		one, two   func(t *testing.T) object.Store
		err        error
		alsoNot    error
		mentioning string
	}{
		{name: "near", near: with(t), one: is(down), two: is(down)},
		{name: "home", near: empty, one: is(empty), two: with},
		{name: "home when near is down", near: down, one: is(empty), two: with},
		{name: "any other", near: empty, one: with, two: is(empty)},
		{name: "any other when home is down", near: nil, one: with, two: is(down)},
		{name: "home breaks off", near: nil, one: with, two: func(t *testing.T) object.Store { return &torn{with(t)} }},
		{name: "nowhere", near: empty, one: is(empty), two: is(empty), err: object.ErrNotExist, mentioning: "site 2"},
		{name: "nowhere that answers", near: empty, one: is(empty), two: is(down), alsoNot: object.ErrNotExist, mentioning: "connection refused"},
		{name: "all down", near: down, one: is(down), two: is(down), alsoNot: object.ErrNotExist, mentioning: "near"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustStore(t, mirror.StoreOptions{Near: c.near, Homes: map[uint8]object.Store{1: c.one(t), 2: c.two(t)}, Source: 1})
			got, err := get(t, s, key, 0, -1)
			_, headErr := s.Head(t.Context(), key)
			part, partErr := get(t, s, key, 2, 6)
			if c.mentioning == "" {
				if err != nil || got != want || partErr != nil || part != want[2:8] || headErr != nil {
					t.Errorf("got %q, %v; part %q, %v; head %v", got, err, part, partErr, headErr)
				}
				return
			}
			for _, err := range []error{err, headErr, partErr} {
				switch {
				case err == nil || c.err != nil && !errors.Is(err, c.err) || c.alsoNot != nil && errors.Is(err, c.alsoNot):
					t.Errorf("got %v", err)
				case !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), c.mentioning):
					t.Errorf("%v: want key and %q in it", err, c.mentioning)
				}
			}
		})
	}
}

func is(s object.Store) func(*testing.T) object.Store {
	return func(*testing.T) object.Store { return s }
}

// What breaks off at the last site is an error, never a short object.
func TestStoreNeverGivesAShortObject(t *testing.T) {
	s := &torn{mem.New("torn")}
	put(t, s, "data/1/00/1-0", "0123456789")
	store := mustStore(t, mirror.StoreOptions{Homes: map[uint8]object.Store{1: s}, Source: 1})
	got, err := get(t, store, "data/1/00/1-0", 0, -1)
	if err == nil || !bytes.HasPrefix([]byte("0123456789"), []byte(got)) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestStoreNeedsTheSourcesBucket(t *testing.T) {
	if _, err := mirror.NewStore(mirror.StoreOptions{Homes: map[uint8]object.Store{2: mem.New("x")}, Source: 1}); err == nil {
		t.Error("a store without the source's bucket was made")
	}
}

// Each bucket's copy can be read and replaced by itself.
func TestStoreCopies(t *testing.T) {
	const key = "data/2/0a/10-0"
	near, one, two := mem.New("near"), mem.New("one"), mem.New("two")
	s := mustStore(t, mirror.StoreOptions{Near: near, Homes: map[uint8]object.Store{1: one, 2: two}, Source: 1})
	put(t, near, key, "wrong")
	put(t, two, key, "right")
	if n := s.Copies(key); n != 3 {
		t.Fatalf("%d copies, want near, home and the other", n)
	}
	for nth, want := range []string{"wrong", "right"} {
		r, err := s.GetCopy(t.Context(), key, nth, 1, -1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want[1:] {
			t.Errorf("copy %d: %q, %v", nth, got, err)
		}
		_ = r.Close()
	}
	if _, err := s.GetCopy(t.Context(), key, 2, 0, -1); !errors.Is(err, object.ErrNotExist) || !strings.Contains(err.Error(), "site 1") {
		t.Errorf("copy that is not there: %v", err)
	}
	if err := s.PutCopy(t.Context(), key, 0, []byte("right")); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, near, key, 0, -1); err != nil || got != "right" {
		t.Errorf("near has %q, %v", got, err)
	}
}
