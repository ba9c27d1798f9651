package integration_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// churner changes the files of a directory of its own until it is told to end, or
// a call fails. It knows what the directory holds: of the call that failed, either
// what was before it or what is after it.
type churner struct {
	root, dir string
	rng       *rand.Rand
	end       atomic.Bool
	done      atomic.Int64 // calls that were acknowledged
	ended     chan struct{}

	// Read after ended.
	now    state
	doubt  state // after the call that failed, or nil
	failed error
	last   string
	number int
}

func newChurner(root, dir string, rng *rand.Rand) *churner {
	return &churner{root: root, dir: dir, rng: rng, ended: make(chan struct{}), now: state{}}
}

func (w *churner) run() {
	defer close(w.ended)
	for !w.end.Load() {
		if w.failed = w.step(); w.failed != nil {
			return
		}
		w.now, w.doubt = w.doubt, nil
		w.done.Add(1)
	}
}

// step makes one call. doubt is what holds if it succeeds.
func (w *churner) step() error {
	name := fmt.Sprint(w.rng.IntN(20))
	path := func(name string) string { return filepath.Join(w.root, w.dir, name) }
	_, exists := w.now[name]
	switch op := w.rng.IntN(10); {
	case op < 6 || !exists: // make or replace
		w.number = w.rng.IntN(1 << 20)
		w.last = fmt.Sprintf("write %s", name)
		w.doubt = w.now.with(func(s state) { s[name] = holding{number: w.number} })
		err := os.WriteFile(path(name), small(w.number), 0o644)
		if err != nil { // some of it may be there
			w.doubt[name] = holding{number: w.number, part: true}
		}
		return err
	case op < 8:
		to := fmt.Sprint(w.rng.IntN(20))
		w.last = fmt.Sprintf("rename %s to %s", name, to)
		w.doubt = w.now.with(func(s state) {
			h := s[name]
			delete(s, name)
			s[to] = h
		})
		return os.Rename(path(name), path(to))
	default:
		w.last = "remove " + name
		w.doubt = w.now.with(func(s state) { delete(s, name) })
		return os.Remove(path(name))
	}
}

// check looks whether the directory below root holds what it should.
func (w *churner) check(t *testing.T, root string) {
	t.Helper()
	dir := filepath.Join(root, w.dir)
	before := w.now.differs(dir)
	if before == "" {
		return
	}
	if w.doubt == nil {
		t.Errorf("%s: %s", dir, before)
		return
	}
	if after := w.doubt.differs(dir); after != "" {
		t.Errorf("%s, where %q failed with %v, is neither as before it: %s; nor as after it: %s", dir, w.last, w.failed, before, after)
	}
}
