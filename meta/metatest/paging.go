package metatest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"mirrorfs/meta"
)

// runPaging reads a directory of thousands of names in pages while other names
// come and go. A name that is there throughout must come exactly once.
func runPaging(t *testing.T, cfg Config) {
	newPlan(t, 1, 1, 400).eachSeed(t, func(t *testing.T, seed uint64) {
		volume := cfg.New(t, newClock().now)
		engines := []meta.Engine{volume.Open(t), volume.Open(t), volume.Open(t)}
		if cfg.Behind {
			engines[1], engines[2] = engines[0], engines[0]
		}
		p := &paging{engine: engines[0], stable: opsOf(t, 400) * 3}
		p.fill(t)
		var churn, readers sync.WaitGroup
		var done atomic.Bool
		for i, e := range engines[1:] {
			if !cfg.Behind {
				start(t, e)
			}
			churn.Go(func() {
				if err := p.churn(t.Context(), e, rand.New(rand.NewPCG(seed, uint64(i))), &done); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			})
		}
		for i, limit := range []int{7, 100, 1000} {
			readers.Go(func() {
				for range 1 + i*4 {
					if err := p.read(t.Context(), engines[i%len(engines)], limit); err != nil {
						t.Errorf("seed %d, pages of %d: %v", seed, limit, err)
						return
					}
				}
			})
		}
		readers.Wait()
		done.Store(true)
		churn.Wait()
		if err := p.read(t.Context(), engines[0], meta.MaxPageEntries); err != nil {
			t.Errorf("seed %d, at the end: %v", seed, err)
		}
		if s, ok := engines[0].(meta.Source); ok {
			if problems := checkRows(t, s); problems != "" {
				t.Errorf("seed %d: rows: %s", seed, problems)
			}
		}
	})
}

// paging is a directory with names that stay, s000000 and so on, between which
// others come and go.
type paging struct {
	engine meta.Engine
	dir    meta.Ino
	stable int
}

func stableName(i int) string { return fmt.Sprintf("s%06d", i) }

func (p *paging) fill(t *testing.T) {
	t.Helper()
	start(t, p.engine)
	made, err := p.engine.Change(t.Context(), meta.Make{Parent: root, Name: "dir", Mode: meta.TypeDir | 0o755})
	if err != nil {
		t.Fatal(err)
	}
	p.dir = made.Node.Ino
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := worker; i < p.stable; i += 8 {
				// In pairs: before the first, the names of a few pages are only ever passing.
				name := stableName(i * 7919 % p.stable)
				if _, err := p.engine.Change(t.Context(), meta.Make{Parent: p.dir, Name: name, Mode: meta.TypeFile | 0o644}); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	group.Wait()
}

// churn makes and removes names: single ones between the stable ones, and whole
// pages of them in one place, which then become empty again.
func (p *paging) churn(ctx context.Context, e meta.Engine, rng *rand.Rand, done *atomic.Bool) error {
	for !done.Load() {
		at := stableName(rng.IntN(p.stable))
		n := 1
		if rng.IntN(10) == 0 {
			n = 300
		}
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("%s-%d-%d", at, rng.IntN(1000), i))
		}
		for _, name := range names {
			if _, err := e.Change(ctx, meta.Make{Parent: p.dir, Name: name, Mode: meta.TypeFile | 0o644}); err != nil && !errors.Is(err, syscall.EEXIST) {
				return err
			}
		}
		for i, name := range names {
			var c meta.Change = meta.Unlink{Parent: p.dir, Name: name}
			if i%5 == 4 { // to the name before, which is free by now
				c = meta.Rename{OldParent: p.dir, OldName: name, NewParent: p.dir, NewName: names[i-1]}
			}
			if _, err := e.Change(ctx, c); err != nil && !errors.Is(err, syscall.ENOENT) {
				return err
			}
		}
	}
	return nil
}

// read reads all pages and says what is wrong with them.
func (p *paging) read(ctx context.Context, e meta.Engine, limit int) error {
	next, after := 0, ""
	for {
		page, err := e.ReadDir(ctx, p.dir, after, limit)
		if err != nil {
			return err
		}
		if len(page.Entries) > limit || page.More && len(page.Entries) == 0 {
			return fmt.Errorf("after %q: %d entries, more %v", after, len(page.Entries), page.More)
		}
		for i := range page.Entries {
			name := page.Entries[i].Name
			if name <= after {
				return fmt.Errorf("%q comes after %q", name, after)
			}
			after = name
			switch {
			case next < p.stable && name > stableName(next):
				return fmt.Errorf("%q is missing: %q came instead", stableName(next), name)
			case next < p.stable && name == stableName(next):
				next++
			}
		}
		if !page.More {
			break
		}
	}
	if next != p.stable {
		return fmt.Errorf("%q and what follows is missing: %q was the last", stableName(next), after)
	}
	return nil
}
