package redis_test

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

func TestCheckServer(t *testing.T) {
	for _, c := range []struct {
		name    string
		opts    []redistest.Option
		warning string // part of it; empty for none
		refused string
		durable string
	}{
		{"no append-only file", nil, "set appendonly yes", "", "since the last snapshot"},
		{"synced each second", []redistest.Option{redistest.AOF()}, "", "", "appendfsync everysec"},
		{"synced always", []redistest.Option{redistest.AOF(), redistest.Arg("appendfsync", "always")}, "", "", "appendfsync always"},
		{"never synced", []redistest.Option{redistest.AOF(), redistest.Arg("appendfsync", "no")}, "set appendfsync everysec", "", "appendfsync no"},
		{"evicting", []redistest.Option{redistest.AOF(), redistest.Arg("maxmemory-policy", "allkeys-lru")}, "", "set maxmemory-policy noeviction", "everysec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := redistest.New(t, c.opts...)
			warnings, err := e.CheckServer(t.Context())
			if (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %v: want a refusal with %q", err, c.refused)
			}
			if (len(warnings) > 0) != (c.warning != "") || len(warnings) > 0 && !strings.Contains(warnings[0].String(), c.warning) {
				t.Errorf("got warnings %v: want %q", warnings, c.warning)
			}
			if d := e.Durability(t.Context()); !strings.Contains(d, c.durable) {
				t.Errorf("durability is %q: want %q in it", d, c.durable)
			}
		})
	}
}

// A user who may not ask for settings, as on managed servers, can use a volume.
func TestUserWithoutConfig(t *testing.T) {
	address := redistest.Start(t, redistest.TCP())
	redistest.Format(t, address, redis.Options{})
	if err := admin(t, address).Do(t.Context(), "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-config").Err(); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(address, "redis://")
	e := redistest.Open(t, "redis://app@"+host, redis.Options{Password: "secret"})
	if _, err := e.GetAttr(t.Context(), 1); err != nil {
		t.Error(err)
	}
	warnings, err := e.CheckServer(t.Context())
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Reason, "does not tell") {
		t.Errorf("got %v, %v: want one warning", warnings, err)
	}
	if d := e.Durability(t.Context()); !strings.Contains(d, "unknown") {
		t.Errorf("durability is %q", d)
	}
	_, err = redis.Open(t.Context(), "redis://app:wrong@"+host, redis.Options{})
	if !errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "wrong@") {
		t.Errorf("a wrong password: %v: want EACCES", err)
	}
}

// A server that does not tell how much memory a key takes, as managed ones may not: status estimates it, and
// the log is kept within its limit all the same.
func TestUserWithoutMemoryUsage(t *testing.T) {
	address := redistest.Start(t, redistest.TCP())
	redistest.Format(t, address, redis.Options{})
	if err := admin(t, address).Do(t.Context(), "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-memory").Err(); err != nil {
		t.Fatal(err)
	}
	e := redistest.Open(t, "redis://app@"+strings.TrimPrefix(address, "redis://"), redis.Options{Password: "secret"})
	told := redistest.Open(t, address, redis.Options{})
	if err := e.StartSession(t.Context(), meta.SessionInfo{Kind: "cli"}); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		if _, err := e.Change(t.Context(), newFile(1, strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	guess, err := e.Summary(t.Context())
	if err != nil || !guess.LogGuessed {
		t.Fatalf("guessed: %+v, %v", guess, err)
	}
	is, err := told.Summary(t.Context())
	if err != nil || is.LogGuessed {
		t.Fatalf("told: %+v, %v", is, err)
	}
	if guess.LogMemory < is.LogMemory*2/3 || guess.LogMemory > is.LogMemory*3/2 {
		t.Errorf("the log takes %d bytes, and %d are guessed", is.LogMemory, guess.LogMemory)
	}

	v, err := e.Volume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v.LogKeep, v.LogBytes = time.Hour, is.LogMemory/4
	if _, err := e.Change(t.Context(), meta.Settings{Volume: v}); err != nil {
		t.Fatal(err)
	}
	state, err := e.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetArchived(t.Context(), meta.Archived{}, meta.Archived{Position: state.Position, Chain: state.Chain}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.TrimLog(t.Context(), 1_000_000); err != nil {
		t.Fatal(err)
	}
	if now, err := told.Summary(t.Context()); err != nil || now.LogMemory > is.LogMemory/2 || now.LogRecords < 100 {
		t.Errorf("the log was of %d bytes and is of %d, %d records, %v", is.LogMemory, now.LogMemory, now.LogRecords, err)
	}
}
