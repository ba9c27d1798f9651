package metatest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
)

// event is one operation of one client: what it did, when, and the answer.
type event struct {
	client int
	change meta.Change
	ask    *question
	// called and returned are ticks of one counter for all clients.
	called, returned int64
	at               meta.Position // of the change, or where the question was answered
	answer           string
}

// history records what several clients do at once.
type history struct {
	ticks atomic.Int64

	mu     sync.Mutex
	events []event
	dirs   []meta.Ino // that some client made
	others []meta.Ino
}

func (h *history) add(e *event, err error) {
	if err != nil {
		e.answer = renderError(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, *e)
}

// inode picks an inode that some client made.
func (h *history) inode(rng *rand.Rand, dir bool) meta.Ino {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.others
	if dir {
		list = h.dirs
	}
	return recent(rng, list)
}

func (h *history) note(n *meta.Node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n.Attr.IsDir() {
		h.dirs = append(h.dirs, n.Ino)
	} else {
		h.others = append(h.others, n.Ino)
	}
}

// checkHistory fails when the model cannot explain a history.
func checkHistory(t *testing.T, cfg Config, seed uint64, ops int, open func(t testing.TB, v Volume) meta.Engine) {
	t.Helper()
	if problem := runHistory(t, cfg, seed, ops, open); problem != "" {
		t.Errorf("seed %d: %s", seed, problem)
	}
}

// runHistory has clients make random changes and ask questions, and then lets
// the model explain all of it: changes in the order of their positions, and each
// question at the position that it was answered at. It returns what it cannot explain.
func runHistory(t testing.TB, cfg Config, seed uint64, ops int, open func(t testing.TB, v Volume) meta.Engine) string {
	t.Helper()
	c := newClock()
	volume := cfg.New(t, c.now)
	h := &history{dirs: []meta.Ino{root}}
	const clients = 4
	engines := make([]meta.Engine, clients)
	for i := range engines {
		engines[i] = open(t, volume)
		start(t, engines[i])
	}
	m := model.New(meta.Volume{Name: "test"}, c.now)
	start(t, m)
	base := seq(t, engines[0])
	var group sync.WaitGroup
	for i, e := range engines {
		group.Go(func() {
			g := &historian{h: h, client: i, engine: e, rng: rand.New(rand.NewPCG(seed, uint64(i)+100))}
			for range ops / clients {
				g.step(t.Context())
			}
		})
	}
	group.Wait()
	if diff := h.explain(t.Context(), m, base); diff != "" {
		return diff
	}
	if diff := firstDifference(renderTree(t.Context(), m), renderTree(t.Context(), engines[0])); diff != "" {
		return "trees: " + diff
	}
	if s, ok := engines[0].(meta.Source); ok {
		if problems := checkRows(t, s); problems != "" {
			return "rows: " + problems
		}
	}
	return ""
}

// historian is one client of a history.
type historian struct {
	h      *history
	client int
	engine meta.Engine
	rng    *rand.Rand
	slice  uint64
}

func (g *historian) step(ctx context.Context) {
	e := event{client: g.client}
	if g.rng.IntN(3) == 0 {
		e.ask = g.question()
		e.called = g.h.ticks.Add(1)
		e.answer = e.ask.answer(ctx, g.engine.View(meta.ViewOptions{Observe: func(p meta.Position) { e.at = p }}), e.ask.ino)
		e.returned = g.h.ticks.Add(1)
		g.h.add(&e, nil)
		return
	}
	e.change = g.change()
	e.called = g.h.ticks.Add(1)
	r, err := g.engine.Change(ctx, e.change)
	e.returned = g.h.ticks.Add(1)
	if e.at = r.Position; err == nil {
		e.answer = renderNode(&r.Node)
		if _, made := e.change.(meta.Make); made {
			g.h.note(&r.Node)
		}
	}
	g.h.add(&e, err)
}

func (g *historian) name() string { return pick(g.rng, []string{"a", "b", "c", "d"}) }

func (g *historian) question() *question {
	q := &question{what: pick(g.rng, []string{"lookup", "lookup", "getattr", "readdir", "resolve", "statfs", "readlink", "listxattr", "quotasat"}), ino: g.h.inode(g.rng, true), name: g.name(), n: 100}
	switch q.what {
	case "readdir":
		q.name = ""
	case "resolve":
		q.ino, q.name = root, g.name()+"/"+g.name()+"/../"+g.name()
	case "getattr", "readlink", "listxattr":
		q.ino = g.h.inode(g.rng, q.what == "listxattr")
	}
	return q
}

func (g *historian) change() meta.Change {
	dir, file := g.h.inode(g.rng, true), g.h.inode(g.rng, false)
	switch n := g.rng.IntN(22); {
	case n == 20:
		return meta.SetQuota{Dir: dir, Limit: meta.Usage{Bytes: uint64(g.rng.IntN(10)) << 12, Inodes: uint64(g.rng.IntN(8))}}
	case n == 21:
		return meta.Count{Dir: dir}
	case n < 5:
		return meta.Make{Parent: dir, Name: g.name(), Mode: pick(g.rng, []uint32{meta.TypeFile, meta.TypeFile, meta.TypeDir, meta.TypeSymlink}), Target: "t"}
	case n < 8:
		return meta.Unlink{Parent: dir, Name: g.name()}
	case n < 9:
		return meta.Rmdir{Parent: dir, Name: g.name()}
	case n < 13:
		return meta.Rename{OldParent: dir, OldName: g.name(), NewParent: g.h.inode(g.rng, true), NewName: g.name(), Flags: meta.RenameFlags(max(g.rng.IntN(4)-1, 0))}
	case n < 15:
		return meta.Link{Ino: file, Parent: dir, Name: g.name()}
	case n < 17:
		return meta.SetAttr{Ino: file, Set: meta.SetMode | meta.SetSize, Mode: uint32(g.rng.IntN(0o1000)), Size: uint64(g.rng.IntN(10000))}
	case n < 19:
		g.slice++
		return commitOf(file, meta.Extent{Pos: uint32(g.rng.IntN(5000)), Len: 1 + uint32(g.rng.IntN(5000)), Slice: uint64(g.client)<<32 + g.slice, Size: 10000})
	default:
		return meta.SetXattr{Ino: file, Name: "user." + g.name(), Value: []byte(g.name())}
	}
}

// errOrder is the complaint of checkOrder.
var errOrder = errors.New("positions go against time")

// explain replays the history on a model. It returns what the model says otherwise.
func (h *history) explain(ctx context.Context, m *model.Engine, base uint64) string {
	if err := h.checkOrder(); err != nil {
		return err.Error()
	}
	changes, questions := map[uint64]*event{}, map[uint64][]*event{}
	last := base
	for i := range h.events {
		e := &h.events[i]
		switch {
		case e.ask != nil:
			questions[e.at.Seq] = append(questions[e.at.Seq], e)
		case !e.at.IsZero():
			if other := changes[e.at.Seq]; other != nil {
				return fmt.Sprintf("position %v was given to\n%#v and to\n%#v", e.at, e.change, other.change)
			}
			changes[e.at.Seq], last = e, max(last, e.at.Seq)
		}
	}
	for seq := base; seq <= last; seq++ {
		if seq > base {
			e := changes[seq]
			if e == nil {
				return fmt.Sprintf("no client made the change at %d", seq)
			}
			r, err := m.Change(ctx, e.change)
			answer := renderNode(&r.Node)
			if err != nil {
				answer = renderError(err)
			}
			if diff := difference(answer, e.answer); diff != "" {
				return fmt.Sprintf("change %d, %#v: %s", seq, e.change, diff)
			}
		}
		for _, e := range questions[seq] {
			if diff := difference(e.ask.answer(ctx, m, e.ask.ino), e.answer); diff != "" {
				return fmt.Sprintf("question at %d, %+v: %s", seq, *e.ask, diff)
			}
		}
		delete(questions, seq)
	}
	for seq := range questions {
		return fmt.Sprintf("a question was answered at %d: the log began at %d and ends at %d", seq, base, last)
	}
	return ""
}

// checkOrder compares the order of positions with the order of time: what had
// ended before another operation began comes before it.
func (h *history) checkOrder() error {
	for i := range h.events {
		for j := range h.events {
			a, b := &h.events[i], &h.events[j]
			if a.returned > b.called || a.at.IsZero() || b.at.IsZero() {
				continue
			}
			tooEarly := b.at.Before(a.at)
			if b.change != nil && b.at == a.at {
				tooEarly = true
			}
			if tooEarly {
				return fmt.Errorf("%w: client %d at %v, and after that client %d at %v", errOrder, a.client, a.at, b.client, b.at)
			}
		}
	}
	return nil
}
