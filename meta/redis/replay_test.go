package redis_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// wholeLog reads all entries; none when the first ones were trimmed.
func wholeLog(t testing.TB, e meta.Source) []meta.LogEntry {
	t.Helper()
	var all []meta.LogEntry
	var at meta.Position
	for {
		part, err := e.Tail(t.Context(), at, 1000, 0)
		if errors.Is(err, meta.ErrGap) && at.IsZero() {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(part) == 0 {
			return all
		}
		all = append(all, part...)
		at = part[len(part)-1].Position
	}
}

// openReplica makes an empty replica on a server of its own.
func openReplica(t testing.TB, opts redis.Options) (*redis.Engine, string) {
	t.Helper()
	address := redistest.Start(t)
	e, err := redis.OpenReplica(t.Context(), address, "test", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e, address
}

// beginning is the state before the first record.
func beginning() meta.State { return meta.State{Chain: meta.EmptyChain} }

// reset makes a replica one that all records from the first can be applied to.
func reset(t testing.TB, source, replica *redis.Engine) {
	t.Helper()
	v, err := source.Volume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.Reset(t.Context(), v, beginning()); err != nil {
		t.Fatal(err)
	}
}

// checkReplay replays the log of a volume into an empty Redis, whose keys must then be
// equal, one by one, whatever was lost and sent again.
func checkReplay(t testing.TB, address string) {
	t.Helper()
	source := redistest.Open(t, address, redis.Options{})
	log := wholeLog(t, source)
	if log == nil {
		return
	}
	replica, replicaAddress := openReplica(t, redis.Options{})
	reset(t, source, replica)
	if _, err := replica.Apply(t.Context(), beginning(), log, meta.Position{}); err != nil {
		t.Fatal(err)
	}
	a, b := mirroredKeys(t, address), mirroredKeys(t, replicaAddress)
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if !maps.Equal(a[name], b[name]) {
			t.Errorf("key %q: the source has\n%q\nand the replay of its log\n%q", name, a[name], b[name])
		}
		delete(b, name)
	}
	for name, values := range b {
		t.Errorf("key %q: the replay of the log has %q, and the source nothing", name, values)
	}
}

// mirroredKeys is keysAt without the role, and numbers given up.
func mirroredKeys(t testing.TB, address string) keys {
	t.Helper()
	all := keysAt(t, address)
	state := []byte(all["v"]["state"])
	state[53] = '?'
	all["v"]["state"] = string(state)
	maps.DeleteFunc(all["v"], func(field, _ string) bool { return field[0] == 'e' })
	return all
}
