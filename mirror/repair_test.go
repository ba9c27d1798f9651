package mirror_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror"
)

// repair repairs the mirror over the link.
func (w *world) repair(t testing.TB, opts mirror.RepairOptions) *mirror.RepairReport {
	t.Helper()
	report, err := mirror.Repair(t.Context(), w.config(t), opts)
	if err != nil {
		t.Fatalf("repair: %v", err)
	}
	return report
}

// stalls starts a runner, which must stop with a reason that says what to do.
func (w *world) stalls(t *testing.T, reason string) (stop func()) {
	t.Helper()
	stop = start(t, w.config(t))
	until(t, "it stalls because "+reason, func() bool {
		st := w.status(t)
		return st.State == mirror.StateStalled && strings.Contains(st.Reason, reason) && strings.Contains(st.Reason, "mirrorfs mirror repair")
	})
	return stop
}

// twin is a second source that is what the first is now: an older replica later on.
func twin(t testing.TB, source meta.Source, v meta.Volume) *model.Engine {
	t.Helper()
	ctx := t.Context()
	at := mustState(t, source)
	e := model.NewReplica(nil)
	err := e.Reset(ctx, v, at)
	for cursor := meta.Cursor(nil); err == nil; {
		var b meta.Batch
		if b, err = source.Scan(ctx, cursor, 1000); err == nil {
			err = e.Load(ctx, b.Effects)
		}
		if cursor = b.Next; cursor == nil {
			break
		}
	}
	if err == nil {
		err = e.BecomeSource(ctx, at)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The source fails over to an older replica of its metadata: the mirror has applied what the source
// has no more, stalls, and is repaired while somebody writes. In the end it equals the source and
// follows it.
func TestPromise04FailoverToAnOlderReplica(t *testing.T) {
	w := modelWorld(t)
	rng := seeded(t)
	writer := newChurn(session(t, mustClient(t, w)), rng, "a")
	writer.run(t, 1500)
	w.add(t)
	stop := start(t, w.config(t))
	w.mustBeEqual(t)
	v, err := w.source.Volume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := twin(t, w.source, v)
	newChurn(writer.e, rng, "lost").run(t, 200) // of which the replica never hears
	w.mustBeEqual(t)
	stop()

	near, _ := w.near.(*model.Engine)
	failed := worldOf(old, near)
	after := newChurn(session(t, old.Client()), rng, "new")
	stop = failed.stalls(t, "behind the")
	after.run(t, 300)
	failed.repaired(t, after)
	stop()
}

// repaired repairs a mirror, with and without a dry run, while a writer goes on, and expects it to be
// exact and to follow.
func (w *world) repaired(t *testing.T, writer *churn) *mirror.RepairReport {
	t.Helper()
	before := mustState(t, w.near)
	dry := w.repair(t, mirror.RepairOptions{DryRun: true})
	if now := mustState(t, w.near); now != before || dry.Copied+dry.Removed == 0 || len(dry.Differences) == 0 {
		t.Errorf("a dry run moved the mirror from %v to %v, found %+v", before, now, dry.Repaired)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for range 200 {
			if _, _, err := writer.step(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	report := w.repair(t, mirror.RepairOptions{})
	writing.Wait()
	w.mustBeEqual(t)
	writer.run(t, 100)
	w.mustBeEqual(t)
	if again := w.verify(t, mirror.VerifyOptions{}); !again.Clean {
		t.Errorf("verify after the repair:\n%s", kinds(again))
	}
	return report
}

// A runner that has stalled, and would look again in an hour, goes on at once when its mirror is repaired: it has
// the lease, so the work is its own.
func TestRepairWakesAStalledRunner(t *testing.T) {
	w := modelWorld(t)
	writer := newChurn(session(t, mustClient(t, w)), seeded(t), "a")
	writer.run(t, 100)
	w.add(t)
	stop := start(t, w.config(t))
	w.mustBeEqual(t)
	v, err := w.source.Volume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := twin(t, w.source, v)
	writer.run(t, 50) // of which the replica never hears
	w.mustBeEqual(t)
	stop()

	near, _ := w.near.(*model.Engine)
	failed := worldOf(old, near)
	stalled, _ := failed.oneOf(t, 1, time.Minute)
	stalled.StallRetry = time.Hour
	start(t, stalled)
	until(t, "it stalls", func() bool { return failed.status(t).State == mirror.StateStalled && failed.atWork(t) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	beside, _ := failed.oneOf(t, 2, time.Minute)
	if _, err := mirror.Repair(ctx, beside, mirror.RepairOptions{}); err != nil {
		t.Fatalf("repair: %v", err)
	}
	failed.mustBeEqual(t)
	if by := failed.atWork(t); by != 1 {
		t.Errorf("runner %d does the work, not the one that has the lease", by)
	}
}

// loseTail lets something happen at the source that it forgets, as a Redis does that lost the end of its
// file in a crash.
func (s *redisSites) loseTail(t testing.TB, happens func()) {
	t.Helper()
	cli(t, s.sourceAddr, "EVAL", `for _, k in ipairs(redis.call('KEYS', '{test}:*')) do redis.call('COPY', k, 'old' .. k) end`, "0")
	happens()
	cli(t, s.sourceAddr, "EVAL", `for _, k in ipairs(redis.call('KEYS', '{test}:*')) do redis.call('DEL', k) end
for _, k in ipairs(redis.call('KEYS', 'old{test}:*')) do redis.call('RENAME', k, string.sub(k, 4)) end`, "0")
}

// many makes files through several clients at once.
func (s *redisSites) many(t testing.TB, n int) {
	t.Helper()
	d := change(t, session(t, s.local(t)), dir(meta.RootIno, "many")).Node.Ino
	var makers sync.WaitGroup
	for c := range 4 {
		e := session(t, s.local(t))
		makers.Go(func() {
			for i := c; i < n; i += 4 {
				if _, err := e.Change(t.Context(), file(d, fmt.Sprintf("file%06d", i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	makers.Wait()
}

// A mirror of many files, of which the source lost some: the repair copies what differs, a few pages and
// not everything, and leaves the keys that a copy would have.
func TestPromise04RepairCopiesOnlyWhatDiffers(t *testing.T) {
	s := patientWorld(t)
	files := 2000
	if os.Getenv("MIRRORFS_LONG") != "" {
		files = 20_000
	}
	s.many(t, files)
	s.add(t)
	s.follows(t)
	e := session(t, s.local(t))
	s.follows(t)
	s.loseTail(t, func() {
		lost := session(t, s.local(t))
		for i := range 3 {
			change(t, lost, file(meta.RootIno, fmt.Sprint("lost", i)))
		}
		// Numbers that are given anew: to a file where a directory was, and the other way round.
		d := change(t, lost, dir(meta.RootIno, "lostdir")).Node.Ino
		for i := range 300 {
			change(t, lost, file(d, fmt.Sprint("f", i)))
		}
		first := change(t, lost, meta.Reserve{Count: 40_000}).FirstSlice // of a group of marks that the source has not
		big := change(t, lost, file(d, "big")).Node.Ino
		change(t, lost, meta.Commit{Ino: big, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{{Len: 1, Slice: first + 39_000, Home: 1, Size: 1}}}}})
		change(t, lost, meta.Unlink{Parent: meta.RootIno, Name: "lost0"})
		s.follows(t)
	})
	stop := s.world.stalls(t, "behind the")
	for i := range 2 {
		change(t, e, dir(meta.RootIno, fmt.Sprint("dir", i)))
	}
	for i := range 8 {
		change(t, e, file(meta.RootIno, fmt.Sprint("file", i)))
	}
	report := s.repair(t, mirror.RepairOptions{})
	s.mustBeEqual(t)
	s.sameKeys(t)
	// That enough was removed the keys show: see Repaired on what is not counted.
	if report.Compared < uint64(2*files) || report.Read > 2000 || report.Copied > 100 {
		t.Errorf("of a volume of %d files: %+v", files, report.Repaired)
	}
	t.Logf("%+v", report.Repaired)
	change(t, e, file(meta.RootIno, "after"))
	s.mustBeEqual(t)
	s.sameKeys(t)
	stop()
}

// keysText gives a line for each key of some kinds.
const keysText = `local out = {}
local function hex(s) return (string.gsub(s, '.', function(c) return string.format('%02x', string.byte(c)) end)) end
for _, k in ipairs(redis.call('KEYS', '{test}:[kgnaclqrofpdxi]*')) do
  local kind, text, rows = redis.call('TYPE', k).ok, '', {}
  if kind == 'string' then
    text = hex((string.gsub(redis.call('GET', k), '%z+$', '')))
  elseif kind == 'hash' and k ~= '{test}:local' and k ~= '{test}:cfg' then
    local l = redis.call('HGETALL', k)
    -- How a directory is paged is a copy's own business.
    if string.match(k, ':[dx]%d+') and redis.call('EXISTS', (string.gsub(k, ':[dx](%d+).*', ':x%1'))) == 1 then l = {} end
    if string.match(k, ':i') then for i = 2, #l, 2 do l[i] = string.sub(l[i], 1, 55) end end
    for i = 1, #l, 2 do rows[#rows + 1] = hex(l[i]) .. '=' .. hex(l[i + 1]) end
    table.sort(rows)
  elseif kind == 'zset' and not string.match(k, ':x') then
    local l = redis.call('ZRANGE', k, 0, -1, 'WITHSCORES')
    for i = 1, #l, 2 do rows[#rows + 1] = hex(l[i]) .. '=' .. l[i + 1] end
  end
  if text ~= '' or #rows > 0 then out[#out + 1] = k .. ' ' .. text .. table.concat(rows, ' ') end
end
return table.concat(out, '\n')`

// sameKeys compares what has no rows of its own, key by key: marks of slices, and what leads from a
// slice or an inode to a row.
func (s *redisSites) sameKeys(t testing.TB) {
	t.Helper()
	content := func(address string) map[string]string {
		all := map[string]string{}
		for line := range strings.Lines(cli(t, address, "EVAL", keysText, "0")) {
			key, text, _ := strings.Cut(strings.TrimSpace(line), " ")
			all[key] = text
		}
		return all
	}
	want, got := content(s.sourceAddr), content(s.near)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if want[key] != got[key] {
			t.Errorf("key %s: the source has\n%q\nand the mirror\n%q", key, want[key], got[key])
		}
		delete(got, key)
	}
	for key, text := range got {
		t.Errorf("key %s: the source has none, and the mirror\n%q", key, text)
	}
}

// Random rows of all kinds, lost at the source and others made instead, with somebody writing during the
// repair.
func TestPromise04RedisRepairAfterALostTail(t *testing.T) {
	s := patientWorld(t)
	rng := seeded(t)
	writer := newChurn(session(t, s.local(t)), rng, "a")
	change(t, writer.e, meta.Reserve{Count: 1000})
	writer.slices = 1000
	writer.run(t, 1500)
	s.add(t)
	s.follows(t)
	s.loseTail(t, func() {
		lost := newChurn(session(t, s.local(t)), rng, "lost")
		lost.slices, lost.files, lost.dirs = 1000, writer.files, writer.dirs
		lost.run(t, 500)
		s.follows(t)
	})
	stop := s.world.stalls(t, "behind the")
	writer.run(t, 300)
	s.repaired(t, writer)
	s.sameKeys(t)
	stop()
}

// runnerRepairs tells the test's own binary to repair, and to stick after some pages.
const runnerRepairs = "MIRRORFS_TEST_REPAIRS"

// stuckSource answers no more after some pages.
type stuckSource struct {
	mirror.Upstream
	pages int
}

func (s *stuckSource) Digest(ctx context.Context, from meta.Place, ends []meta.Place, limit int) (meta.Digest, error) {
	if s.pages--; s.pages < 0 {
		<-ctx.Done()
		return meta.Digest{}, ctx.Err()
	}
	return s.Upstream.Digest(ctx, from, ends, limit)
}

// A repair that is killed in the middle is gone on with by the next one, or by any runner: nothing is
// copied anew.
func TestPromise04RepairKilled(t *testing.T) {
	s := patientWorld(t)
	s.many(t, 1500)
	s.add(t)
	s.follows(t)
	writer := newChurn(session(t, s.local(t)), seeded(t), "w")
	writer.slices = 1000
	change(t, writer.e, meta.Reserve{Count: 1000})
	s.follows(t)
	s.loseTail(t, func() {
		lost := newChurn(session(t, s.local(t)), seeded(t), "lost")
		lost.slices = 1000
		lost.run(t, 100)
		s.follows(t)
	})
	place := func() string {
		local, err := s.near2().Local(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return local["copy"]
	}
	for range 2 {
		before := place()
		cmd := s.startProcess(t, runnerRepairs+"=1")
		until(t, "it gets on", func() bool { now := place(); return now != before && strings.Contains(now, `"place"`) })
		kill(t, cmd)
		if role := mustState(t, s.near2()).Role; role != meta.RoleBootstrapping {
			t.Fatalf("half a repair is %c", role)
		}
		writer.run(t, 50)
	}
	counted := &crashReplica{Replica: s.world.near}
	counted.applied, counted.resets = new(atomic.Int64), new(atomic.Int64)
	cfg := s.config(t)
	cfg.Replica = counted
	stop := start(t, cfg)
	s.mustBeEqual(t)
	s.sameKeys(t)
	if n := counted.resets.Load(); n != 0 {
		t.Errorf("the runner made %d copies", n)
	}
	stop()
	if text := place(); !strings.Contains(text, `"compared_rows"`) {
		t.Errorf("what the repair left: %s", text)
	}
}
