package metatest_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/metatest"
	"mirrorfs/meta/model"
)

// mutant is the model with one mistake.
type mutant struct {
	*model.Engine
	change func(e *model.Engine, c meta.Change) (meta.Result, error)
	page   func(p meta.Page, limit int) meta.Page
	node   func(n *meta.Node)
}

func (m *mutant) Change(ctx context.Context, c meta.Change) (meta.Result, error) {
	if m.change == nil {
		return m.Engine.Change(ctx, c)
	}
	return m.change(m.Engine, c)
}

func (m *mutant) ReadDir(ctx context.Context, dir meta.Ino, after string, limit int) (meta.Page, error) {
	p, err := m.Engine.ReadDir(ctx, dir, after, limit)
	if m.page != nil {
		p = m.page(p, limit)
	}
	return p, err
}

func (m *mutant) GetAttr(ctx context.Context, ino meta.Ino) (meta.Node, error) {
	n, err := m.Engine.GetAttr(ctx, ino)
	if m.node != nil && err == nil {
		m.node(&n)
	}
	return n, err
}

// rewrites makes a mutant that does something else than it is told.
func rewrites(f func(c meta.Change) meta.Change) mutant {
	return mutant{change: func(e *model.Engine, c meta.Change) (meta.Result, error) {
		return e.Change(context.Background(), f(c))
	}}
}

func mutants() map[string]mutant {
	return map[string]mutant{
		"a change is made twice": {change: func(e *model.Engine, c meta.Change) (meta.Result, error) {
			r, err := e.Change(context.Background(), c)
			if _, ok := c.(meta.SetXattr); ok && err == nil {
				return e.Change(context.Background(), c)
			}
			return r, err
		}},
		"NOREPLACE replaces": rewrites(func(c meta.Change) meta.Change {
			if r, ok := c.(meta.Rename); ok && r.Flags == meta.RenameNoReplace {
				r.Flags = 0
				return r
			}
			return c
		}),
		"setuid stays": rewrites(func(c meta.Change) meta.Change {
			if s, ok := c.(meta.Commit); ok {
				s.ClearSetID = false
				return s
			}
			return c
		}),
		"a commit writes a byte too far": rewrites(func(c meta.Change) meta.Change {
			s, ok := c.(meta.Commit)
			if !ok {
				return c
			}
			e := s.Chunks[0].Extents[0]
			if e.Slice != 0 && e.Off > 0 {
				e.Off--
			}
			s.Chunks = append([]meta.ChunkExtents(nil), s.Chunks...)
			s.Chunks[0].Extents = append([]meta.Extent{e}, s.Chunks[0].Extents[1:]...)
			return s
		}),
		"an orphan leaks": {change: func(e *model.Engine, c meta.Change) (meta.Result, error) {
			if p, ok := c.(meta.Purge); ok && p.Orphan.Name == "" {
				return meta.Result{}, nil
			}
			return e.Change(context.Background(), c)
		}},
		"a restore goes to the root": rewrites(func(c meta.Change) meta.Change {
			if r, ok := c.(meta.Restore); ok {
				r.Parent = meta.RootIno
				return r
			}
			return c
		}),
		"what is overwritten is not kept": rewrites(func(c meta.Change) meta.Change {
			if s, ok := c.(meta.SetAttr); ok {
				s.Set |= meta.NoTrash
				return s
			}
			return c
		}),
		"more is reclaimed than asked for": {change: func(e *model.Engine, c meta.Change) (meta.Result, error) {
			if r, ok := c.(meta.Reclaim); ok {
				all, err := e.Freed(context.Background(), meta.Freed{}, time.Unix(1<<33, 0), 10)
				if err != nil {
					return meta.Result{}, err
				}
				r.Rows = append(all, r.Rows...)
				return e.Change(context.Background(), r)
			}
			return e.Change(context.Background(), c)
		}},
		"a full page loses a name": {page: func(p meta.Page, limit int) meta.Page {
			if limit == 128 && len(p.Entries) == 128 {
				p.Entries = p.Entries[:127]
			}
			return p
		}},
		"the last page says that more comes": {page: func(p meta.Page, _ int) meta.Page {
			p.More = p.More || len(p.Entries) == 2
			return p
		}},
		"a version never changes":      {node: func(n *meta.Node) { n.Attr.Version = 7 }},
		"times lose their nanoseconds": {node: func(n *meta.Node) { n.Attr.Mtime -= n.Attr.Mtime % 1000 }},
	}
}

// A suite that finds nothing proves nothing: it must find each of these mistakes
// with one of a few seeds, and in few steps.
func TestSuiteFindsMistakes(t *testing.T) {
	for name, m := range mutants() {
		t.Run(name, func(t *testing.T) {
			cfg := metatest.Config{New: func(_ testing.TB, clock func() time.Time) metatest.Volume {
				e := model.New(meta.Volume{Name: "test"}, clock)
				return metatest.Volume{Open: func(testing.TB) meta.Engine {
					mistaken := m
					mistaken.Engine = e.Client()
					return &mistaken
				}}
			}}
			for seed := range uint64(5) {
				if steps, diff := metatest.FindDifference(t, cfg, seed+1, 2000); diff != "" {
					t.Logf("seed %d, %d steps: %.200s", seed+1, steps, diff)
					if limit := 200; steps > limit {
						t.Errorf("the shortest list has %d steps", steps)
					}
					return
				}
			}
			t.Error("not found")
		})
	}
}

// forgetful reads from what it remembers now and then, as a cache does that nobody
// told of a change.
type forgetful struct {
	*model.Engine
	mu   sync.Mutex
	asks int
	seen map[meta.Ino]meta.Node
}

func (f *forgetful) GetAttr(ctx context.Context, ino meta.Ino) (meta.Node, error) {
	return f.remember(ctx, f.Engine, ino)
}

func (f *forgetful) remember(ctx context.Context, r meta.Reader, ino meta.Ino) (meta.Node, error) {
	n, err := r.GetAttr(ctx, ino)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asks++; f.asks%2 == 0 && err == nil {
		if old, ok := f.seen[ino]; ok {
			return old, nil
		}
	}
	f.seen[ino] = n
	return n, err
}

func (f *forgetful) View(opts meta.ViewOptions) meta.Reader {
	return &forgetfulView{Reader: f.Engine.View(opts), f: f}
}

type forgetfulView struct {
	meta.Reader
	f *forgetful
}

func (v *forgetfulView) GetAttr(ctx context.Context, ino meta.Ino) (meta.Node, error) {
	return v.f.remember(ctx, v.Reader, ino)
}

func TestSuiteFindsStaleReads(t *testing.T) {
	cfg := metatest.Config{New: func(_ testing.TB, clock func() time.Time) metatest.Volume {
		e := model.New(meta.Volume{Name: "test"}, clock)
		return metatest.Volume{Open: func(testing.TB) meta.Engine {
			return &forgetful{Engine: e.Client(), seen: map[meta.Ino]meta.Node{}}
		}}
	}}
	// Whether a stale read shows depends on scheduling, so there are a few tries.
	linear, explained := "", ""
	for seed := uint64(1); seed <= 50 && (linear == "" || explained == ""); seed++ {
		l, e := metatest.FindDisorder(t, cfg, seed)
		linear, explained = linear+l, explained+e
	}
	if !strings.Contains(linear, "no order explains") {
		t.Errorf("porcupine found nothing: %s", linear)
	}
	if explained == "" {
		t.Error("the model explained it all")
	}
}
