package chaos_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"mirrorfs/meta"
)

// contents are what a directory holds, by name: numbers of content.
type contents map[string]int

// step is a call that a writer made. It changes the names in after, to which content or, with
// gone, to none.
type step struct {
	what          string
	before, after contents // of the names that it touches
	part          bool     // of what was written some may be there
	struck        bool     // something was lost meanwhile
	err           error
}

const gone = -1

// writer changes the files of a directory of its own, and keeps a journal of what it was told is
// done. A name of which it was not told is not used again.
type writer struct {
	v   *volume
	at  *access
	dir string
	rng *rand.Rand

	end   atomic.Bool
	done  atomic.Int64
	ended chan struct{}

	mu     sync.Mutex
	steps  []step // acknowledged, in order
	doubts []step // not known whether done
	now    contents
	names  [12]int // how often the name of a place was given up
	// safe is how many steps cannot be lost, -1 that none can.
	safe int
	// wrong is an answer that no trouble explains.
	wrong error
}

func (v *volume) startWriter(s *site, dir string, seed uint64) *writer {
	v.t.Helper()
	w := &writer{
		v: v, at: s.access.Load(), dir: dir, rng: rand.New(rand.NewPCG(seed, 1)), ended: make(chan struct{}),
		now: contents{}, safe: -1,
	}
	go w.run()
	return w
}

func (w *writer) run() {
	defer close(w.ended)
	for more := true; more && !w.end.Load(); {
		struck := w.v.struck.Load()
		s := w.next()
		s.err = w.make(&s)
		s.struck = w.v.struck.Load() != struck
		more = w.note(&s)
	}
}

// next draws a step.
func (w *writer) next() step {
	name := func(place int) string { return fmt.Sprintf("%d.%d", place, w.names[place]) }
	place, other := w.rng.IntN(len(w.names)), w.rng.IntN(len(w.names))
	from, to := name(place), name(other)
	has := func(name string) int {
		if n, ok := w.now[name]; ok {
			return n
		}
		return gone
	}
	s := step{before: contents{from: has(from)}}
	switch op := w.rng.IntN(10); {
	case op >= 6 && op < 8 && has(from) != gone && from != to:
		s.what = "rename"
		s.before[to] = has(to)
		s.after = contents{from: gone, to: has(from)}
	case op >= 8 && has(from) != gone:
		s.what = "unlink"
		s.after = contents{from: gone}
	default:
		s.what, s.part = "write", true
		s.after = contents{from: w.rng.IntN(1 << 30)}
	}
	return s
}

// make makes the call.
func (w *writer) make(s *step) error {
	path := func(name string) string { return w.at.path(w.dir, name) }
	var from, to string
	for name, n := range s.after {
		if n == gone {
			from = path(name)
		} else {
			to = path(name)
		}
	}
	switch s.what {
	case "rename":
		return os.Rename(from, to)
	case "unlink":
		return os.Remove(from)
	default:
		for _, n := range s.after {
			return os.WriteFile(to, content(n), 0o644)
		}
	}
	return nil
}

// note writes a step into the journal. It tells whether the writer can go on. One that was under
// way when something was lost may have been made before or after that.
func (w *writer) note(s *step) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.err == nil && !s.struck {
		w.steps = append(w.steps, *s)
		w.now = s.on(w.now)
		w.done.Add(1)
		return true
	}
	w.doubts = append(w.doubts, *s)
	for place, times := range w.names {
		if _, ok := s.after[fmt.Sprintf("%d.%d", place, times)]; ok {
			w.names[place]++
		}
	}
	if w.safe >= 0 { // what it goes by may be lost
		return false
	}
	if s.err != nil && !isTrouble(s.err) {
		w.wrong = fmt.Errorf("%s of %v: %w", s.what, s.after, s.err)
	}
	return w.wrong == nil && !errors.Is(s.err, syscall.ENOTCONN) && !errors.Is(s.err, syscall.EROFS)
}

// isTrouble tells whether an error is one of those that a program gets while something is
// broken.
func isTrouble(err error) bool {
	switch meta.Errno(err) {
	case syscall.EIO, syscall.ETIMEDOUT, syscall.ENOTCONN, syscall.ECONNABORTED, syscall.EROFS, syscall.EINTR:
		return true
	default:
		return false
	}
}

