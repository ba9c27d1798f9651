package redis_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// A server that was started anew has none of the functions' memory, and may have lost the last
// locks. It gives no new one until every client has said what it holds.
func TestServerThatForgotLocks(t *testing.T) {
	ctx := t.Context()
	address := redistest.Start(t)
	a := redistest.Format(t, address, redis.Options{})
	b := redistest.Open(t, address, redis.Options{})
	for _, e := range []*redis.Engine{a, b} {
		if err := e.StartSession(ctx, meta.SessionInfo{Host: "test", Kind: "mount"}); err != nil {
			t.Fatal(err)
		}
	}
	lock := meta.LockRequest{Ino: 10, Kind: meta.LockRange, Owner: 1, LockedRange: meta.WholeFile(meta.LockExclusive)}
	if _, err := a.SetLock(ctx, lock); err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{Network: "unix", Addr: strings.TrimPrefix(address, "unix://"), Protocol: 2})
	defer func() { _ = client.Close() }()
	functions, err := client.FunctionDump(ctx).Result()
	if err == nil {
		err = client.FunctionFlush(ctx).Err()
	}
	if err == nil {
		err = client.FunctionRestore(ctx, functions).Err()
	}
	if err == nil {
		err = client.Del(ctx, "{test}:yp10").Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.SetLock(ctx, lock)
		done <- err
	}()
	for _, e := range []*redis.Engine{b, a} {
		if err := e.Heartbeat(ctx, nil); !errors.Is(err, meta.ErrLocksInDoubt) {
			t.Fatalf("heartbeat at a server that knows no locks: %v", err)
		}
		if e == a {
			o := meta.OwnerLocks{Ino: 10, Kind: meta.LockRange, Owner: 1, Ranges: []meta.LockedRange{lock.LockedRange}}
			if err := e.AssertLocks(ctx, o); err != nil {
				t.Fatalf("claiming a lock: %v", err)
			}
		}
		select {
		case err := <-done:
			t.Fatalf("before all were heard, a lock was answered with %v", err)
		default:
		}
		if err := e.ConfirmLocks(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("a lock that another has claimed: %v", err)
	}
	if err := errors.Join(a.Heartbeat(ctx, nil), b.Heartbeat(ctx, nil)); err != nil {
		t.Errorf("heartbeats when all is known: %v", err)
	}
}
