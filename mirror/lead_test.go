package mirror_test

import (
	"context"
	"net/url"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
	"mirrorfs/mirror"
)

// oneOf is a runner's config that agrees with others on who does the work. It counts how
// often the runner opens the source.
func (w *world) oneOf(t testing.TB, pid int, ttl time.Duration) (mirror.Config, *atomic.Int64) {
	t.Helper()
	cfg, dials := w.config(t), new(atomic.Int64)
	cfg.Runner, cfg.LeaseTTL = mirror.Runner{Host: "test", PID: pid}, ttl
	cfg.Claims = w.nearClient().(meta.Claims)
	open := cfg.Dial
	cfg.Dial = func(ctx context.Context) (mirror.Upstream, error) {
		dials.Add(1)
		return open(ctx)
	}
	return cfg, dials
}

// atWork is the process that status tells of.
func (w *world) atWork(t testing.TB) int {
	t.Helper()
	st, err := mirror.GetStatus(t.Context(), w.near, mirror.StatusOptions{})
	if err != nil || st.Runner == nil { // nothing is told while the mirror is emptied for its first copy
		return 0
	}
	return st.Runner.PID
}

// Of two runners one works, and the other does not even look at the source. When the first one
// ends, the other takes over at once.
func TestOneOfTwoRunnersWorks(t *testing.T) {
	for name, w := range map[string]*world{"model": modelWorld(t), "redis": redisWorld(t).world} {
		t.Run(name, func(t *testing.T) {
			writer := newChurn(session(t, mustClient(t, w)), seeded(t), "w")
			w.add(t)
			first, _ := w.oneOf(t, 1, time.Minute)
			stop := start(t, first)
			w.wait(t)
			second, dials := w.oneOf(t, 2, time.Minute)
			start(t, second)
			writer.run(t, 200)
			w.mustBeEqual(t)
			until(t, "status tells of the first", func() bool { return w.atWork(t) == 1 })
			if dials.Load() != 0 {
				t.Error("the second runner looked at the source")
			}
			until(t, "the source knows it too", func() bool {
				st, err := mirror.GetStatus(t.Context(), w.source, mirror.StatusOptions{})
				return err == nil && st.Mirrors[0].Runner != nil && st.Mirrors[0].Runner.PID == 1
			})
			stop()
			writer.run(t, 50)
			w.mustBeEqual(t)
			until(t, "status tells of the second", func() bool { return w.atWork(t) == 2 })
		})
	}
}

// The runner at work is killed again and again, also during the first copy: another one takes over, and
// the log is applied once, without a second copy.
func TestAnotherRunnerTakesOver(t *testing.T) {
	s := redisWorld(t)
	writer := newChurn(session(t, s.local(t)), seeded(t), "w")
	writer.run(t, 1000)
	s.add(t)
	runners := map[int]*exec.Cmd{}
	begin := func() {
		cmd := s.startProcess(t, runnerTTL+"=400ms")
		runners[cmd.Process.Pid] = cmd
	}
	begin()
	begin()
	s.wait(t)
	copied := firstInLog(t, s.world)
	for range 3 {
		writer.run(t, 100)
		var leader int
		until(t, "one works", func() bool { leader = s.atWork(t); return runners[leader] != nil })
		kill(t, runners[leader])
		delete(runners, leader)
		writer.run(t, 100)
		s.mustBeEqual(t)
		until(t, "another works", func() bool { return runners[s.atWork(t)] != nil })
		begin()
	}
	for _, cmd := range runners {
		kill(t, cmd)
	}
	if again := firstInLog(t, s.world); again != copied {
		t.Errorf("the mirror's log begins at %s, and did at %s: it was copied again", again, copied)
	}
	sameLog(t, s.world, copied)
}

// A runner that was killed is followed at once by another one on the same machine, although its lease is for an hour;
// one that runs is not, nor is one of which nobody can tell.
func TestLeaseOfADeadRunnerIsInherited(t *testing.T) {
	s := redisWorld(t)
	writer := newChurn(session(t, s.local(t)), seeded(t), "w")
	s.add(t)
	for range 3 {
		cmd := s.startProcess(t, runnerTTL+"=1h")
		until(t, "it works", func() bool { return s.atWork(t) == cmd.Process.Pid })
		writer.run(t, 50)
		s.mustBeEqual(t)
		kill(t, cmd)
	}
}

// The runner at work loses its way to the mirror's own Redis without being told. Another one takes over; when the
// way is back, the first one waits.
func TestRunnerThatIsCutOffFromItsSite(t *testing.T) {
	s := redisWorld(t)
	s.near = redistest.Start(t, redistest.TCP())
	u, err := url.Parse(s.near)
	if err != nil {
		t.Fatal(err)
	}
	way := newProxy(t, u.Host)
	s.world.near = openReplica(t, s.near, redis.Options{})
	t.Cleanup(func() { _ = s.world.near.Close() })
	writer := newChurn(session(t, s.local(t)), seeded(t), "w")
	s.add(t)

	const ttl = 500 * time.Millisecond
	first, dials := s.oneOf(t, 1, ttl)
	far := openReplica(t, "redis://"+way.p.Listen, quick())
	t.Cleanup(func() { _ = far.Close() })
	first.Replica, first.Claims = far, far
	start(t, first)
	s.wait(t)
	until(t, "the first works", func() bool { return s.atWork(t) == 1 })
	second, _ := s.oneOf(t, 2, ttl)
	start(t, second)
	way.cut()
	writer.run(t, 100)
	until(t, "the second works", func() bool { return s.atWork(t) == 2 })
	s.mustBeEqual(t)
	copied := firstInLog(t, s.world)
	before := dials.Load()
	way.mend()
	writer.run(t, 100)
	s.mustBeEqual(t)
	if s.atWork(t) == 2 && dials.Load() > before {
		t.Log("the first had the lease in between")
	}
	sameLog(t, s.world, copied)
}
