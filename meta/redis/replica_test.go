package redis_test

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// backlog makes a volume with many records of all the common kinds.
func backlog(t testing.TB, e *redis.Engine, rounds int) {
	t.Helper()
	for i := range rounds {
		made, err := e.Change(t.Context(), newFile(1, file(i)))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []meta.Change{
			wholeFile(made.Node.Ino, uint64(i)+1),
			meta.SetAttr{Ino: made.Node.Ino, Set: meta.SetMode, Mode: 0o600},
			meta.Rename{OldParent: 1, OldName: file(i), NewParent: 1, NewName: "to-" + file(i)},
		} {
			if _, err := e.Change(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if i%3 == 0 {
			if _, err := e.Change(t.Context(), meta.Unlink{Parent: 1, Name: "to-" + file(i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Two runners that apply the same log at once do no harm: each record is applied once, and
// who comes late is told.
func TestTwoAppliersAtOnce(t *testing.T) {
	source := redistest.New(t)
	backlog(t, source, 300)
	log := wholeLog(t, source)
	one, address := openReplica(t, redis.Options{})
	reset(t, source, one)
	two, err := redis.OpenReplica(t.Context(), address, "test", redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = two.Close() }()
	var wg sync.WaitGroup
	moved := make([]int, 2)
	for i, e := range []*redis.Engine{one, two} {
		wg.Go(func() { moved[i] = follow(t, e, log, 7+i) })
	}
	wg.Wait()
	t.Logf("the appliers met %v times", moved)
	want, err := source.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want.Role = meta.RoleBootstrapping
	if got, err := one.State(t.Context()); err != nil || got != want {
		t.Errorf("replica is at %+v, %v\nwant %+v", got, err, want)
	}
	a, b := mirroredKeys(t, addressOf(t, source)), mirroredKeys(t, address)
	if !maps.EqualFunc(a, b, maps.Equal[map[string]string, map[string]string]) {
		t.Error("the replica's keys differ from the source's")
	}
}

// follow applies a log in batches from wherever the replica stands, as a runner does, and
// returns how often somebody else had been there.
func follow(t *testing.T, e *redis.Engine, log []meta.LogEntry, size int) (moved int) {
	for {
		s, err := e.State(t.Context())
		if err != nil {
			t.Error(err)
			return moved
		}
		rest := log[s.Position.Seq:]
		if len(rest) == 0 {
			return moved
		}
		_, err = e.Apply(t.Context(), s, rest[:min(size, len(rest))], meta.Position{})
		if errors.Is(err, meta.ErrMoved) {
			moved++
		} else if err != nil {
			t.Error(err)
			return moved
		}
	}
}

// A replica takes no changes, and a source none of what is for replicas.
func TestRoles(t *testing.T) {
	source := redistest.New(t)
	replica, _ := openReplica(t, redis.Options{})
	reset(t, source, replica)
	if _, err := replica.Change(t.Context(), newFile(1, "a")); !errors.Is(err, meta.ErrReadOnly) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("a change of a replica: %v", err)
	}
	if err := source.Reset(t.Context(), meta.Volume{Name: "test"}, beginning()); !errors.Is(err, meta.ErrReadOnly) {
		t.Errorf("reset of a source: %v", err)
	}
	if err := source.Load(t.Context(), []byte("i\x00\x00\x00\x00\x00\x01")); !errors.Is(err, meta.ErrReadOnly) {
		t.Errorf("load into a source: %v", err)
	}
	if _, err := source.GetAttr(t.Context(), 1); err != nil {
		t.Errorf("the source after that: %v", err)
	}
	if err := replica.SetLocal(t.Context(), map[string]string{"a": "1", "b": "2"}); err != nil {
		t.Fatal(err)
	}
	if err := replica.SetLocal(t.Context(), map[string]string{"a": ""}); err != nil {
		t.Fatal(err)
	}
	reset(t, source, replica)
	if got, err := replica.Local(t.Context()); err != nil || !maps.Equal(got, map[string]string{"b": "2"}) {
		t.Errorf("local facts are %v, %v", got, err)
	}
}

// The log must continue where a follower stands, and not end before it.
func TestTailRefusesGaps(t *testing.T) {
	e := redistest.New(t)
	backlog(t, e, 20)
	s, err := e.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ahead := meta.Position{Epoch: 1, Seq: s.Position.Seq + 5}
	if got, err := e.Tail(t.Context(), ahead, 10, time.Hour); !errors.Is(err, meta.ErrGap) {
		t.Errorf("tail after %s, and the log ends at %s: %d entries, %v", ahead, s.Position, len(got), err)
	}
	if got, err := e.Tail(t.Context(), s.Position, 10, time.Millisecond); err != nil || len(got) != 0 {
		t.Errorf("tail at the end: %d entries, %v", len(got), err)
	}
	applied := meta.Position{Epoch: 1, Seq: 10}
	if err := e.Acknowledge(t.Context(), meta.MirrorState{Site: 2, Applied: applied}); err != nil {
		t.Fatal(err)
	}
	if n, err := e.TrimLog(t.Context(), 1); err != nil || n != 10 {
		t.Errorf("trimmed %d entries, %v: want the 10 that the mirror has", n, err)
	}
	if got, err := e.Tail(t.Context(), applied, 1, 0); err != nil || len(got) != 1 || got[0].Position.Seq != 11 {
		t.Errorf("tail after %s: %v, %v", applied, got, err)
	}
	before := meta.Position{Epoch: 1, Seq: 9}
	if got, err := e.Tail(t.Context(), before, 1, 0); !errors.Is(err, meta.ErrGap) {
		t.Errorf("tail after %s, which was trimmed: %v, %v", before, got, err)
	}
}

// BenchmarkApply replays a backlog, 500 records to a call.
func BenchmarkApply(b *testing.B) {
	source := redistest.New(b)
	backlog(b, source, (b.N+3)/4)
	log := wholeLog(b, source)[:b.N]
	replica, _ := openReplica(b, redis.Options{})
	reset(b, source, replica)
	b.ResetTimer()
	if _, err := replica.Apply(b.Context(), beginning(), log, meta.Position{}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkScan copies a volume of files in directories of 1,000.
func BenchmarkScan(b *testing.B) {
	source := redistest.New(b)
	var dir meta.Ino
	for i := range b.N {
		if i%1000 == 0 {
			made, err := source.Change(b.Context(), meta.Make{Parent: 1, Name: fmt.Sprint("dir", i), Mode: meta.TypeDir | 0o755})
			if err != nil {
				b.Fatal(err)
			}
			dir = made.Node.Ino
		}
		if _, err := source.Change(b.Context(), newFile(dir, file(i))); err != nil {
			b.Fatal(err)
		}
	}
	replica, _ := openReplica(b, redis.Options{})
	reset(b, source, replica)
	b.ResetTimer()
	var cursor meta.Cursor
	for {
		batch, err := source.Scan(b.Context(), cursor, 2000)
		if err != nil {
			b.Fatal(err)
		}
		if err := replica.Load(b.Context(), batch.Effects); err != nil {
			b.Fatal(err)
		}
		if cursor = batch.Next; cursor == nil {
			break
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "inodes/s")
}
