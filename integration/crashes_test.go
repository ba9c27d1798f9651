package integration_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mirrorfs/integration/harness"
)

// crashSites are two sites whose every part can be killed.
type crashSites struct {
	*harness.World
	t                *testing.T
	serverA, serverB *harness.Server
	runner           *harness.Process
	a, b             *harness.Mount
	kept             []*churner // of earlier rounds, whose directories are still there
}

func newCrashSites(t *testing.T) *crashSites {
	t.Helper()
	s := &crashSites{World: harness.New(t, program), t: t}
	s.serverA, s.serverB = s.Server("a"), s.Server("b")
	s.Run("format", s.serverA.Addr(), "vol", "--bucket", s.FileBucket("bucket"), "--trash", "1m")
	s.Run("mirror", "add", s.serverA.Addr(), s.serverB.Addr(), "--site", "b")
	s.startRunner()
	s.mountA()
	s.mountB()
	return s
}

func (s *crashSites) startRunner() { s.runner = s.Start("mirror", "run", s.serverB.Addr()) }
func (s *crashSites) mountA()      { s.a = s.Mount("a", s.serverA.Addr()) }
func (s *crashSites) mountB()      { s.b = s.Mount("b", s.serverB.Addr()) }

// crash kills a part and starts it again. It returns the part's name.
func (s *crashSites) crash(part int) string {
	s.t.Helper()
	switch part {
	case 0:
		s.a.Crash()
		s.mountA()
		return "the mount at the source"
	case 1:
		s.b.Crash()
		s.mountB()
		return "the mount at the mirror"
	case 2:
		s.runner.Kill()
		s.startRunner()
		// It gives up when there is no Redis to begin with: a service would start it again.
		harness.Eventually(s.t, "the runner", 3*time.Minute, func() bool {
			if !s.runner.Running() {
				s.startRunner()
			}
			return strings.Contains(s.runner.Log(), "mirror runs")
		})
		return "the runner"
	case 3:
		s.serverA.Kill()
		s.serverA.Start()
		return "the source's Redis"
	default:
		s.serverB.Kill()
		s.serverB.Start()
		return "the mirror's Redis"
	}
}

// Any part is killed while files are written, replaced, renamed and removed at both
// sites, again and again. After each time the volume is sound, everything that a
// call had acknowledged is there at both sites, and the call that was cut off has
// happened or not, as a whole.
func TestCrashes(t *testing.T) {
	rounds := 6
	if n := os.Getenv("MIRRORFS_ROUNDS"); n != "" {
		var err error
		rounds, err = strconv.Atoi(n)
		must(t, err)
	}
	seed := seedOf(t)
	rng := rand.New(rand.NewPCG(seed, 5))
	s := newCrashSites(t)
	parts := rng.Perm(5)
	for round := range rounds {
		writers := s.writers(rng, round)
		acknowledged := func() (n int) {
			for _, w := range writers {
				n += int(w.done.Load())
			}
			return n
		}
		reach := func(n int) {
			harness.Eventually(t, fmt.Sprintf("%d calls in round %d", n, round), 3*time.Minute, func() bool {
				return acknowledged() >= n || allEnded(writers)
			})
		}
		reach(rng.IntN(120))
		what := s.crash(parts[round%len(parts)])
		if rng.IntN(3) == 0 {
			what += " and " + s.crash(rng.IntN(5))
		}
		reach(acknowledged() + rng.IntN(40))
		for _, w := range writers {
			w.end.Store(true)
		}
		for _, w := range writers {
			<-w.ended
		}
		t.Logf("round %d: %s was killed, %d calls were acknowledged", round, what, acknowledged())
		s.check(round, writers)
		if t.Failed() {
			t.FailNow()
		}
	}
}

func allEnded(writers []*churner) bool {
	for _, w := range writers {
		select {
		case <-w.ended:
		default:
			return false
		}
	}
	return true
}

// writers starts two writers at each site.
func (s *crashSites) writers(rng *rand.Rand, round int) []*churner {
	s.t.Helper()
	var list []*churner
	for i, m := range []*harness.Mount{s.a, s.b, s.a, s.b} {
		dir := fmt.Sprintf("r%d-%d", round, i)
		must(s.t, os.Mkdir(filepath.Join(m.Dir, dir), 0o755))
		w := newChurner(m.Dir, dir, rand.New(rand.NewPCG(rng.Uint64(), 1)))
		go w.run()
		list = append(list, w)
	}
	return list
}

// check compares what is at both sites with what the writers know, and looks at the
// metadata itself.
func (s *crashSites) check(round int, writers []*churner) {
	s.t.Helper()
	for _, w := range writers {
		w.check(s.t, s.a.Dir)
	}
	s.Run("mirror", "wait", s.serverB.Addr(), "--timeout", "5m")
	for _, w := range writers {
		w.check(s.t, s.b.Dir)
	}
	s.Run("fsck", s.serverA.Addr(), "--deep")
	s.Run("fsck", s.serverB.Addr(), "--deep")
	for i, w := range writers {
		if i%2 == 0 {
			s.remove(s.a, w.dir)
		} else {
			s.kept = append(s.kept, w)
		}
	}
	for ; len(s.kept) > keptDirs; s.kept = s.kept[1:] {
		s.kept[0].check(s.t, s.b.Dir)
		s.remove(s.b, s.kept[0].dir)
	}
}

// remove removes a directory at a site, also when its mount was just started and looked for a source that
// was not there yet: for a second after that, changes fail at once.
func (s *crashSites) remove(m *harness.Mount, dir string) {
	s.t.Helper()
	harness.Eventually(s.t, "removal of "+dir, time.Minute, func() bool {
		err := os.RemoveAll(filepath.Join(m.Dir, dir))
		if err != nil && !errors.Is(err, syscall.EIO) {
			s.t.Fatal(err)
		}
		return err == nil
	})
}

// keptDirs is how many directories of earlier rounds stay, to be looked at once more before they go: what is
// removed, in the trash for a minute and reclaimed beside the crashes, must be nothing else.
const keptDirs = 40

// holding is what a file of a churner holds.
type holding struct {
	number int  // of content
	part   bool // or only a first part of it
}

// state is what a directory holds.
type state map[string]holding

func (s state) with(change func(state)) state {
	next := state{}
	for name, h := range s {
		next[name] = h
	}
	change(next)
	return next
}

// differs tells how a directory differs from the state, or nothing.
func (s state) differs(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	var wrong []string
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.Name()] = true
		h, ok := s[e.Name()]
		got, err := os.ReadFile(filepath.Join(dir, e.Name()))
		want := string(small(h.number))
		switch {
		case !ok:
			wrong = append(wrong, e.Name()+" should not be there")
		case err != nil:
			wrong = append(wrong, err.Error())
		case string(got) != want && (!h.part || !strings.HasPrefix(want, string(got))):
			wrong = append(wrong, fmt.Sprintf("%s: %d bytes, which are not the %d of content %d", e.Name(), len(got), len(want), h.number))
		}
	}
	for name := range s {
		if !seen[name] {
			wrong = append(wrong, name+" is missing")
		}
	}
	return strings.Join(wrong, "; ")
}

// small is what a file of a number holds.
func small(number int) []byte {
	b := content(number)
	return b[:min(len(b), 40<<10)]
}
