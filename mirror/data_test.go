package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror"
	"mirrorfs/object"
)

// What there was before the mirror, what is written while it runs, and what was written
// at the mirror itself: when status says complete, it is in both buckets.
func TestPromise08FullMirrorHasAllData(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		var all []meta.Slice
		for i := range 30 {
			all = append(all, d.write(t, meta.RootIno, fmt.Sprintf("before%d", i), 1))
		}
		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
		start(t, d.data(t))
		for i := range 30 {
			all = append(all, d.write(t, meta.RootIno, fmt.Sprintf("during%d", i), uint8(1+i%2)))
		}
		d.complete(t)
		d.mustHave(t, d.two, all...)
		d.mustHave(t, d.one, all...)
		st := d.status(t)
		if st.Data.PendingObjects != 0 || st.Data.BackObjects != 0 || st.Data.Reason != "" || st.Data.Mode != mirror.ModeFull {
			t.Errorf("status when complete: %+v", st.Data)
		}
		until(t, "the source hears of it", func() bool {
			st, err := mirror.GetStatus(t.Context(), d.source, mirror.StatusOptions{})
			return err == nil && len(st.Mirrors) == 1 && st.Mirrors[0].Data.CompleteTo == st.Position && st.Mirrors[0].Data.Mode == mirror.ModeFull
		})
		if n := d.one.gets.Load() + d.two.gets.Load(); n != int64(len(all)) {
			t.Errorf("%d blocks were fetched for %d: each once", n, len(all))
		}
	})
}

// A block that its home lacks is never passed over: the position stays before it, the
// reason names it, and it is copied when it is there. A block of a slice that was freed
// and reclaimed meanwhile holds up nothing.
func TestPromise08MetadataWhoseDataIsMissing(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
		first := d.write(t, meta.RootIno, "first", 1)
		before, err := d.source.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lost := d.write(t, meta.RootIno, "lost", 1)
		d.one.lose(dataKey(lost), true)
		after := d.write(t, meta.RootIno, "after", 1)
		start(t, d.data(t))
		until(t, "the others are copied, and the reason is told", func() bool {
			st := d.seen(t)
			return st.Data.PendingObjects == 1 && strings.Contains(st.Data.Reason, dataKey(lost)) && len(d.two.keys(t)) == 2
		})
		d.mustHave(t, d.two, first, after)
		head, err := d.source.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// The first look at all rows is one stretch: nothing is promised before its end.
		if st := d.status(t); !st.Data.CompleteTo.Before(head.Position) || before.Position.Before(st.Data.CompleteTo) && st.Data.CompleteTo.Before(head.Position) {
			t.Errorf("complete to %s with a block missing that was written after %s", st.Data.CompleteTo, before.Position)
		}
		d.one.lose(dataKey(lost), false)
		d.complete(t)
		d.mustHave(t, d.two, lost)
		until(t, "the reason goes", func() bool { return d.status(t).Reason == "" })

		next := meta.Slice{ID: after.ID + 1, Home: 1}
		d.one.lose(dataKey(next), true) // before anybody can copy it
		if gone := d.write(t, meta.RootIno, "gone", 1); gone.ID != next.ID {
			t.Fatalf("slice %d follows %d", gone.ID, after.ID)
		}
		until(t, "it is missed", func() bool { return d.status(t).Data.PendingObjects == 1 })
		d.reclaim(t, "gone")
		d.complete(t)
		if len(d.two.keys(t)) != 3 {
			t.Errorf("the mirror has %v", d.two.keys(t))
		}
	})
}

