package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
	"mirrorfs/mirror/compare"
)

// eachWorld runs a test on sites in memory and on sites in Redis.
func eachWorld(t *testing.T, run func(t *testing.T, w *world)) {
	t.Run("model", func(t *testing.T) { run(t, modelWorld(t)) })
	t.Run("redis", func(t *testing.T) { run(t, patientWorld(t).world) })
}

// patientWorld is for tests without cuts: no call is given up soon.
func patientWorld(t testing.TB) *redisSites { return redisWorldAt(t, redis.Options{}) }

// verify compares the sites over the link.
func (w *world) verify(t testing.TB, opts mirror.VerifyOptions) *mirror.VerifyReport {
	t.Helper()
	report, err := w.tryVerify(t, t.Context(), opts)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return report
}

func (w *world) tryVerify(t testing.TB, ctx context.Context, opts mirror.VerifyOptions) (*mirror.VerifyReport, error) { //nolint:revive // the test comes first everywhere here
	t.Helper()
	src, err := w.upstream(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	opts.Patience = patience
	return mirror.Verify(ctx, src, w.near, opts)
}

// behind changes rows of the mirror behind the log's back.
func (w *world) behind(t testing.TB, effects ...meta.Effect) {
	t.Helper()
	s := mustState(t, w.near)
	err := w.near.Rebase(t.Context(), s)
	for i := range effects {
		err = errors.Join(err, w.near.Load(t.Context(), meta.AppendEffect(nil, &effects[i])))
	}
	if err == nil {
		_, err = w.near.Apply(t.Context(), mustState(t, w.near), nil, s.Position)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// kinds says which differences there are.
func kinds(r *mirror.VerifyReport) string {
	var all []string
	for i := range r.Differences {
		all = append(all, r.Differences[i].String())
	}
	return strings.Join(all, "\n")
}

// Both sites change all the time, and a verification finds no difference; and it settles what was
// changing instead of leaving it out.
func TestPromise12VerifyWhileBothChange(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		rng := seeded(t)
		first := newChurn(session(t, mustClient(t, w)), rng, "a")
		first.run(t, 1500)
		w.add(t)
		start(t, w.config(t))
		w.wait(t)
		// Each page that was compared lets the writers make some more changes, beside the next pages.
		turns := make(chan struct{}, 1000)
		var writers sync.WaitGroup
		second := newChurn(session(t, mustClient(t, w)), rng, "b")
		for _, c := range []*churn{first, second} {
			writers.Go(func() {
				for range turns {
					if _, _, err := c.step(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		settled := 0
		for range 3 {
			report := w.verify(t, mirror.VerifyOptions{PageRows: 100 + rng.IntN(400), Progress: func(uint64) {
				for range 20 {
					select {
					case turns <- struct{}{}:
					default:
					}
				}
			}})
			if !report.Clean || report.Rows == 0 {
				t.Errorf("%d rows compared, differences:\n%s", report.Rows, kinds(report))
			}
			settled += report.Settled
		}
		close(turns)
		writers.Wait()
		t.Logf("%d ranges were settled", settled)
		w.mustBeEqual(t)
	})
}

// Slow divergence is not unnoticed: any row that changed behind the log's back at the mirror is found, and
// nothing else, by what it is about.
func TestPromise12SlowDivergenceUnnoticed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := session(t, mustClient(t, w))
		d := change(t, e, dir(meta.RootIno, "dir")).Node.Ino
		var last meta.Ino
		for i := range 300 {
			last = change(t, e, file(d, fmt.Sprintf("file%03d", i))).Node.Ino
		}
		link := change(t, e, meta.Make{Parent: d, Name: "link", Mode: meta.TypeSymlink | 0o777, Target: "target"}).Node.Ino
		change(t, e, meta.SetXattr{Ino: last, Name: "user.a", Value: []byte("v")})
		first := change(t, e, meta.Reserve{Count: 10}).FirstSlice
		change(t, e, meta.Commit{Ino: last, Chunks: []meta.ChunkExtents{
			{Extents: []meta.Extent{{Len: 4096, Slice: first, Home: 1, Size: 8192}, {Pos: 8192, Len: 4096, Slice: first, Home: 1, Size: 8192, Off: 4096}}},
		}})
		change(t, e, meta.Unlink{Parent: d, Name: "file000"})
		change(t, e, meta.SetQuota{Dir: d, Limit: meta.Usage{Inodes: 1000}})
		w.add(t)
		stop := start(t, w.config(t))
		w.mustBeEqual(t)
		stop()
		if report := w.verify(t, mirror.VerifyOptions{}); !report.Clean || report.Rows < 600 || report.Settled != 0 {
			t.Fatalf("before anything was changed: %+v", report)
		}
		seen := map[string]bool{}
		for _, row := range rows(t, w.near) {
			effects, err := meta.DecodeEffects(row)
			if err != nil {
				t.Fatal(err)
			}
			row := effects[0]
			tampered, want, ok := tamper(row, last, link)
			if !ok || seen[want] {
				continue
			}
			seen[want] = true
			w.behind(t, tampered)
			report := w.verify(t, mirror.VerifyOptions{})
			if report.Clean || report.Count() != 1 || report.Differences[0].Kind != want {
				t.Errorf("%c changed: %d differences, want one of %s:\n%s", row.Kind, report.Count(), want, kinds(report))
			}
			if want == compare.KindXattr && report.Differences[0].Path != "/dir/file299" {
				t.Errorf("the path of %s", &report.Differences[0])
			}
			w.behind(t, row)
		}
		if len(seen) < 8 {
			t.Errorf("only %v were changed", seen)
		}
		if report := w.verify(t, mirror.VerifyOptions{}); !report.Clean {
			t.Errorf("when all is as it was:\n%s", kinds(report))
		}
	})
}

// tamper changes a row, and says as what kind of difference that is to be found.
func tamper(e meta.Effect, file, link meta.Ino) (meta.Effect, string, bool) {
	switch e.Kind {
	case meta.EffectInode:
		e.Attr.Mtime++
		return e, compare.KindAttributes, e.Ino == file
	case meta.EffectEntry:
		e.Ino++
		return e, compare.KindEntry, e.Name == "file150"
	case meta.EffectTarget:
		e.Value = []byte("tarpit")
		return e, compare.KindTarget, e.Ino == link
	case meta.EffectXattr:
		e.Value = []byte("w")
		return e, compare.KindXattr, true
	case meta.EffectChunk:
		e.Value = e.Value[:len(e.Value)/2]
		return e, compare.KindExtents, true
	case meta.EffectRefs:
		e.Count++
		return e, compare.KindReferences, true
	case meta.EffectOrphan:
		e.Name += "x"
		return e, compare.KindOrphan, true
	case meta.EffectQuota:
		e.Quota.Used.Inodes++
		return e, compare.KindQuota, true
	case meta.EffectReply:
		e.Value = append(append([]byte(nil), e.Value...), 'x')
		return e, compare.KindSession, true
	default:
		return e, "", false
	}
}

// A row or a counter that somebody changed in the source's Redis is found too.
func TestPromise12CounterChangedOutsideTheLoggedTransaction(t *testing.T) {
	s := patientWorld(t)
	e := session(t, s.local(t))
	f := change(t, e, file(meta.RootIno, "f")).Node.Ino
	change(t, e, meta.SetXattr{Ino: f, Name: "user.a", Value: []byte("v")})
	s.add(t)
	start(t, s.config(t))
	s.mustBeEqual(t)

	cli(t, s.sourceAddr, "EVAL", `local v = redis.call('HGET', KEYS[1], 'state')
return redis.call('HSET', KEYS[1], 'state', string.sub(v, 1, 46) .. '\7' .. string.sub(v, 48))`, "1", "{test}:v")
	report := s.verify(t, mirror.VerifyOptions{})
	if report.Count() != 1 || report.Differences[0].Kind != compare.KindCounters {
		t.Errorf("used bytes changed at the source:\n%s", kinds(report))
	}
	cli(t, s.sourceAddr, "HSET", fmt.Sprintf("{test}:a%d", f), "user.a", "w")
	report = s.verify(t, mirror.VerifyOptions{})
	if report.Count() != 2 || !strings.Contains(kinds(report), `/f (inode 2): xattr "user.a"`) {
		t.Errorf("and an attribute:\n%s", kinds(report))
	}
}

// Quotas that are set, change and go, ACLs, and directories that hand down their group come to the mirror
// like everything else.
func TestPromise12QuotaDeletionsACLsAndSetgidNotCarried(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := session(t, mustClient(t, w))
		w.add(t)
		start(t, w.config(t))
		w.wait(t)
		d := change(t, e, meta.Make{Parent: meta.RootIno, Name: "d", Mode: meta.TypeDir | meta.ModeSetGID | 0o775, GID: 7}).Node.Ino
		other := change(t, e, dir(meta.RootIno, "other")).Node.Ino
		acl := []byte{2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 6, 0, 8, 0, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255}
		change(t, e, meta.SetXattr{Ino: d, Name: "system.posix_acl_default", Value: acl})
		made := change(t, e, file(d, "made")).Node
		if made.Attr.GID != 7 {
			t.Errorf("the group handed down is %d", made.Attr.GID)
		}
		for _, ino := range []meta.Ino{d, other} {
			change(t, e, meta.SetQuota{Dir: ino, Limit: meta.Usage{Inodes: 10}})
		}
		change(t, e, meta.SetQuota{Dir: other}) // no limits: it goes
		w.mustBeEqual(t)
		if report := w.verify(t, mirror.VerifyOptions{}); !report.Clean {
			t.Errorf("verify:\n%s", kinds(report))
		}
		near := w.nearClient()
		t.Cleanup(func() { _ = near.Close() })
		n, err := near.GetAttr(t.Context(), d)
		if err != nil || n.Attr.Mode&meta.ModeSetGID == 0 || n.Attr.GID != 7 {
			t.Errorf("the directory at the mirror is %+v, %v", n, err)
		}
		if _, err := near.GetXattr(t.Context(), made.Ino, "system.posix_acl_access"); err != nil {
			t.Errorf("the ACL handed down: %v", err)
		}
		quotas, err := near.Quotas(t.Context())
		if err != nil || len(quotas) != 1 || quotas[0].Dir != d {
			t.Errorf("quotas at the mirror are %+v, %v", quotas, err)
		}
	})
}

// A verification that was interrupted goes on where it was.
func TestVerifyResumes(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		newChurn(session(t, mustClient(t, w)), seeded(t), "a").run(t, 1500)
		w.add(t)
		start(t, w.config(t))
		w.mustBeEqual(t)
		whole := w.verify(t, mirror.VerifyOptions{PageRows: 50})
		if !whole.Clean {
			t.Fatalf("verify:\n%s", kinds(whole))
		}
		var calls []uint64
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := w.tryVerify(t, ctx, mirror.VerifyOptions{PageRows: 50, Progress: func(rows uint64) {
			if calls = append(calls, rows); len(calls) == 2 {
				cancel()
			}
		}})
		if err == nil {
			t.Fatal("it was not interrupted")
		}
		at := uint64(0)
		report := w.verify(t, mirror.VerifyOptions{PageRows: 50, Resume: true, Progress: func(rows uint64) {
			if at == 0 {
				at = rows
			}
		}})
		if !report.Clean || report.Rows != whole.Rows || at <= calls[0] {
			t.Errorf("interrupted at %d rows, went on at %d, compared %d of %d", calls, at, report.Rows, whole.Rows)
		}
		last, err := mirror.LastVerified(t.Context(), w.near)
		if err != nil || last.Rows != whole.Rows || last.Differences != 0 || last.Finished.Before(report.Started.Add(-time.Hour)) {
			t.Errorf("what is remembered: %+v, %v", last, err)
		}
	})
}

