package redis_test

import (
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/metatest"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

func TestSuite(t *testing.T) {
	servers := &volumes{}
	metatest.Run(t, metatest.Config{New: servers.format, NewReplica: servers.replica})
}

// volumes gives each part of the suite a server of its own.
type volumes struct{}

func (*volumes) format(t testing.TB, clock func() time.Time) metatest.Volume {
	t.Helper()
	address := redistest.Start(t)
	redistest.Format(t, address, redis.Options{Clock: clock})
	open := func(t testing.TB) meta.Engine {
		return redistest.Open(t, address, redis.Options{Clock: clock})
	}
	return metatest.Volume{Open: open}
}

func (*volumes) replica(t testing.TB, clock func() time.Time) metatest.Replica {
	t.Helper()
	e, err := redis.OpenReplica(t.Context(), redistest.Start(t), "test", redis.Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}