// reclaim removes a file, purges it and forgets its slices, as clients do when its
// time is up.
func (d *dataWorld) reclaim(t testing.TB, name string) {
	t.Helper()
	change(t, d.e, meta.Unlink{Parent: meta.RootIno, Name: name})
	site := d.source.(interface {
		meta.Purger
		meta.Reclaimer
	})
	late := time.Now().Add(time.Hour)
	orphans, err := site.Orphans(t.Context(), meta.Orphan{}, late, 10)
	if err != nil || len(orphans) != 1 {
		t.Fatalf("orphans: %v, %v", orphans, err)
	}
	change(t, d.e, meta.Purge{Orphan: orphans[0]})
	freed, err := site.Freed(t.Context(), meta.Freed{}, late, 10)
	if err != nil || len(freed) != 1 {
		t.Fatalf("freed: %v, %v", freed, err)
	}
	change(t, d.e, meta.Reclaim{Rows: freed})
}

// A runner that ends in the middle of copying goes on from where it was: each block
// crosses once, but for those that were on their way.
func TestCopyingGoesOn(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
		const files, jobs = 60, 2
		for i := range files {
			d.write(t, meta.RootIno, fmt.Sprintf("f%d", i), 1)
		}
		cfg := d.data(t)
		cfg.Data.Jobs = jobs
		stop := start(t, cfg)
		until(t, "some blocks", func() bool { return len(d.two.keys(t)) > 10 })
		stop()
		cfg = d.data(t)
		start(t, cfg)
		d.complete(t)
		if n := len(d.two.keys(t)); n != files {
			t.Errorf("%d of %d blocks are there", n, files)
		}
		if n := d.one.gets.Load(); n > files+jobs {
			t.Errorf("%d blocks crossed for %d", n, files)
		}
	})
}

// Of two runners one copies.
func TestOneRunnerCopiesData(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
		start(t, d.data(t))
		start(t, d.data(t))
		for i := range 40 {
			d.write(t, meta.RootIno, fmt.Sprintf("f%d", i), 1)
		}
		d.complete(t)
		if n := d.one.gets.Load(); n != 40 {
			t.Errorf("%d blocks crossed for 40", n)
		}
	})
}

// A log that was trimmed before the copying read it costs another look, and no copy of
// what is there.
func TestCopyingAfterATrimmedLog(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
		stop := start(t, d.data(t))
		for i := range 20 {
			d.write(t, meta.RootIno, fmt.Sprintf("a%d", i), 1)
		}
		d.complete(t)
		stop()
		stop = start(t, d.config(t)) // one that carries no data
		for i := range 20 {
			d.write(t, meta.RootIno, fmt.Sprintf("b%d", i), 1)
		}
		d.wait(t)
		stop()
		if _, err := d.near.TrimLog(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		start(t, d.data(t))
		d.complete(t)
		if n := len(d.two.keys(t)); n != 40 || d.one.gets.Load() != 40 {
			t.Errorf("%d blocks are there, %d crossed: want 40", n, d.one.gets.Load())
		}
	})
}

// The runner keeps of its own site's log what the copying has not read.
func TestLogIsKeptForCopying(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
		cfg := d.data(t)
		stop := start(t, cfg)
		d.write(t, meta.RootIno, "a", 1)
		d.complete(t)
		reached := d.status(t).Data.CompleteTo
		d.one.down.Store(true)
		for i := range 40 {
			d.write(t, meta.RootIno, fmt.Sprintf("b%d", i), 1)
		}
		d.wait(t)
		stop()
		cfg = d.data(t)
		cfg.KeepRecords, cfg.TrimInterval = 20, time.Millisecond
		start(t, cfg)
		d.write(t, meta.RootIno, "c", 1)
		d.wait(t)
		until(t, "trimmed at the source", func() bool {
			_, err := d.source.Tail(t.Context(), reached, 1, 0)
			return errors.Is(err, meta.ErrGap)
		})
		if _, err := d.near.Tail(t.Context(), reached, 1, 0); err != nil {
			t.Errorf("the log at the mirror does not go on after %s, up to where all data is there: %v", reached, err)
		}
		d.one.down.Store(false)
		d.complete(t)
	})
}

