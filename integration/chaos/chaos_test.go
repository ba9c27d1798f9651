package chaos_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"mirrorfs/integration/harness"
)

// everyday is the plan of the short form, always the same one: two mirrors, one of each mode with a
// bucket; a wire swallows, one is torn, Redis is killed, and a source that goes on alone loses its place. A log
// that loses its tail has a test of its own (TestPromise04SourceThatLostItsTail).
const everyday = 104879

// TestChaos does what a plan says to two or three sites, while programs write and read at all of
// them, and looks after each round of it whether all that is promised holds.
func TestChaos(t *testing.T) {
	runs, most := 1, limits{rounds: 1, acts: 3, longest: 1500 * time.Millisecond}
	long := os.Getenv("MIRRORFS_LONG")
	if long == "" && os.Getenv("MIRRORFS_SEED") == "" && os.Getenv("MIRRORFS_ROUNDS") == "" {
		t.Skip("set MIRRORFS_LONG, MIRRORFS_ROUNDS or MIRRORFS_SEED: docs/testing.md says why")
	}
	if long != "" {
		runs, most = 20, limits{rounds: 6, acts: 6, longest: 15 * time.Second}
	}
	if n := os.Getenv("MIRRORFS_ROUNDS"); n != "" {
		var err error
		runs, err = strconv.Atoi(n)
		must(t, err)
	}
	seed := uint64(everyday)
	if long != "" || runs > 1 {
		seed = rand.Uint64()
	}
	if s := os.Getenv("MIRRORFS_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
		runs = 1
	}
	for run := range runs {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			p := newPlan(seed+uint64(run), most)
			t.Logf("%v", p)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("replay with: MIRRORFS_LONG=%s MIRRORFS_SEED=%d go test ./integration/chaos -run '^TestChaos$'", long, p.Seed)
				}
			})
			newVolume(t, p).run()
		})
		if t.Failed() {
			break
		}
	}
}

// run goes through the plan.
func (v *volume) run() {
	v.roles.Store(&roles{v.source})
	var list []*versions
	for _, s := range v.sites {
		list = append(list, newVersions(v.t, s))
	}
	for _, s := range v.mirrors() {
		v.wait(s)
	}
	done := make(chan struct{})
	var beside sync.WaitGroup
	var readers []*reader
	for i, s := range v.sites {
		r := &reader{v: v, at: s, list: list}
		readers = append(readers, r)
		beside.Go(func() { r.watch(done) })
		beside.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					list[i].publish(v)
				}
			}
		})
	}
	stop := sync.OnceFunc(func() { close(done); beside.Wait() })
	defer stop()
	for i := range v.plan.Rounds {
		v.round(i, &v.plan.Rounds[i])
		if v.t.Failed() {
			return
		}
	}
	stop()
	for i, r := range readers {
		v.t.Logf("site %s published %d versions, and read %d times", r.at.name, list[i].next, r.read.Load())
	}
}

// round is one round: writers begin, things happen to them, all is mended and judged.
func (v *volume) round(number int, r *round) {
	v.t.Helper()
	begin := time.Now()
	writers := v.writers("round", v.sites)
	v.passActs(r.Acts, writers)
	acts := time.Since(begin)
	v.major(r, &writers)
	done, doubts := 0, 0
	for _, w := range writers {
		done, doubts = done+len(w.steps), doubts+len(w.doubts)
	}
	v.t.Logf("round %d (%s): %d calls made, %d in doubt; source is %s; %.1f s and %.1f s",
		number, r.Major, done, doubts, v.source.name, acts.Seconds(), (time.Since(begin) - acts).Seconds())
}

// writers starts two writers at each of some sites, in directories that begin with a name.
func (v *volume) writers(name string, sites []*site) (list []*writer) {
	v.t.Helper()
	v.count++
	rng := rand.New(rand.NewPCG(v.plan.Seed, v.count))
	dir := func(s *site, i int) string { return fmt.Sprintf("%s%d-%s%d", name, v.count, s.name, i) }
	for _, s := range sites {
		for i := range 2 {
			path := v.source.access.Load().path(dir(s, i))
			harness.Eventually(v.t, "a directory at the source", hang, func() bool {
				err := os.Mkdir(path, 0o755)
				return err == nil || errors.Is(err, fs.ErrExist)
			})
		}
	}
	for _, s := range sites {
		if s != v.source {
			v.wait(s) // so that the directories are there
		}
	}
	for _, s := range sites {
		for i := range 2 {
			list = append(list, v.startWriter(s, dir(s, i), rng.Uint64()))
		}
	}
	return list
}

// without gives all sites but one.
func (v *volume) without(one *site) []*site {
	return slices.DeleteFunc(slices.Clone(v.sites), func(s *site) bool { return s == one })
}

// reach waits until writers have made so many calls more, or are held up for long.
func reach(writers []*writer, more int) {
	count := func() (n int64) {
		for _, w := range writers {
			n += w.done.Load()
		}
		return n
	}
	enough := time.After(2 * time.Second) // for all sites may be cut off
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for goal := count() + int64(more); count() < goal; {
		select {
		case <-enough:
			return
		case <-tick.C:
		}
	}
}

// passActs does the acts of a round, each when its time has come, and ends them.
func (v *volume) passActs(acts []act, writers []*writer) {
	v.t.Helper()
	var open []undo
	for i := range acts {
		reach(writers, acts[i].After)
		open = append(open, v.perform(&acts[i]))
	}
	for _, u := range open {
		<-u.when
		u.do()
	}
	v.heal()
	reach(writers, 30)
}

// heal mends all wires and starts all parts.
func (v *volume) heal() {
	v.t.Helper()
	for _, s := range v.sites {
		for _, wire := range s.wires {
			wire.Mend()
		}
	}
	v.restart()
}

func stopAll(writers []*writer) {
	for _, w := range writers {
		w.end.Store(true)
	}
	for _, w := range writers {
		<-w.ended
	}
}

// stalledOrEqual waits until a mirror has found that its source differs, or has all of it.
func (v *volume) stalledOrEqual(s *site) (stalled bool) {
	v.t.Helper()
	harness.Eventually(v.t, "mirror "+s.name+" stalls, or follows", hang, func() bool {
		st := v.status(s)
		stalled = st.State == "stalled"
		if stalled && st.Reason == "" {
			v.t.Errorf("mirror %s is stalled without a reason", s.name)
		}
		return stalled || st.State == "following" && st.Applied == st.Position
	})
	return stalled
}
