package metatest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"mirrorfs/meta"
)

// linearTimeout bounds porcupine's search in one history. Histories are small, so
// it is not reached unless something is very wrong.
const linearTimeout = 2 * time.Minute

func runConcurrent(t *testing.T, cfg Config) {
	if cfg.Behind {
		t.Skip("reads may be behind the changes of other clients")
	}
	t.Run("Explained", func(t *testing.T) {
		p := newPlan(t, 1, 2, 2000)
		p.eachSeed(t, func(t *testing.T, seed uint64) { checkHistory(t, cfg, seed, p.ops, openPlain) })
	})
	t.Run("Linearizable", func(t *testing.T) {
		newPlan(t, 1, 2, 2000).eachSeed(t, func(t *testing.T, seed uint64) {
			if problem := runLinear(t, cfg, seed, 25); problem != "" {
				t.Errorf("seed %d: %s", seed, problem)
			}
		})
	})
}

func openPlain(t testing.TB, v Volume) meta.Engine { return v.Open(t) }

// input is an operation on a small namespace, output what it answered.
type input struct {
	what   string
	dir    meta.Ino
	name   string
	dir2   meta.Ino
	name2  string
	flags  meta.RenameFlags
	ino    meta.Ino
	isDir  bool
	mode   uint32
	client int
}

type output struct {
	errno syscall.Errno
	ino   meta.Ino
	mode  uint32
	nlink uint32
	names string
}

// runLinear has four clients work on a few names at once, in rounds, and asks
// porcupine whether one order explains what they saw. It returns what none explains.
func runLinear(t testing.TB, cfg Config, seed uint64, rounds int) string {
	t.Helper()
	volume := cfg.New(t, newClock().now)
	var engines []meta.Engine
	for range 4 {
		e := volume.Open(t)
		start(t, e)
		engines = append(engines, e)
	}
	for round := range rounds {
		made, err := engines[0].Change(t.Context(), meta.Make{Parent: root, Name: fmt.Sprint("round", round), Mode: meta.TypeDir | 0o755})
		if err != nil {
			t.Fatal(err)
		}
		h := &linearHistory{round: made.Node.Ino, seen: []meta.Ino{made.Node.Ino}}
		var group sync.WaitGroup
		for i, e := range engines {
			group.Go(func() { h.work(t, e, i, rand.New(rand.NewPCG(seed, uint64(round*10+i)))) })
		}
		group.Wait()
		switch porcupine.CheckOperationsTimeout(spec(made.Node.Ino), h.operations, linearTimeout) {
		case porcupine.Ok:
		case porcupine.Illegal:
			return fmt.Sprintf("round %d: no order explains this:\n%s", round, h)
		case porcupine.Unknown:
			return fmt.Sprintf("round %d: not decided in %v", round, linearTimeout)
		}
	}
	return ""
}

type linearHistory struct {
	round meta.Ino
	ticks ticker

	mu         sync.Mutex
	seen       []meta.Ino // inodes that some client made
	operations []porcupine.Operation
}

// ticker counts calls and returns.
type ticker struct {
	mu sync.Mutex
	n  int64
}

func (t *ticker) tick() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	return t.n
}

func (h *linearHistory) work(t testing.TB, e meta.Engine, client int, rng *rand.Rand) {
	for range 12 {
		in := h.input(rng, client)
		called := h.ticks.tick()
		out := run(t, e, &in)
		returned := h.ticks.tick()
		h.mu.Lock()
		if in.what == "make" && out.errno == 0 {
			h.seen = append(h.seen, out.ino)
		}
		h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: called, Return: returned})
		h.mu.Unlock()
	}
}

func (h *linearHistory) input(rng *rand.Rand, client int) input {
	names := []string{"a", "b", "c"}
	h.mu.Lock()
	defer h.mu.Unlock()
	dir := func() meta.Ino {
		if rng.IntN(3) > 0 {
			return h.round
		}
		return pick(rng, h.seen)
	}
	return input{
		what: pick(rng, []string{"make", "make", "make", "unlink", "rmdir", "rename", "rename", "link", "chmod", "lookup", "lookup", "getattr", "readdir"}),
		dir:  dir(), name: pick(rng, names), dir2: dir(), name2: pick(rng, names), flags: meta.RenameFlags(max(rng.IntN(4)-1, 0)),
		ino: pick(rng, h.seen), isDir: rng.IntN(3) == 0, mode: uint32(rng.IntN(0o1000)), client: client,
	}
}

// run does what an input says.
func run(t testing.TB, e meta.Engine, in *input) output {
	ctx := t.Context()
	change := func(c meta.Change) (meta.Node, error) {
		r, err := e.Change(ctx, c)
		return r.Node, err
	}
	var n meta.Node
	var err error
	switch in.what {
	case "make":
		kind := meta.TypeFile
		if in.isDir {
			kind = meta.TypeDir
		}
		n, err = change(meta.Make{Parent: in.dir, Name: in.name, Mode: kind | in.mode})
	case "unlink":
		n, err = change(meta.Unlink{Parent: in.dir, Name: in.name})
	case "rmdir":
		_, err = change(meta.Rmdir{Parent: in.dir, Name: in.name})
	case "rename":
		n, err = change(meta.Rename{OldParent: in.dir, OldName: in.name, NewParent: in.dir2, NewName: in.name2, Flags: in.flags})
	case "link":
		n, err = change(meta.Link{Ino: in.ino, Parent: in.dir, Name: in.name})
	case "chmod":
		n, err = change(meta.SetAttr{Ino: in.ino, Set: meta.SetMode, Mode: in.mode})
	case "lookup":
		n, err = e.Lookup(ctx, in.dir, in.name)
	case "getattr":
		n, err = e.GetAttr(ctx, in.ino)
	case "readdir":
		page, err := e.ReadDir(ctx, in.dir, "", 100)
		out := output{errno: meta.Errno(err)}
		for i := range page.Entries {
			out.names += fmt.Sprintf("%s=%d ", page.Entries[i].Name, page.Entries[i].Node.Ino)
		}
		return out
	}
	if err != nil {
		return output{errno: meta.Errno(err)}
	}
	return output{ino: n.Ino, mode: n.Attr.Mode, nlink: n.Attr.Nlink}
}

// String writes a history as a table, by time of call.
func (h *linearHistory) String() string {
	slices.SortFunc(h.operations, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	text := ""
	for _, o := range h.operations {
		text += fmt.Sprintf("%3d-%3d %+v -> %+v\n", o.Call, o.Return, o.Input, o.Output)
	}
	return text
}

// spec is a file system of a few names, for porcupine.
func spec(dir meta.Ino) porcupine.Model {
	return porcupine.Model{
		Init: func() any {
			return small{names: map[entryKey]meta.Ino{}, nodes: map[meta.Ino]smallNode{dir: {mode: meta.TypeDir | 0o755, links: 1, parent: root}}}
		},
		Step: func(state, in, out any) (bool, any) {
			s, _ := state.(small)
			i, _ := in.(input)
			o, _ := out.(output)
			next := small{names: maps.Clone(s.names), nodes: maps.Clone(s.nodes)}
			if i.what == "make" && o.errno == 0 {
				i.ino = o.ino // whatever number it got
			}
			return next.step(&i) == o, next
		},
		Equal: func(a, b any) bool {
			x, _ := a.(small)
			y, _ := b.(small)
			return maps.Equal(x.names, y.names) && maps.Equal(x.nodes, y.nodes)
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
	}
}