// The mode is changed while all runs: what is missing is filled up; and back, once the
// source's bucket has what was written at the mirror.
func TestChangingTheDataMode(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeDemand})
		start(t, d.data(t))
		all := []meta.Slice{d.write(t, meta.RootIno, "a", 1)}
		d.wait(t)
		set := func(opts mirror.SetOptions, timeout time.Duration) (mirror.Info, error) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			return mirror.Set(ctx, d.source, d.near, opts)
		}
		if _, err := set(mirror.SetOptions{Mode: mirror.ModeFull}, patience); err == nil {
			t.Error("full without a bucket")
		}
		if _, err := set(mirror.SetOptions{Mode: mirror.ModeFull, Bucket: "mem://home"}, patience); err == nil {
			t.Error("full with the source's bucket")
		}
		info, err := set(mirror.SetOptions{Mode: mirror.ModeFull, Bucket: "mem://away"}, patience)
		if err != nil || info.Home() != 2 {
			t.Fatalf("to full: %+v, %v", info, err)
		}
		all = append(all, d.write(t, meta.RootIno, "b", 1), d.write(t, meta.RootIno, "c", 2))
		d.complete(t)
		d.mustHave(t, d.one, all...)
		d.mustHave(t, d.two, all...)

		// The source's bucket does not take what is written here.
		d.one.down.Store(true)
		late := d.write(t, meta.RootIno, "d", 2)
		if _, err := set(mirror.SetOptions{Mode: mirror.ModeDemand}, 100*time.Millisecond); err == nil {
			t.Error("to demand with data only here")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := mirror.Remove(ctx, d.source, d.near); err == nil {
			t.Error("removed with data only here")
		}
		if info, err := mirror.Of(t.Context(), d.near); err != nil || info.Mode != mirror.ModeFull || info.Removed {
			t.Errorf("after what was refused: %+v, %v", info, err)
		}
		d.one.down.Store(false)
		info, err = set(mirror.SetOptions{Mode: mirror.ModeDemand}, patience)
		if err != nil || info.Home() != 1 {
			t.Fatalf("to demand: %+v, %v", info, err)
		}
		d.mustHave(t, d.one, late)
		// A mount that was not told still writes here.
		straggler := d.write(t, meta.RootIno, "e", 2)
		until(t, "what is still written here is copied", func() bool {
			_, err := d.one.Store.Head(t.Context(), dataKey(straggler))
			return err == nil
		})
		until(t, "the source hears of the mode", func() bool {
			st, err := mirror.GetStatus(t.Context(), d.source, mirror.StatusOptions{})
			return err == nil && st.Mirrors[0].Data.Mode == mirror.ModeDemand
		})
	})
}

// Of a subtree's mirror, data below it is copied, and what comes into it by any way.
func TestSubtree(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		mk := func(parent meta.Ino, name string) meta.Ino { return change(t, d.e, dir(parent, name)).Node.Ino }
		models, other := mk(meta.RootIno, "models"), mk(meta.RootIno, "other")
		moved := mk(other, "moved")
		deep := mk(moved, "deep")
		in := []meta.Slice{d.write(t, models, "before", 1), d.write(t, mk(models, "sub"), "below", 1)}
		out := []meta.Slice{d.write(t, other, "outside", 1)}
		movers := []meta.Slice{d.write(t, deep, "f", 1), d.write(t, moved, "g", 1)}
		mover, linked, cloned := d.write(t, other, "mover", 1), d.write(t, other, "linked", 1), d.write(t, other, "cloned", 1)

		d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull, Subtree: "/models"})
		start(t, d.data(t))
		in = append(in, d.write(t, models, "after", 1))
		out = append(out, d.write(t, other, "outside2", 1))
		d.complete(t)
		check := func(what string) {
			t.Helper()
			d.complete(t)
			d.mustHave(t, d.two, in...)
			if n := len(d.two.keys(t)); n != len(in) {
				t.Errorf("%s: the mirror has %d blocks, want %d: %v", what, n, len(in), d.two.keys(t))
			}
		}
		check("at first")

		change(t, d.e, meta.Rename{OldParent: other, OldName: "moved", NewParent: models, NewName: "moved"})
		in = append(in, movers...)
		check("a directory moved in")
		in = append(in, d.write(t, deep, "later", 1))
		check("written below it")
		change(t, d.e, meta.Rename{OldParent: other, OldName: "mover", NewParent: models, NewName: "mover"})
		in = append(in, mover)
		check("a file moved in")
		node, err := d.e.Lookup(t.Context(), other, "linked")
		if err != nil {
			t.Fatal(err)
		}
		change(t, d.e, meta.Link{Ino: node.Ino, Parent: models, Name: "linked"})
		in = append(in, linked)
		check("a file linked in")
		if node, err = d.e.Lookup(t.Context(), other, "cloned"); err != nil {
			t.Fatal(err)
		}
		to := change(t, d.e, file(models, "clone")).Node.Ino
		change(t, d.e, meta.Clone{Src: node.Ino, Dst: to, Len: 100})
		in = append(in, cloned)
		check("a file cloned in")

		change(t, d.e, meta.Rename{OldParent: models, OldName: "moved", NewParent: other, NewName: "moved"})
		d.wait(t)
		out = append(out, d.write(t, deep, "outside3", 1))
		check("a directory moved out")

		change(t, d.e, meta.Rename{OldParent: meta.RootIno, OldName: "models", NewParent: meta.RootIno, NewName: "old"})
		change(t, d.e, meta.Rename{OldParent: meta.RootIno, OldName: "other", NewParent: meta.RootIno, NewName: "models"})
		in = append(in, out...)
		check("another directory takes the path")
	})
}

