package redis_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
	"mirrorfs/meta/metatest"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

func TestSuite(t *testing.T) {
	metatest.Run(t, metatest.Config{New: newVolume, NewReplica: newReplica, SameKeys: sameKeys})
}

// A replica whose runner loses calls and replies applies nothing twice and skips nothing.
func TestReplicaSuiteWithLosses(t *testing.T) {
	seed := uint64(0)
	metatest.RunReplica(t, metatest.Config{New: newVolume, SameKeys: sameKeys, NewReplica: func(t testing.TB, clock func() time.Time) metatest.Replica {
		seed++
		return replicaWith(t, redis.Options{Clock: clock, Dialer: newFlakyDialer(t, seed).dial})
	}})
}

// newVolume gives each test a server of its own.
func newVolume(t testing.TB, clock func() time.Time) metatest.Volume {
	t.Helper()
	address := redistest.Start(t)
	redistest.Format(t, address, redis.Options{Clock: clock})
	return metatest.Volume{
		Open: func(t testing.TB) meta.Engine {
			return redistest.Open(t, address, redis.Options{Clock: clock})
		},
		OpenFaulty: func(t testing.TB, seed uint64) meta.Engine {
			d := newFlakyDialer(t, seed)
			t.Cleanup(func() {
				if d.losses() == 0 {
					t.Error("nothing was lost")
				}
			})
			return redistest.Open(t, address, redis.Options{Clock: clock, Dialer: d.dial})
		},
		Waiting: func(t testing.TB) int { return waitersAt(t, address) },
		Check: func(t testing.TB) {
			checkPages(t, keysAt(t, address))
			checkReplay(t, address)
			checkSound(t, address)
		},
	}
}

// waitersAt counts who waits for locks.
func waitersAt(t testing.TB, address string) int {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Network: "unix", Addr: strings.TrimPrefix(address, "unix://"), Protocol: 2})
	defer func() { _ = client.Close() }()
	n := 0
	for _, key := range client.Keys(t.Context(), "{test}:z?*").Val() {
		n += int(client.HLen(t.Context(), key).Val())
	}
	return n
}

func newReplica(t testing.TB, clock func() time.Time) metatest.Replica {
	t.Helper()
	return replicaWith(t, redis.Options{Clock: clock})
}

func replicaWith(t testing.TB, opts redis.Options) metatest.Replica {
	t.Helper()
	e, err := redis.OpenReplica(t.Context(), redistest.Start(t), "test", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// keys holds all keys of a volume, without what is true of one site only, and what
// they hold as text: of hashes and sorted sets by field or member.
type keys map[string]map[string]string

func keysAt(t testing.TB, address string) keys {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Network: "unix", Addr: strings.TrimPrefix(address, "unix://"), Protocol: 2})
	defer func() { _ = client.Close() }()
	all := keys{}
	iter := client.Scan(t.Context(), 0, "{test}:*", 1000).Iterator()
	for iter.Next(t.Context()) {
		key := iter.Val()
		name := strings.TrimPrefix(key, "{test}:")
		values := map[string]string{}
		switch {
		case name == "log" || name == "local" || name == "m" || name == "h" || name[0] == 'u' || name[0] == 'e',
			name[0] == 'y' || name[0] == 'z': // locks
			continue // the log is compared by its checksum, which the state holds
		case name[0] == 'x' || name == "f" || name == "o":
			for _, z := range client.ZRangeWithScores(t.Context(), key, 0, -1).Val() {
				values[fmt.Sprint(z.Member)] = strconv.FormatFloat(z.Score, 'f', -1, 64)
			}
		case name[0] == 'k':
			values[""] = strings.TrimRight(client.Get(t.Context(), key).Val(), "\x00")
		default:
			values = client.HGetAll(t.Context(), key).Val()
		}
		if len(values) == 0 {
			t.Errorf("key %q is of a type that nobody expects, or was removed meanwhile", key)
		}
		all[name] = values
	}
	if err := iter.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// sameKeys compares a volume and the replica that its whole log was replayed into, key
// by key. Only the role differs.
func sameKeys(t testing.TB, source meta.Engine, replica metatest.Replica) {
	t.Helper()
	a, b := keysAt(t, addressOf(t, source)), keysAt(t, addressOf(t, replica))
	for _, k := range []keys{a, b} {
		state := []byte(k["v"]["state"])
		state[53] = '?'
		k["v"]["state"] = string(state)
	}
	names := map[string]bool{}
	for _, k := range []keys{a, b} {
		for name := range k {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !maps.Equal(a[name], b[name]) {
			t.Errorf("key %q: the source has\n%q\nand the replica\n%q", name, a[name], b[name])
		}
	}
}

func addressOf(t testing.TB, e any) string {
	t.Helper()
	r, ok := e.(*redis.Engine)
	if !ok {
		t.Fatalf("%T is no *redis.Engine", e)
	}
	address, _, _ := strings.Cut(r.Address(), "?")
	return address
}

// checkPages looks whether each directory's pages and their index agree: every name is
// in the page that the index says, no page is empty or too large, and none is left over.
func checkPages(t testing.TB, all keys) {
	t.Helper()
	pages := map[string]bool{}
	for name := range all {
		if name[0] == 'd' {
			pages[name] = true
		}
	}
	for name, index := range all {
		if name[0] != 'x' {
			continue
		}
		dir := "d" + name[1:]
		members := slices.Sorted(maps.Keys(index))
		for i, member := range members {
			first, number, ok := strings.Cut(member, "\x00")
			page := dir
			if number != "0" {
				page += "." + number
			}
			delete(pages, page)
			next := "\xff\xff"
			if i+1 < len(members) {
				next, _, _ = strings.Cut(members[i+1], "\x00")
			}
			if !ok || i == 0 && member != "\x000" || len(all[page]) > 128 || len(all[page]) == 0 && i > 0 {
				t.Errorf("index of %s: page %q has %d names", dir, member, len(all[page]))
			}
			for entry := range all[page] {
				if entry < first || i+1 < len(members) && entry >= next {
					t.Errorf("%s: %q is not between %q and %q", page, entry, first, next)
				}
			}
		}
	}
	for page := range pages {
		if strings.Contains(page, ".") {
			t.Errorf("%s is in no index", page)
		}
		if len(all[page]) > 128 {
			t.Errorf("%s has %d names and no index", page, len(all[page]))
		}
	}
}