// A mirror is verified on a schedule, by one of its runners, and what came of it is exported and shown.
func TestPromise12OnASchedule(t *testing.T) {
	w := modelWorld(t)
	newChurn(session(t, mustClient(t, w)), seeded(t), "a").run(t, 200)
	w.add(t)
	cfg, reg := w.config(t), prometheus.NewRegistry()
	cfg.Metrics = reg
	start(t, cfg)
	w.mustBeEqual(t)
	var clock atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	})
	dials := new(atomic.Int64)
	keep := func() {
		done <- mirror.KeepVerified(ctx, mirror.ScheduleOptions{
			Every: time.Hour, Site: w.near, Claims: w.near.(meta.Claims), Retry: time.Millisecond,
			Dial: func(ctx context.Context) (mirror.Upstream, error) {
				if dials.Add(1) == 1 {
					return nil, errors.New("not now")
				}
				return w.upstream(ctx)
			},
			Verify: mirror.VerifyOptions{Now: func() time.Time { return time.Unix(1_000_000+clock.Load(), 0) }},
		})
	}
	go keep() // two runners
	go keep()
	until(t, "it was verified", func() bool { v := w.status(t).Verified; return v != nil && v.Rows > 0 && v.Differences == 0 })
	until(t, "it is exported", func() bool {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "mirrorfs_mirror_verified_timestamp_seconds" {
				return f.GetMetric()[0].GetGauge().GetValue() == 1_000_000
			}
		}
		return false
	})
	if n := dials.Load(); n != 2 { // the first one failed
		t.Errorf("two runners dialled the source %d times to verify once", n)
	}
}
