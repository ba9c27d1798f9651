package chaos_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mirrorfs/integration/harness"
)

// major does what a round is about, has the writers end, and judges.
func (v *volume) major(r *round, writers *[]*writer) {
	v.t.Helper()
	to := v.mirrors()[r.To%len(v.mirrors())]
	switch r.Major {
	case exchange:
		v.takeRole(to, func() {
			to.program.Run("mirror", "switch", to.meta(), "--address", v.source.reach[to], "--timeout", hang.String())
		})
	case promotion:
		v.takeRole(to, func() {
			to.program.Run("mirror", "promote", to.meta(), "--address", v.source.reach[to])
			if _, lost := v.rejoin(v.source, to); lost > 0 {
				v.t.Errorf("%d changes are lost, although the source was there", lost)
			}
		})
	case mending:
		to.program.Run("mirror", "repair", to.meta())
	case loss:
		v.loseSource(r, to, writers)
		return
	case tail:
		v.loseTail(r, writers)
		return
	default:
	}
	reach(*writers, 30)
	v.settle(*writers)
}

// settle ends the writers, and judges.
func (v *volume) settle(writers []*writer) []lostStep {
	v.t.Helper()
	stopAll(writers)
	lost := v.judge(writers)
	for _, w := range writers {
		if !v.t.Failed() {
			must(v.t, os.RemoveAll(v.source.access.Load().path(w.dir)))
		}
	}
	return lost
}

// takeRole makes a mirror the source while programs go on.
func (v *volume) takeRole(to *site, take func()) {
	v.t.Helper()
	old := v.source
	v.roles.Store(&roles{})
	take()
	v.succeed(old, to)
}

// succeed has all sites go by who is the source now. Mounts of the old one are mounted again.
func (v *volume) succeed(old, to *site) {
	v.t.Helper()
	v.source = to
	if old.mount != nil {
		v.crashMount(old)
	}
	for _, s := range v.mirrors() {
		if s != old {
			s.program.Run("mirror", "set", s.meta(), "--source", s.reach[to])
		}
	}
	v.restart()
	v.roles.Store(&roles{to})
}

// rejoin makes an old source a mirror of the one that was promoted, and gives the paths that it
// reports as changed by what is lost.
func (v *volume) rejoin(old, to *site) (reported map[string]bool, lost int) {
	v.t.Helper()
	report := filepath.Join(v.t.TempDir(), "lost.jsonl")
	var res struct {
		Lost int `json:"lost"`
	}
	v.result(old.program.Run("mirror", "rejoin", old.meta(), old.reach[to], "--address", to.reach[old], "--report", report, "--json"), &res)
	reported = map[string]bool{}
	f, err := os.Open(report)
	if errors.Is(err, fs.ErrNotExist) && res.Lost == 0 {
		return reported, 0
	}
	must(v.t, err)
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var change struct {
			Paths []string `json:"paths"`
		}
		v.result(lines.Text(), &change)
		for _, p := range change.Paths {
			reported[p] = true
		}
	}
	return reported, res.Lost
}

// canLose says that of what writers are told is done from now on, the end can be lost, when
// kept has returned: it makes sure that what was before is kept.
func canLose(writers []*writer, kept func()) {
	safe := map[*writer]int{}
	for _, w := range writers {
		w.mu.Lock()
		safe[w] = len(w.steps)
		w.mu.Unlock()
	}
	kept()
	for w, n := range safe {
		w.mu.Lock()
		w.safe = n
		w.mu.Unlock()
	}
}

// strike has all writers end: what they are at now is done before what happens next, or after it.
func (v *volume) strike(writers []*writer) {
	for _, w := range writers {
		w.end.Store(true)
	}
	v.struck.Add(1)
}