// What was written at a mirror is read at the source before it was copied there, by a
// client that was there before the mirror had a bucket, and its deletion misses no bucket.
func TestPromise08SourceReadsWhatAMirrorWrote(t *testing.T) {
	one, two := newBucket("one"), newBucket("two")
	sites := map[uint8]object.Store{1: one}
	s := mustStore(t, mirror.StoreOptions{
		Near: one, Homes: map[uint8]object.Store{1: one}, Source: 1,
		Sites: func(context.Context) (map[uint8]object.Store, error) { return sites, nil },
		Now:   newTicks(time.Minute),
	})
	const key = "data/2/0a/10-0"
	put(t, two.Store, key, "from the mirror")
	if _, err := get(t, s, key, 0, -1); !errors.Is(err, object.ErrNotExist) {
		t.Errorf("before the mirror has a bucket: %v", err)
	}
	sites = map[uint8]object.Store{1: one, 2: two}
	if got, err := get(t, s, key, 0, -1); err != nil || got != "from the mirror" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := s.Head(t.Context(), key); err != nil {
		t.Error(err)
	}
	two.down.Store(true)
	if _, err := get(t, s, key, 0, -1); err == nil || errors.Is(err, object.ErrNotExist) || !strings.Contains(err.Error(), "site 2") {
		t.Errorf("with its home cut off, and not copied yet: %v", err)
	}
	put(t, one.Store, key, "from the mirror")
	if got, err := get(t, s, key, 0, -1); err != nil || got != "from the mirror" {
		t.Errorf("with its home cut off, and copied: %q, %v", got, err)
	}
}

// newTicks is a clock that goes on by d each time it is looked at.
func newTicks(d time.Duration) func() time.Time {
	var n atomic.Int64
	return func() time.Time { return time.Unix(0, n.Add(int64(d))) }
}

// Promise 10 with buckets at several sites: a deletion reaches a copy in a bucket that was
// registered after the client had begun, and is none while it cannot be known which
// buckets there are.
func TestPromise10DeletesInEveryBucket(t *testing.T) {
	one, two := newBucket("one"), newBucket("two")
	sites, failing := map[uint8]object.Store{1: one, 2: two}, errors.New("metadata is down")
	fail := failing
	s := mustStore(t, mirror.StoreOptions{
		Near: one, Homes: map[uint8]object.Store{1: one}, Source: 1,
		Sites: func(context.Context) (map[uint8]object.Store, error) { return sites, fail },
	})
	const key = "data/1/0a/10-0"
	put(t, one.Store, key, "x")
	put(t, two.Store, key, "x")
	if err := s.Delete(t.Context(), key); !errors.Is(err, failing) {
		t.Errorf("deletion without knowing where: %v", err)
	}
	if len(one.keys(t)) != 1 {
		t.Error("it was deleted at one site only")
	}
	fail = nil
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if n := len(one.keys(t)) + len(two.keys(t)); n != 0 {
		t.Errorf("%d copies are left", n)
	}
}

