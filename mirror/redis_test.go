package mirror_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
	"mirrorfs/mirror"
)

// redisSites is two Redis and the way between them.
type redisSites struct {
	*world
	proxy            *proxy
	sourceAddr, near string // addresses without the way between
	farAddr          string // of the source, over the way
}

// quick makes a cut noticed in a test's time.
func quick() redis.Options {
	return redis.Options{ChangeTimeout: 3 * time.Second, CallTimeout: time.Second}
}

// redisWorld formats a volume in one Redis and leaves another empty.
func redisWorld(t testing.TB) *redisSites { return redisWorldAt(t, quick()) }

// redisWorldAt makes one whose clients have options.
func redisWorldAt(t testing.TB, opts redis.Options) *redisSites {
	t.Helper()
	s := &redisSites{sourceAddr: redistest.Start(t, redistest.TCP()), near: redistest.Start(t)}
	u, err := url.Parse(s.sourceAddr)
	if err != nil {
		t.Fatal(err)
	}
	s.proxy = newProxy(t, u.Host)
	s.farAddr = "redis://" + s.proxy.p.Listen
	source, err := redis.Format(t.Context(), s.sourceAddr, settings("volume-1"), redis.Options{Clock: opts.Clock})
	if err != nil {
		t.Fatal(err)
	}
	here := redis.Options{Clock: opts.Clock} // no link is cut on the way to what is near
	near := openReplica(t, s.near, here)
	t.Cleanup(func() {
		if err := errors.Join(source.Close(), near.Close()); err != nil {
			t.Error(err)
		}
	})
	s.world = &world{
		source: source,
		near:   near,
		client: func(ctx context.Context) (meta.Engine, error) { return redis.Open(ctx, s.farAddr, opts) },
		upstream: func(ctx context.Context) (mirror.Upstream, error) {
			e, err := redis.Open(ctx, s.farAddr, opts)
			if err != nil {
				return nil, err
			}
			return e, nil
		},
		nearClient: func() meta.Engine { return openReplica(t, s.near, here) },
	}
	return s
}

