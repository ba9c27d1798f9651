package mirror_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
	"mirrorfs/mirror"
)

const thirdAddress = "redis://third/0"

// chained is a source, a mirror of it, and a third site that the mirror feeds.
type chained struct {
	*world
	third mirror.Site
	// thirdClient opens the third site once more.
	thirdClient func() meta.Engine

	mu      sync.Mutex
	cut     map[string]bool // addresses that the third site does not reach
	fetched map[string]*atomic.Int64
}

func newChained(w *world, third mirror.Site, client func() meta.Engine) *chained {
	return &chained{world: w, third: third, thirdClient: client, cut: map[string]bool{}, fetched: map[string]*atomic.Int64{
		sourceAddress: {}, nearAddress: {}, thirdAddress: {},
	}}
}

// chains runs a test on sites in memory and in Redis.
func chains(t *testing.T, test func(t *testing.T, c *chained)) {
	t.Run("Model", func(t *testing.T) { test(t, modelChain(t)) })
	t.Run("Redis", func(t *testing.T) {
		address := redistest.Start(t)
		third := openReplica(t, address, redis.Options{})
		t.Cleanup(func() { _ = third.Close() })
		test(t, newChained(redisWorld(t).world, third, func() meta.Engine { return openReplica(t, address, redis.Options{}) }))
	})
}

func modelChain(t testing.TB) *chained {
	third := model.NewReplica(nil)
	return newChained(modelWorld(t), third, func() meta.Engine { return third.Client() })
}

// reach says whether the third site gets to an address.
func (c *chained) reach(address string, reached bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[address] = !reached
}

func (c *chained) lost(address string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut[address] {
		return &meta.Error{Op: "dial", Err: meta.ErrUnreachable}
	}
	return nil
}

// counted is a site as the third one reaches it: what is read of its log and rows is counted.
type counted struct {
	mirror.Site
	c       *chained
	address string
}

func (f counted) Close() error { return nil }

func (f counted) State(ctx context.Context) (meta.State, error) {
	if err := f.c.lost(f.address); err != nil {
		return meta.State{}, err
	}
	return f.Site.State(ctx)
}

func (f counted) Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error) {
	if err := f.c.lost(f.address); err != nil {
		return nil, err
	}
	entries, err := f.Site.Tail(ctx, after, limit, wait)
	f.c.fetched[f.address].Add(int64(len(entries)))
	return entries, err
}

func (f counted) Scan(ctx context.Context, from meta.Cursor, limit int) (meta.Batch, error) {
	if err := f.c.lost(f.address); err != nil {
		return meta.Batch{}, err
	}
	f.c.fetched[f.address].Add(1)
	return f.Site.Scan(ctx, from, limit)
}

func (f counted) Acknowledge(ctx context.Context, s meta.MirrorState) error {
	if err := f.c.lost(f.address); err != nil {
		return err
	}
	return f.Site.Acknowledge(ctx, s)
}

func (c *chained) at(_ context.Context, address string) (mirror.Upstream, error) {
	if err := c.lost(address); err != nil {
		return nil, err
	}
	site := map[string]mirror.Site{sourceAddress: c.source, nearAddress: c.near, thirdAddress: c.third}[address]
	if site == nil {
		return nil, errDead
	}
	return counted{site, c, address}, nil
}

// thirdConfig is that of the third site's runner.
func (c *chained) thirdConfig(t testing.TB) mirror.Config {
	cfg := c.config(t)
	cfg.Replica, cfg.DialAt = c.third, c.at
	cfg.Dial = func(ctx context.Context) (mirror.Upstream, error) {
		info, err := mirror.Of(ctx, c.third)
		if err != nil {
			return nil, err
		}
		return c.at(ctx, info.Source)
	}
	return cfg
}