// loseSource cuts the source off, lets it go on for a while, and promotes a mirror. Then the source
// comes back.
func (v *volume) loseSource(r *round, to *site, writers *[]*writer) {
	v.t.Helper()
	old := v.source
	v.unequal.Add(1)
	v.roles.Store(&roles{})
	canLose(*writers, func() { v.wait(to) })
	for _, s := range v.mirrors() {
		s.wires["redis-"+old.name].Unplug()
	}
	reach(*writers, int(60*r.Left))
	v.strike(*writers)
	if !r.Alive {
		v.crashMount(old)
		old.server.Kill()
	}
	stopAll(*writers)
	promote := []string{"mirror", "promote", to.meta(), "--address", old.reach[to], "--source-timeout", "1s"}
	if res := to.program.Try(promote...); res.Code != 0 { // its runner has just heard of the source
		to.program.Run(append(promote, "--force")...)
	}
	v.source = to
	for _, s := range v.mirrors() {
		if s != old {
			s.program.Run("mirror", "set", s.meta(), "--source", s.reach[to])
			v.catchUp(s)
		}
	}
	more := v.writers("after", v.without(old))
	reach(more, 60)
	if !old.server.Running() {
		old.server.Start()
	}
	old.wires["redis-"+to.name].Mend()
	reported, count := v.rejoin(old, to)
	v.succeed(old, to)
	v.unequal.Add(1)
	lost := v.settle(append(*writers, more...))
	v.areReported(lost, *writers, reported, count)
	v.t.Logf("%d changes were reported as lost, of which programs made %d", count, len(lost))
}

// areReported compares what is lost with what a rejoin has told.
func (v *volume) areReported(lost []lostStep, writers []*writer, reported map[string]bool, count int) {
	v.t.Helper()
	if len(lost) > count {
		v.t.Errorf("%d calls are lost, and %d changes are reported", len(lost), count)
	}
	touched := map[string]bool{}
	for i, l := range lost {
		told := false
		for _, name := range l.step.names() {
			path := "/" + l.writer.dir + "/" + name
			touched[path] = true
			// A file is told by the path that it had in the end.
			told = told || reported[path] || slices.ContainsFunc(lost[i+1:], func(later lostStep) bool {
				return later.writer == l.writer && slices.Contains(later.step.names(), name)
			})
		}
		if !told {
			v.t.Errorf("%v in %s is lost and not reported", l.step, l.writer.dir)
		}
	}
	for _, w := range writers {
		for i := range w.doubts {
			for _, name := range w.doubts[i].names() {
				touched["/"+w.dir+"/"+name] = true
			}
		}
		for i := range w.steps {
			for _, name := range w.steps[i].names() {
				if path := "/" + w.dir + "/" + name; reported[path] && !touched[path] {
					v.t.Errorf("%s is reported as lost, and nothing of it is", path)
				}
			}
		}
	}
}

// catchUp waits until a mirror has all that its source has, repairing it where it has more.
func (v *volume) catchUp(s *site) {
	v.t.Helper()
	if v.stalledOrEqual(s) {
		s.program.Run("mirror", "repair", s.meta())
	}
	v.wait(s)
}

// loseTail kills the source's Redis, takes the end of its log away and starts it. Mirrors that have
// more than is left stall, and are repaired.
func (v *volume) loseTail(r *round, writers *[]*writer) {
	v.t.Helper()
	s := v.source
	v.unequal.Add(1)
	var kept int64
	canLose(*writers, func() { kept = s.server.Logged() })
	reach(*writers, 60)
	v.strike(*writers)
	s.server.Kill()
	if s.runner != nil {
		s.runner.Kill()
	}
	if r.Alive {
		s.mount.Pause()
	} else {
		v.crashMount(s)
	}
	for _, m := range v.mirrors() {
		m.wires["redis-"+s.name].Unplug()
	}
	s.server.LoseTail(kept + int64(r.Left*float64(s.server.Logged()-kept)))
	s.server.Start()
	left := v.status(s).Position // nobody can have made a change
	ahead := map[*site]bool{}
	for _, m := range v.mirrors() {
		st := v.status(m)
		ahead[m] = left.Before(st.Applied)
		v.t.Logf("the source's log ends at %s, mirror %s has applied %s", left, m.name, st.Applied)
	}
	if r.Alive {
		s.mount.Resume()
	}
	v.heal()
	stopAll(*writers)
	more := v.writers("after", []*site{s})
	reach(more, 60)
	for _, m := range v.mirrors() {
		if ahead[m] {
			v.mustStall(m)
			m.program.Run("mirror", "repair", m.meta())
		}
	}
	more = append(more, v.writers("repaired", v.sites)...)
	reach(more, 60)
	v.unequal.Add(1)
	lost := v.settle(append(*writers, more...))
	v.t.Logf("%d calls were lost", len(lost))
}

func (v *volume) mustStall(s *site) {
	v.t.Helper()
	var st status
	harness.Eventually(v.t, "mirror "+s.name+", which has more than its source, stalls", hang, func() bool {
		st = v.status(s)
		return st.State == "stalled"
	})
	if !strings.Contains(st.Reason, "mirror repair") {
		v.t.Errorf("mirror %s is stalled, and the reason does not say what to do: %s", s.name, st.Reason)
	}
}
