package chaos_test

import (
	"errors"
	"fmt"
	"io/fs"
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

	mu sync.Mutex
	journal
	now   state
	names [12]int // how often the name of a place was given up
	// safe is how many steps cannot be lost, -1 that none can.
	safe int
	// wrong is an answer that no trouble explains.
	wrong error
}

func (v *volume) startWriter(s *site, dir string, seed uint64) *writer {
	v.t.Helper()
	w := &writer{
		v: v, at: s.access.Load(), dir: dir, rng: rand.New(rand.NewPCG(seed, 1)), ended: make(chan struct{}),
		now: state{}, safe: -1,
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
	from, to := name(w.rng.IntN(len(w.names))), name(w.rng.IntN(len(w.names)))
	_, is := w.now[from]
	switch op := w.rng.IntN(10); {
	case op >= 6 && op < 8 && is && from != to:
		return step{what: rename, from: from, to: to}
	case op >= 8 && is:
		return step{what: unlink, from: from}
	default:
		return step{what: write, to: from, content: w.rng.IntN(1 << 30)}
	}
}

// make makes the call.
func (w *writer) make(s *step) error {
	path := func(name string) string { return w.at.path(w.dir, name) }
	switch s.what {
	case rename:
		return os.Rename(path(s.from), path(s.to))
	case unlink:
		return syscall.Unlink(path(s.from)) // os.Remove tries rmdir next, and tells what that says
	default:
		return os.WriteFile(path(s.to), content(s.content), 0o644)
	}
}

// note writes a step into the journal. It tells whether the writer can go on. One that was under
// way when something was lost may have been made before or after that.
func (w *writer) note(s *step) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.err == nil && !s.struck {
		w.steps = append(w.steps, *s)
		w.now = s.on(w.now, len(w.steps))
		w.done.Add(1)
		return true
	}
	w.doubts = append(w.doubts, *s)
	for place, times := range w.names {
		if slices.Contains(s.names(), fmt.Sprintf("%d.%d", place, times)) {
			w.names[place]++
		}
	}
	if w.safe >= 0 { // what it goes by may be lost
		return false
	}
	if s.err != nil && !isTrouble(s.err) {
		w.wrong = fmt.Errorf("%v", s)
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
	least := len(w.steps)
	if w.safe >= 0 {
		least = w.safe
	}
	made, wrong := w.madeOf(found, least)
	if len(wrong) > 0 {
		t.Errorf("%s, written at site %s, as site %s has it, is no beginning of its journal: of %d calls %d may be lost, and %d are in doubt. After %d calls: %s\n%s",
			w.dir, w.at.site.name, a.site.name, len(w.steps), len(w.steps)-least, len(w.doubts), made, strings.Join(wrong, "; "),
			w.tell(found, least-5))
		return nil
	}
	return w.steps[made:]
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