// addThird registers the third site, fed by the mirror.
func (c *chained) addThird(t testing.TB) mirror.Info {
	t.Helper()
	info, err := mirror.Add(t.Context(), c.source, c.third, mirror.AddOptions{
		SourceAddress: sourceAddress, Name: "third", Feeder: c.near, FeedAddress: nearAddress,
	})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// end is the third site as a mirror of the source.
func (c *chained) end() *world { return &world{source: c.source, near: c.third} }

// acknowledged is what a site knows of the third one.
func acknowledged(t testing.TB, s mirror.Site, number uint8) meta.Position {
	t.Helper()
	all, err := s.Mirrors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].Site == number {
			return all[i].Applied
		}
	}
	return meta.Position{}
}

func TestMirrorFedByAMirror(t *testing.T) {
	chains(t, func(t *testing.T, c *chained) {
		rng := seeded(t)
		a := newChurn(session(t, c.source), rng, "a")
		a.run(t, 300)
		c.add(t)
		start(t, c.config(t))
		c.wait(t)
		info := c.addThird(t)
		if info.FeedSite != 2 || info.Feed != nearAddress {
			t.Errorf("added %+v", info)
		}
		start(t, c.thirdConfig(t))
		client, err := mirror.NewEngine(mirror.EngineOptions{Near: c.thirdClient(), Dial: c.client})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		b := newChurn(session(t, client), rng, "b")
		for range 10 {
			a.run(t, 30)
			b.run(t, 10)
		}
		c.mustBeEqual(t)
		c.end().mustBeEqual(t)
		if n := c.fetched[sourceAddress].Load(); n != 0 {
			t.Errorf("the third site fetched %d parts and records of the source: all are at its feeder", n)
		}
		head := mustState(t, c.source).Position
		for name, s := range map[string]mirror.Site{"source": c.source, "feeder": c.near} {
			until(t, "the "+name+" knows what the third site has", func() bool { return acknowledged(t, s, info.Site) == head })
		}
		until(t, "the source tells who feeds it", func() bool {
			st, err := mirror.GetStatus(t.Context(), c.source, mirror.StatusOptions{})
			return err == nil && len(st.Mirrors) == 2 && st.Mirrors[1].FedBy == "away" && st.Mirrors[1].LagRecords == 0
		})
		if _, err := mirror.Remove(t.Context(), c.source, c.near); err == nil || !strings.Contains(err.Error(), "third") {
			t.Errorf("a mirror that feeds another was removed: %v", err)
		}
	})
}