// on gives what a directory holds after a step.
func (s *step) on(c contents) contents {
	next := maps.Clone(c)
	for name, n := range s.after {
		if n == gone {
			delete(next, name)
		} else {
			next[name] = n
		}
	}
	return next
}

// check compares a directory with the journal: all steps were made, or, if some can be lost, all
// but the last ones. It tells how many are missing.
func (w *writer) check(t *testing.T, a *access) (lost []step) {
	t.Helper()
	if w.wrong != nil {
		t.Errorf("%s: a program at site %s was told %v", w.dir, w.at.site.name, w.wrong)
	}
	found, err := read(a.path(w.dir))
	if err != nil {
		t.Errorf("%s at site %s: %v", w.dir, a.site.name, err)
		return nil
	}
	states := []contents{{}}
	for i := range w.steps {
		states = append(states, w.steps[i].on(states[i]))
	}
	least := len(w.steps)
	if w.safe >= 0 {
		least = w.safe
	}
	for k := len(w.steps); k >= least; k-- {
		doubts := w.doubts
		if k < len(w.steps) { // the first that is lost may have been several changes
			doubts = append(slices.Clone(doubts), w.steps[k])
		}
		if len(differ(found, states[k], doubts)) == 0 {
			return w.steps[k:]
		}
	}
	t.Errorf("%s, written at site %s, as site %s has it, after %d calls of which %d may be lost, and %d of which it is not known: %s",
		w.dir, w.at.site.name, a.site.name, len(w.steps), len(w.steps)-least, len(w.doubts),
		strings.Join(differ(found, states[len(w.steps)], w.doubts), "; "))
	return nil
}

// differ tells how what was found differs from a state, doubtful names apart: each doubtful step
// has been made or not, as a whole.
func differ(found map[string][]byte, want contents, doubts []step) (wrong []string) {
	found = maps.Clone(found)
	want = maps.Clone(want)
	for i := range doubts {
		d := &doubts[i]
		as := contents{}
		for name := range d.after {
			as[name] = gone
			if n, ok := want[name]; ok {
				as[name] = n
			}
		}
		whole := holds(found, as, false) || holds(found, d.before, false) || holds(found, d.after, d.part)
		if !whole && d.struck {
			whole = d.isOver(found, as) || d.isOver(found, d.before)
		}
		if !whole {
			wrong = append(wrong, fmt.Sprintf("of %s %v, after %v, which was answered with %v, a part was done", d.what, d.after, d.before, d.err))
		}
		for name := range d.after {
			delete(found, name)
			delete(want, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !holds(found, contents{name: want[name]}, false) {
			data, ok := found[name]
			wrong = append(wrong, fmt.Sprintf("%s (there: %t) has %d bytes, which are not those of content %d", name, ok, len(data), want[name]))
		}
		delete(found, name)
	}
	for name := range found {
		wrong = append(wrong, name+" should not be there")
	}
	return wrong
}

// isOver tells whether what a step wrote lies over what was there: that the file was cut to nothing
// first, which the program was told is done, is lost then.
func (s *step) isOver(found map[string][]byte, before contents) bool {
	for name, n := range s.after {
		if old, ok := before[name]; ok && old != gone && n != gone && s.part {
			want := content(old)
			written := content(n)
			return bytes.Equal(found[name], append(written, want[min(len(want), len(written)):]...))
		}
	}
	return false
}

// holds tells whether names have contents, or a first part of them.
func holds(found map[string][]byte, want contents, part bool) bool {
	for name, n := range want {
		data, ok := found[name]
		switch {
		case n == gone:
			if ok {
				return false
			}
		case !ok || !bytes.Equal(data, content(n)) && (!part || !bytes.HasPrefix(content(n), data)):
			return false
		}
	}
	return true
}

// read reads all files of a directory.
func read(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	for _, e := range entries {
		data, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			found[e.Name()] = data
		}
	}
	return found, nil
}

// content is what a file of a number holds.
func content(number int) []byte {
	seed := [32]byte{}
	binary.LittleEndian.PutUint64(seed[:], uint64(number))
	random := rand.NewChaCha8(seed)
	b := make([]byte, 1+random.Uint64()%(40<<10))
	_, _ = random.Read(b)
	return b
}