func openReplica(t testing.TB, address string, opts redis.Options) *redis.Engine {
	t.Helper()
	e, err := redis.OpenReplica(t.Context(), address, "test", opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// local opens the source without the way between.
func (s *redisSites) local(t testing.TB) *redis.Engine {
	t.Helper()
	return redistest.Open(t, s.sourceAddr, redis.Options{})
}

func TestRedisCopyAndFollowWhileOthersWrite(t *testing.T) {
	s := redisWorld(t)
	s.proxy.delay(10 * time.Millisecond)
	rng := seeded(t)
	a := newChurn(session(t, s.local(t)), rng, "a")
	a.run(t, 3000)
	s.add(t)
	cfg := s.config(t)
	cfg.ScanRows = 20
	start(t, cfg)
	b := newChurn(session(t, s.local(t)), rng, "b")
	for range 20 {
		a.run(t, 100)
		b.run(t, 100)
	}
	s.mustBeEqual(t)
	s.isCaughtUp(t)
	until(t, "the source hears of it", func() bool {
		st, err := mirror.GetStatus(t.Context(), s.source, mirror.StatusOptions{})
		return err == nil && len(st.Mirrors) == 1 && st.Mirrors[0].State == mirror.StateFollowing && st.Mirrors[0].LagRecords == 0
	})
}

// runnerAddr and runnerFar tell the test's own binary to be a runner.
const (
	runnerNear = "MIRRORFS_TEST_RUNNER_NEAR"
	runnerFar  = "MIRRORFS_TEST_RUNNER_FAR"
	// runnerTTL makes it one of several, with a lease of so long.
	runnerTTL = "MIRRORFS_TEST_RUNNER_TTL"
)

// TestMain lets this binary be started as a runner, to be killed.
func TestMain(m *testing.M) {
	if near := os.Getenv(runnerNear); near != "" {
		if err := runUntilKilled(near, os.Getenv(runnerFar)); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func runUntilKilled(near, far string) error {
	ctx := context.Background()
	replica, err := redis.OpenReplica(ctx, near, "test", redis.Options{})
	if err != nil {
		return err
	}
	cfg := mirror.Config{
		Dial:    func(ctx context.Context) (mirror.Upstream, error) { return redis.Open(ctx, far, quick()) },
		Replica: replica, TailWait: 100 * time.Millisecond, ApplyRecords: 20, ScanRows: 50,
		ReportInterval: 20 * time.Millisecond, BackoffMax: 100 * time.Millisecond, ClaimTTL: 200 * time.Millisecond,
	}
	if text := os.Getenv(runnerTTL); text != "" {
		cfg.Claims = replica
		if cfg.LeaseTTL, err = time.ParseDuration(text); err != nil {
			return err
		}
	}
	if os.Getenv(runnerRepairs) == "" {
		return mirror.Run(ctx, cfg)
	}
	open := cfg.Dial
	cfg.Dial = func(ctx context.Context) (mirror.Upstream, error) {
		src, err := open(ctx)
		return &stuckSource{Upstream: src, pages: 10}, err
	}
	_, err = mirror.Repair(ctx, cfg, mirror.RepairOptions{})
	return err
}

// startProcess runs a runner in a process of its own, with more in its environment.
func (s *redisSites) startProcess(t testing.TB, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), runnerNear+"="+s.near, runnerFar+"="+s.farAddr)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func kill(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the runner ended by itself: %v", err)
	}
}

// The runner is killed again and again, first during the copy and then at random
// points of the log: the mirror is equal in the end, and its log is the source's log,
// record for record, with no copy after the first one.
func TestRedisKilledRunner(t *testing.T) {
	s := redisWorld(t)
	rng := seeded(t)
	writer := newChurn(session(t, s.local(t)), rng, "w")
	writer.run(t, 3000)
	s.add(t)
	for range 3 { // during the copy
		cmd := s.startProcess(t)
		writer.run(t, 50+rng.IntN(100))
		kill(t, cmd)
	}
	cmd := s.startProcess(t)
	s.wait(t)
	kill(t, cmd)
	copied := firstInLog(t, s.world)
	for range 8 {
		cmd := s.startProcess(t)
		writer.run(t, 400)
		here, head := mustState(t, s.near2()).Position.Seq, mustState(t, s.source).Position.Seq
		reached := here + rng.Uint64N(head-here+1)
		until(t, "it goes on", func() bool { return mustState(t, s.near2()).Position.Seq >= reached })
		kill(t, cmd)
	}
	cmd = s.startProcess(t)
	s.mustBeEqual(t)
	kill(t, cmd)
	if again := firstInLog(t, s.world); again != copied {
		t.Errorf("the mirror's log begins at %s, and did at %s: it was copied again", again, copied)
	}
	sameLog(t, s.world, copied)
}

// near2 is the mirror's site.
func (s *redisSites) near2() mirror.Site { return s.world.near }

// firstInLog is where the mirror's own log begins: where its copy was noted.
func firstInLog(t testing.TB, w *world) meta.Position {
	t.Helper()
	head := mustState(t, w.near).Position
	for seq := uint64(1); seq <= head.Seq; seq++ {
		if entries, err := w.near.Tail(t.Context(), meta.Position{Epoch: 1, Seq: seq}, 1, 0); err == nil {
			if len(entries) == 0 || entries[0].Position.Seq == seq+1 {
				return meta.Position{Epoch: 1, Seq: seq}
			}
		}
	}
	t.Fatal("the mirror has no log")
	return meta.Position{}
}

// sameLog compares the logs of both sites after a position: each record is there
// once.
func sameLog(t testing.TB, w *world, after meta.Position) {
	t.Helper()
	want, err := w.source.Tail(t.Context(), after, 1<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.near.Tail(t.Context(), after, 1<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != len(got) {
		t.Fatalf("%d records: want %d", len(got), len(want))
	}
	for i := range want {
		if want[i].Position != got[i].Position || string(want[i].Raw) != string(got[i].Raw) {
			t.Fatalf("record %s differs", want[i].Position)
		}
	}
}

func TestRedisCutLinkWhileFollowing(t *testing.T) {
	s := redisWorld(t)
	rng := seeded(t)
	writer := newChurn(session(t, s.local(t)), rng, "w")
	writer.run(t, 500)
	s.add(t)
	start(t, s.config(t))
	s.wait(t)
	copied := firstInLog(t, s.world)
	for range 2 {
		s.proxy.cut()
		writer.run(t, 300)
		until(t, "status tells of the cut", func() bool {
			st := s.status(t)
			return st.State == mirror.StateFollowing && strings.Contains(st.Reason, "link down since") && st.LagSeconds > 0
		})
		s.proxy.mend()
		s.mustBeEqual(t)
		until(t, "status forgets the cut", func() bool { st := s.status(t); return st.Reason == "" && st.LagSeconds == 0 })
	}
	if again := firstInLog(t, s.world); again != copied {
		t.Error("it was copied again")
	}
	sameLog(t, s.world, copied)
}

func TestRedisCutLinkWhileCopying(t *testing.T) {
	s := redisWorld(t)
	s.proxy.delay(20 * time.Millisecond)
	writer := newChurn(session(t, s.local(t)), seeded(t), "w")
	writer.run(t, 2000)
	s.add(t)
	cfg := s.config(t)
	cfg.ScanRows = 20
	cfg.ClaimTTL = 10 * time.Second
	start(t, cfg)
	until(t, "the copy is under way", func() bool { return strings.Contains(s.status(t).Reason, "copied") })
	s.proxy.cut()
	writer.run(t, 100)
	until(t, "status tells of the cut", func() bool { return strings.Contains(s.status(t).Reason, "link down since") })
	s.proxy.mend()
	s.mustBeEqual(t)
}

// Connections of both sites break again and again.
func TestRedisBrokenConnections(t *testing.T) {
	s := redisWorld(t)
	writer := newChurn(session(t, s.local(t)), seeded(t), "w")
	s.add(t)
	start(t, s.config(t))
	for range 15 {
		writer.run(t, 50)
		cli(t, s.near, "CLIENT", "KILL", "TYPE", "normal")
		cli(t, s.sourceAddr, "CLIENT", "KILL", "TYPE", "normal")
	}
	s.mustBeEqual(t)
}

// Neither site's log grows for ever, and the source's keeps what a mirror lacks.
func TestRedisTrimsLogs(t *testing.T) {
	s := redisWorld(t)
	writer := newChurn(session(t, s.local(t)), seeded(t), "w")
	s.add(t)
	cfg := s.config(t)
	cfg.TrimInterval, cfg.KeepRecords = 20*time.Millisecond, 10
	stop := start(t, cfg)
	writer.run(t, 500)
	s.wait(t)
	short := func(m meta.Source) bool {
		head := mustState(t, m).Position
		_, err := m.Tail(t.Context(), meta.Position{Epoch: head.Epoch, Seq: head.Seq - 50}, 1, 0)
		return errors.Is(err, meta.ErrGap)
	}
	until(t, "both logs are short", func() bool { return short(s.source) && short(s.near2()) })
	stop()
	writer.run(t, 300)
	if _, err := s.source.TrimLog(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	start(t, cfg)
	s.mustBeEqual(t)
}

func TestRedisTwoRunners(t *testing.T) {
	s := redisWorld(t)
	writer := newChurn(session(t, s.local(t)), seeded(t), "w")
	writer.run(t, 1000)
	s.add(t)
	a, b := s.startProcess(t), s.startProcess(t)
	for range 10 {
		writer.run(t, 200)
	}
	s.mustBeEqual(t)
	kill(t, a)
	writer.run(t, 200)
	s.mustBeEqual(t)
	kill(t, b)
	sameLog(t, s.world, firstInLog(t, s.world))
}

// cli talks to a Redis as its own tools do.
func cli(t testing.TB, address string, args ...string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	where := []string{"-s", u.Path}
	if u.Scheme == "redis" {
		where = []string{"-h", u.Hostname(), "-p", u.Port()}
	}
	out, err := exec.Command("redis-cli", append(where, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// stalls starts a runner after something was done to the source's Redis, and expects it
// to stop with a reason, and to leave the mirror as it was.
func (s *redisSites) stalls(t *testing.T, reason string) {
	t.Helper()
	before := mustState(t, s.near2())
	start(t, s.config(t))
	until(t, "it stalls because "+reason, func() bool {
		st := s.status(t)
		return st.State == mirror.StateStalled && strings.Contains(st.Reason, reason)
	})
	if after := mustState(t, s.near2()); after.Position.Before(before.Position) {
		t.Errorf("the mirror went from %s to %s", before.Position, after.Position)
	}
	if _, err := s.near2().GetAttr(t.Context(), meta.RootIno); err != nil {
		t.Errorf("a read while stalled: %v", err)
	}
}

// follows runs a runner until the mirror is caught up, and stops it.
func (s *redisSites) follows(t *testing.T) {
	t.Helper()
	stop := start(t, s.config(t))
	s.wait(t)
	stop()
}

func TestPromise04RedisLogTrimmed(t *testing.T) {
	s := redisWorld(t)
	s.add(t)
	s.follows(t)
	newChurn(session(t, s.local(t)), seeded(t), "w").run(t, 100)
	cli(t, s.sourceAddr, "XTRIM", "{test}:log", "MAXLEN", "10")
	s.stalls(t, "trimmed or lost")
}

func TestPromise04RedisRecordDamaged(t *testing.T) {
	s := redisWorld(t)
	s.add(t)
	s.follows(t)
	e := session(t, s.local(t))
	at := change(t, e, file(meta.RootIno, "a")).Position
	last := change(t, e, file(meta.RootIno, "b")).Position
	// Redis cannot change an entry: take the last one out and put another in.
	cli(t, s.sourceAddr, "XDEL", "{test}:log", last.String())
	cli(t, s.sourceAddr, "XSETID", "{test}:log", at.String())
	cli(t, s.sourceAddr, "XADD", "{test}:log", last.String(), "r", strings.Repeat("x", 100))
	s.stalls(t, "checksum")
}

// A Redis that lost the end of its file in a crash is behind its mirror; when it goes
// on, its log differs from what was applied.
func TestPromise04RedisLostItsTail(t *testing.T) {
	s := redisWorld(t)
	s.add(t)
	e := session(t, s.local(t))
	change(t, e, file(meta.RootIno, "a"))
	s.follows(t)
	saved := strings.Split(cli(t, s.sourceAddr, "KEYS", "{test}:*"), "\n")
	for _, key := range saved {
		cli(t, s.sourceAddr, "COPY", key, "old"+key)
	}
	change(t, e, file(meta.RootIno, "b"))
	change(t, e, file(meta.RootIno, "c"))
	s.follows(t)
	for _, key := range strings.Split(cli(t, s.sourceAddr, "KEYS", "{test}:*"), "\n") {
		cli(t, s.sourceAddr, "DEL", key)
	}
	for _, key := range saved {
		cli(t, s.sourceAddr, "RENAME", "old"+key, key)
	}
	t.Run("behind", func(t *testing.T) { s.stalls(t, "behind the") })
	other := session(t, s.local(t))
	change(t, other, file(meta.RootIno, "d"))
	t.Run("level", func(t *testing.T) { s.stalls(t, "differs") })
	change(t, other, file(meta.RootIno, "e"))
	t.Run("ahead", func(t *testing.T) { s.stalls(t, "checksum") })
}

func TestPromise07Wait(t *testing.T) {
	s := redisWorld(t)
	s.proxy.delay(20 * time.Millisecond)
	writer := newChurn(session(t, s.local(t)), seeded(t), "w")
	writer.run(t, 500)
	s.add(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := mirror.Wait(ctx, s.source, s.near2()); !errors.Is(err, mirror.ErrNotThere) || !strings.Contains(err.Error(), "no runner") {
		t.Errorf("waiting for a mirror that nobody runs: %v", err)
	}
	start(t, s.config(t))
	for i := range 20 { // the first waits for the copy
		name := string(rune('a' + i))
		f := change(t, writer.e, file(meta.RootIno, name)).Node.Ino
		at := s.wait(t)
		n, err := s.near2().View(meta.ViewOptions{AtLeast: at}).Lookup(t.Context(), meta.RootIno, name)
		if err != nil || n.Ino != f {
			t.Fatalf("after waiting: %+v, %v", n, err)
		}
	}
}
