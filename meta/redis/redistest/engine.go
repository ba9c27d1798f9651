package redistest

import (
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
)

// New formats a volume named test on a fresh server and returns an engine on it that has
// a session.
func New(t testing.TB, opts ...Option) *redis.Engine {
	t.Helper()
	e := Format(t, Start(t, opts...), redis.Options{})
	if err := e.StartSession(t.Context(), meta.SessionInfo{Host: "test", Kind: "cli", Version: "test"}); err != nil {
		t.Fatal(err)
	}
	return e
}

// Format formats a volume named test at an address and returns an engine on it, which is
// closed with the test.
func Format(t testing.TB, address string, opts redis.Options) *redis.Engine {
	t.Helper()
	e, err := redis.Format(t.Context(), address, meta.Volume{Name: "test"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// Open opens the only volume at an address; the engine is closed with the test.
func Open(t testing.TB, address string, opts redis.Options) *redis.Engine {
	t.Helper()
	e, err := redis.Open(t.Context(), address, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}
