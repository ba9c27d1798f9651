package mirror_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror"
)

// No reader of a mirror ever sees half a rename: there is always one of the two names,
// and what was exchanged is never seen twice.
func TestPromise03TransactionBoundary(t *testing.T) {
	s := redisWorld(t)
	rng := seeded(t)
	w := session(t, s.local(t))
	from, to := change(t, w, dir(meta.RootIno, "from")).Node.Ino, change(t, w, dir(meta.RootIno, "to")).Node.Ino
	moved := change(t, w, file(from, "moved")).Node.Ino
	change(t, w, file(from, "x"))
	change(t, w, file(to, "x"))
	s.add(t)
	cfg := s.config(t)
	cfg.ApplyRecords, cfg.TailRecords = 1+rng.IntN(20), 1+rng.IntN(20)
	start(t, cfg)
	s.wait(t)

	var done atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for !done.Load() {
				if problem := s.half(t.Context(), from, to, moved); problem != "" {
					t.Error(problem)
					return
				}
			}
		})
	}
	for i := range 400 {
		a, b := from, to
		if i%2 == 1 {
			a, b = to, from
		}
		change(t, w, meta.Rename{OldParent: a, OldName: "moved", NewParent: b, NewName: "moved"})
		change(t, w, meta.Rename{OldParent: from, OldName: "x", NewParent: to, NewName: "x", Flags: meta.RenameExchange})
	}
	s.wait(t)
	done.Store(true)
	readers.Wait()
	s.mustBeEqual(t)
}

// half reads both directories of the mirror at one position and says what is half done.
func (s *redisSites) half(ctx context.Context, from, to, moved meta.Ino) string {
	var at [3]meta.Position
	view := func(i int) meta.Reader {
		return s.near2().View(meta.ViewOptions{Observe: func(p meta.Position) { at[i] = p }})
	}
	a, err := view(0).ReadDir(ctx, from, "", 10)
	if err != nil {
		return err.Error()
	}
	b, err := view(1).ReadDir(ctx, to, "", 10)
	if err != nil {
		return err.Error()
	}
	n, err := view(2).GetAttr(ctx, moved)
	if err != nil {
		return err.Error()
	}
	if at[0] != at[1] || at[1] != at[2] {
		return "" // not one state
	}
	names := slices.Sorted(slices.Values(append(namesOf(a), namesOf(b)...)))
	if !slices.Equal(names, []string{"moved", "x", "x"}) {
		return fmt.Sprintf("at %s there are %q", at[0], names)
	}
	parent := from
	if slices.Contains(namesOf(b), "moved") {
		parent = to
	}
	if n.Attr.Parent != parent {
		return fmt.Sprintf("at %s the file is in %d and says %d", at[0], parent, n.Attr.Parent)
	}
	if a.Entries[len(a.Entries)-1].Node.Ino == b.Entries[len(b.Entries)-1].Node.Ino {
		return fmt.Sprintf("at %s both names are of one file", at[0])
	}
	return ""
}

// With the link cut, a mount of a mirror on real Redis reads what is here, and fails
// changes and what needs the source in a set time; when the link is back it goes on.
func TestPromise09RedisCutLink(t *testing.T) {
	s := redisWorld(t)
	s.proxy.delay(4 * time.Millisecond)
	s.add(t)
	start(t, s.config(t))
	s.wait(t)
	e, err := mirror.NewEngine(mirror.EngineOptions{
		Near: s.nearClient(), Dial: s.client, ChangeTimeout: time.Second, ReadTimeout: 500 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	session(t, e)
	f := change(t, e, file(meta.RootIno, "f")).Node.Ino
	s.wait(t)
	for range 2 {
		s.proxy.cut()
		if n, err := e.Lookup(t.Context(), meta.RootIno, "f"); err != nil || n.Ino != f {
			t.Errorf("a read during a cut: %+v, %v", n, err)
		}
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				// It may have reached the source before the cut of another: that is no loss.
				_, err := e.Change(t.Context(), file(meta.RootIno, fmt.Sprint("during", i)))
				if meta.Errno(err) == 0 {
					t.Error("a change during a cut worked")
				}
			})
		}
		group.Wait()
		s.proxy.mend()
		until(t, "changes work again", func() bool {
			_, err := e.Change(t.Context(), meta.SetAttr{Ino: f, Set: meta.SetMode, Mode: 0o600})
			return err == nil
		})
		s.mustBeEqual(t)
	}
}

// A mount that comes up while the mirror's first copy is under way, on real Redis,
// with the runner started later.
func TestRedisMountBeforeTheCopy(t *testing.T) {
	s := redisWorld(t)
	w := session(t, s.local(t))
	for i := range 500 {
		change(t, w, file(meta.RootIno, fmt.Sprint("f", i)))
	}
	s.add(t)
	e, err := mirror.NewEngine(mirror.EngineOptions{Near: s.nearClient(), Dial: s.client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	session(t, e)
	made := 0
	use := func() {
		t.Helper()
		change(t, e, file(meta.RootIno, fmt.Sprint("mine", made)))
		made++
		p, err := e.ReadDir(t.Context(), meta.RootIno, "", 4096)
		if err != nil || len(p.Entries) != 500+made {
			t.Fatalf("%d entries, %v: want %d", len(p.Entries), err, 500+made)
		}
	}
	use()
	cfg := s.config(t)
	cfg.ScanRows = 10
	start(t, cfg)
	for mustState(t, s.near2()).Role == meta.RoleBootstrapping {
		use()
	}
	for range 20 {
		use()
	}
	s.mustBeEqual(t)
}