// Neither the source nor the feeder trims what the third site lacks, and when the feeder did all
// the same, the source has it.
func TestFeederKeepsItsLog(t *testing.T) {
	chains(t, func(t *testing.T, c *chained) {
		e := session(t, c.source)
		c.add(t)
		start(t, c.config(t))
		c.wait(t)
		info := c.addThird(t)
		stop := start(t, c.thirdConfig(t))
		c.end().mustBeEqual(t)
		stop()
		newChurn(e, seeded(t), "while away").run(t, 300)
		c.wait(t)
		for _, s := range []mirror.Site{c.source, c.near} {
			if _, err := s.TrimLog(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		stop = start(t, c.thirdConfig(t))
		c.end().mustBeEqual(t)
		if n := c.fetched[sourceAddress].Load(); n != 0 {
			t.Errorf("%d records came from the source: the feeder trimmed them", n)
		}
		stop()
		newChurn(e, seeded(t), "away again").run(t, 100)
		c.wait(t)
		if err := c.near.ForgetMirror(t.Context(), info.Site); err != nil {
			t.Fatal(err)
		}
		if _, err := c.near.TrimLog(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		start(t, c.thirdConfig(t))
		c.end().mustBeEqual(t)
		if c.fetched[sourceAddress].Load() == 0 {
			t.Error("no record came from the source although the feeder had none: the test proves nothing")
		}
	})
}

// A feeder that dies is told of, and another log taken up without a copy.
func TestFeederDies(t *testing.T) {
	chains(t, func(t *testing.T, c *chained) {
		rng := seeded(t)
		a := newChurn(session(t, c.source), rng, "a")
		c.add(t)
		feederConfig := c.config(t)
		feederConfig.TrimInterval = 10 * time.Millisecond // it forgets whom it feeds no more
		stop := start(t, feederConfig)
		c.wait(t)
		info := c.addThird(t)
		cfg := c.thirdConfig(t)
		resets := &atomic.Int64{}
		cfg.Replica = &crashReplica{Replica: c.third, resets: resets, applied: &atomic.Int64{}}
		start(t, cfg)
		a.run(t, 100)
		c.end().mustBeEqual(t)
		copies := resets.Load()

		// Cut between the two, and mended.
		c.reach(nearAddress, false)
		a.run(t, 100)
		reason := func() string {
			st, err := mirror.GetStatus(t.Context(), c.third, mirror.StatusOptions{})
			if err != nil {
				return ""
			}
			return st.Reason
		}
		until(t, "the third site says what is in the way", func() bool {
			return containsAll(reason(), "feeding site", nearAddress, "mirror set --feed")
		})
		c.reach(nearAddress, true)
		c.end().mustBeEqual(t)

		// The feeder dies.
		stop()
		c.reach(nearAddress, false)
		a.run(t, 100)
		next, err := mirror.SetFeed(t.Context(), c.source, c.third, nil, "")
		if err != nil || next.Feed != "" || next.FeedSite != 0 {
			t.Fatalf("set: %+v, %v", next, err)
		}
		c.end().mustBeEqual(t)
		if n := resets.Load(); n != copies {
			t.Errorf("%d copies were made, want %d", n, copies)
		}
		if v, err := c.source.Volume(t.Context()); err != nil || v.Sites[info.Site].Feed != 0 {
			t.Errorf("the volume's settings: %+v, %v", v.Sites[info.Site], err)
		}

		// It comes back, and keeps its log for nobody.
		start(t, feederConfig)
		until(t, "the old feeder forgets the third site", func() bool { return acknowledged(t, c.near, info.Site).IsZero() })
		c.reach(nearAddress, true)
		c.wait(t)
		if next, err = mirror.SetFeed(t.Context(), c.source, c.third, c.near, nearAddress); err != nil || next.FeedSite != 2 {
			t.Fatalf("set: %+v, %v", next, err)
		}
		if _, err := mirror.SetFeed(t.Context(), c.source, c.near, c.third, thirdAddress); err == nil {
			t.Error("two sites feed each other")
		}
		if _, err := mirror.SetFeed(t.Context(), c.source, c.third, c.source, sourceAddress); err == nil {
			t.Error("the source was taken for a feeding mirror")
		}
		until(t, "the third site follows the feeder again", func() bool {
			before := c.fetched[nearAddress].Load()
			a.run(t, 20)
			c.end().wait(t)
			return c.fetched[nearAddress].Load() > before
		})
		c.end().mustBeEqual(t)
		if n := resets.Load(); n != copies {
			t.Errorf("%d copies were made, want %d", n, copies)
		}
	})
}

// A cut between the third site and the source harms nothing: the feeder goes on.
func TestFedThroughACutToTheSource(t *testing.T) {
	chains(t, func(t *testing.T, c *chained) {
		a := newChurn(session(t, c.source), seeded(t), "a")
		c.add(t)
		start(t, c.config(t))
		c.wait(t)
		info := c.addThird(t)
		start(t, c.thirdConfig(t))
		c.end().mustBeEqual(t)
		c.reach(sourceAddress, false)
		before := acknowledged(t, c.source, info.Site)
		a.run(t, 200)
		c.end().mustBeEqual(t)
		if at := acknowledged(t, c.source, info.Site); at != before {
			t.Errorf("the source was told %s during the cut", at)
		}
		c.reach(sourceAddress, true)
		until(t, "the source hears of it again", func() bool {
			return acknowledged(t, c.source, info.Site) == mustState(t, c.source).Position
		})
	})
}

// The source is lost and the feeder promoted: the third site goes on from the same log, whose
// source it follows now.
func TestFeederIsPromoted(t *testing.T) {
	chains(t, func(t *testing.T, c *chained) {
		a := newChurn(session(t, c.source), seeded(t), "a")
		c.add(t)
		start(t, c.config(t))
		c.wait(t)
		info := c.addThird(t)
		cfg := c.thirdConfig(t)
		resets := &atomic.Int64{}
		cfg.Replica = &crashReplica{Replica: c.third, resets: resets, applied: &atomic.Int64{}}
		start(t, cfg)
		a.run(t, 100)
		c.end().mustBeEqual(t)
		copies := resets.Load()
		c.reach(sourceAddress, false)
		c.promote(t, mirror.PromoteOptions{Dial: deadDialer, Force: true})
		newChurn(session(t, c.near), seeded(t), "b").run(t, 100)
		end := &world{source: c.near, near: c.third}
		end.mustBeEqual(t)
		until(t, "the third site follows the new source", func() bool {
			now, err := mirror.Of(t.Context(), c.third)
			return err == nil && now.Source == nearAddress && now.SourceSite == 2 && now.Feed == ""
		})
		until(t, "the new source knows what it has", func() bool {
			return acknowledged(t, c.near, info.Site) == mustState(t, c.near).Position
		})
		end.mustBeEqual(t)
		if n := resets.Load(); n != copies {
			t.Errorf("%d copies were made, want %d", n, copies)
		}
	})
}

// The source and a fourth site change parts: the third follows the new source, fed as before.
func TestSourceOfAFedMirrorMoves(t *testing.T) {
	c := modelChain(t)
	fourth := model.NewReplica(nil)
	const fourthAddress = "redis://fourth/0"
	at := func(ctx context.Context, address string) (mirror.Upstream, error) {
		if address == fourthAddress {
			return lent{fourth}, nil
		}
		return c.at(ctx, address)
	}
	following := func(replica mirror.Site) mirror.Config {
		cfg := c.config(t)
		cfg.Replica, cfg.DialAt = replica, at
		cfg.Dial = func(ctx context.Context) (mirror.Upstream, error) {
			info, err := mirror.Of(ctx, replica)
			if err != nil {
				return nil, err
			}
			return at(ctx, info.Source)
		}
		return cfg
	}
	a := newChurn(session(t, c.source), seeded(t), "a")
	if _, err := mirror.Add(t.Context(), c.source, c.near, mirror.AddOptions{SourceAddress: sourceAddress, Name: "away"}); err != nil {
		t.Fatal(err)
	}
	start(t, following(c.near))
	c.wait(t)
	c.addThird(t)
	if _, err := mirror.Add(t.Context(), c.source, fourth, mirror.AddOptions{SourceAddress: sourceAddress, Name: "fourth"}); err != nil {
		t.Fatal(err)
	}
	start(t, following(c.third))
	start(t, following(fourth))
	a.run(t, 100)
	(&world{source: c.source, near: fourth}).mustBeEqual(t)
	c.end().mustBeEqual(t)
	if _, err := mirror.Switch(t.Context(), fourth, mirror.SwitchOptions{
		Dial: dialer(c.source), Address: fourthAddress, Wait: patience, Logger: testLogger(t),
	}); err != nil {
		t.Fatal(err)
	}
	newChurn(session(t, fourth), seeded(t), "d").run(t, 100)
	(&world{source: fourth, near: c.third}).mustBeEqual(t)
	until(t, "the third site follows the new source, fed as before", func() bool {
		now, err := mirror.Of(t.Context(), c.third)
		return err == nil && now.Source == fourthAddress && now.SourceSite == 4 && now.Feed == nearAddress
	})
	(&world{source: fourth, near: c.third}).mustBeEqual(t)
	var missing *meta.Error
	if _, err := c.third.Lookup(t.Context(), meta.RootIno, "no such name"); !errors.As(err, &missing) {
		t.Errorf("a read at the third site: %v", err)
	}
}