// A bucket that does not answer is asked once a minute, and holds up no deletion elsewhere.
func TestDeletionsGoOnWithoutABucket(t *testing.T) {
	one, two := newBucket("one"), newBucket("two")
	now := time.Unix(0, 0)
	var asked atomic.Int64
	counted := &countedDeletes{Store: two, n: &asked}
	s := mustStore(t, mirror.StoreOptions{
		Homes: map[uint8]object.Store{1: one, 2: counted}, Source: 1, Now: func() time.Time { return now },
	})
	two.down.Store(true)
	for i := range 100 {
		key := fmt.Sprintf("data/%d/0a/10-%d", 1+i%2, i)
		put(t, one.Store, key, "x")
		if err := s.Delete(t.Context(), key); !errors.Is(err, object.ErrPartial) || !strings.Contains(err.Error(), "site 2") {
			t.Fatalf("%s: %v", key, err)
		}
		now = now.Add(time.Second)
	}
	if n := len(one.keys(t)); n != 0 {
		t.Errorf("%d objects are left in the bucket that answers", n)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the other one was asked %d times in 100 s", n)
	}
	two.down.Store(false)
	now = now.Add(time.Minute)
	for i := range 3 {
		if err := s.Delete(t.Context(), fmt.Sprintf("data/2/0a/10-%d", i)); err != nil {
			t.Error(err)
		}
	}
	one.down.Store(true)
	two.down.Store(true)
	if err := s.Delete(t.Context(), "data/2/0a/10-0"); err == nil || errors.Is(err, object.ErrPartial) {
		t.Errorf("when no bucket answers: %v", err)
	}
}

// countedDeletes counts deletions.
type countedDeletes struct {
	object.Store
	n *atomic.Int64
}

func (c *countedDeletes) Delete(ctx context.Context, key string) error {
	c.n.Add(1)
	return c.Store.Delete(ctx, key)
}

// refusing are claims that somebody else can have.
type refusing struct {
	meta.Claims
	on atomic.Bool
}

func (c *refusing) Claim(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	if c.on.Load() {
		return false, nil
	}
	return c.Claims.Claim(ctx, name, owner, ttl)
}

// A runner that lost its lease and has it again copies data as before, with the metrics that it has registered.
func TestCopyingGoesOnWithTheLease(t *testing.T) {
	source := model.New(settings("volume-1"), nil)
	d := withData(t, worldOf(source, model.NewReplica(nil)), source.Client())
	d.addMode(t, mirror.AddOptions{Mode: mirror.ModeFull})
	cfg := d.data(t)
	lease := &refusing{Claims: d.nearClient().(meta.Claims)}
	cfg.Claims, cfg.LeaseTTL = lease, 200*time.Millisecond
	cfg.Metrics = prometheus.NewRegistry()
	cfg.Data.Metrics = cfg.Metrics
	var log lostLease
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	start(t, cfg)
	d.write(t, meta.RootIno, "before", 1)
	d.complete(t)
	for range 2 {
		seen := log.times.Load()
		lease.on.Store(true)
		until(t, "it has lost its lease", func() bool { return log.times.Load() > seen })
		lease.on.Store(false)
		s := d.write(t, meta.RootIno, fmt.Sprint("after", seen), 1)
		d.complete(t)
		d.mustHave(t, d.two, s)
	}
}

// lostLease counts how often a log tells of a lost lease.
type lostLease struct{ times atomic.Int64 }

func (l *lostLease) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "has lost its lease") {
		l.times.Add(1)
	}
	return len(line), nil
}
