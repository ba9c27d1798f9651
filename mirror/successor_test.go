package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror"
)

// threeSites is a source with two mirrors.
type threeSites struct {
	*world
	third *model.Engine
}

func newThreeSites(t *testing.T) *threeSites {
	s := &threeSites{world: modelWorld(t), third: model.NewReplica(nil)}
	s.add(t)
	if _, err := mirror.Add(t.Context(), s.source, s.third, mirror.AddOptions{SourceAddress: sourceAddress, Name: "third"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// at gives the site that an address is of.
func (s *threeSites) at(address string) (mirror.Site, error) {
	switch address {
	case sourceAddress:
		return lent{s.source}, nil
	case nearAddress:
		return lent{s.near}, nil
	}
	return nil, fmt.Errorf("%q: %w", address, errDead)
}

// thirdHasAll waits until the third site is a whole mirror of what the source is now.
func (s *threeSites) thirdHasAll(t *testing.T) {
	t.Helper()
	until(t, "the third has it", func() bool {
		third := mustState(t, s.third)
		return third.Role == meta.RoleMirror && third.Position == mustState(t, s.source).Position
	})
}

// thirdConfig is that of the other mirror's runner, which goes by what its site knows.
func (s *threeSites) thirdConfig(t testing.TB) mirror.Config {
	cfg := s.config(t)
	cfg.Replica = s.third
	cfg.DialAt = func(_ context.Context, address string) (mirror.Upstream, error) { return s.at(address) }
	cfg.Dial = func(ctx context.Context) (mirror.Upstream, error) {
		info, err := mirror.Of(ctx, s.third)
		if err != nil {
			return nil, err
		}
		return s.at(info.Source)
	}
	return cfg
}

// The other mirrors of a source follow the one that was promoted, and so do their clients:
// nothing is stuck after a failover.
func TestPromise11NothingIsStuckAfterAFailover(t *testing.T) {
	s := newThreeSites(t)
	writer := newChurn(session(t, s.source), seeded(t), "w")
	start(t, s.config(t))
	start(t, s.thirdConfig(t))
	client, err := mirror.NewEngine(mirror.EngineOptions{
		Near:  s.third.Client(),
		Where: func(ctx context.Context) (mirror.Whereabouts, error) { return mirror.Where(ctx, s.third) },
		Dial: func(ctx context.Context) (meta.Engine, error) {
			at, err := mirror.Where(ctx, s.third)
			if err != nil {
				return nil, err
			}
			site, err := s.at(at.Address)
			if err != nil {
				return nil, err
			}
			return site.(lent).Site.(*model.Engine).Client(), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	session(t, client)
	writer.run(t, 50)
	change(t, client, dir(meta.RootIno, "of the third"))
	s.wait(t)
	if _, err := mirror.Switch(t.Context(), s.near, mirror.SwitchOptions{Dial: dialer(s.source), Address: nearAddress, Wait: patience, Logger: testLogger(t)}); err != nil {
		t.Fatalf("switch: %v", err)
	}
	newChurn(session(t, s.near), seeded(t), "n").run(t, 50)
	until(t, "the third has what the new source has", func() bool {
		return mustState(t, s.third).Position == mustState(t, s.near).Position
	})
	until(t, "its client gets to the new source", func() bool {
		_, err := client.Change(t.Context(), dir(meta.RootIno, "of the third, later"))
		if errors.Is(err, meta.ErrSessionEnded) {
			session(t, client)
		}
		return err == nil
	})
	if info, err := mirror.Of(t.Context(), s.third); err != nil || info.Source != nearAddress || info.SourceSite != 2 {
		t.Errorf("the third follows %+v, %v", info, err)
	}
	start(t, s.back().config(t))
	(&world{source: s.near, near: s.source}).mustBeEqual(t)
	(&world{source: s.near, near: s.third}).mustBeEqual(t)
}

// A mirror that has changes which the promotion lost must not go on.
func TestPromise11MirrorAheadOfThePromotion(t *testing.T) {
	s := newThreeSites(t)
	e := session(t, s.source)
	stop := start(t, s.config(t))
	start(t, s.thirdConfig(t))
	s.wait(t)
	stop()
	change(t, e, file(meta.RootIno, "lost"))
	s.thirdHasAll(t)
	s.promote(t, mirror.PromoteOptions{Dial: deadDialer, Force: true})
	session(t, s.near)
	if info, err := mirror.SetSource(t.Context(), s.near, s.third, nearAddress); err != nil || info.SourceSite != 2 {
		t.Fatalf("set: %+v, %v", info, err)
	}
	start(t, s.thirdConfig(t))
	until(t, "the third stops", func() bool {
		st, err := mirror.GetStatus(t.Context(), s.third, mirror.StatusOptions{})
		return err == nil && st.State == mirror.StateStalled
	})
	if st, err := mirror.GetStatus(t.Context(), s.third, mirror.StatusOptions{}); err != nil || !containsAll(st.Reason, "away", "lost") {
		t.Errorf("its reason: %q, %v", st.Reason, err)
	}
}

// The runner of a site goes on through all roles of the site: a service manager that starts
// it again would start it for ever.
func TestPromise11NoRestartLoopAfterARoleSwitch(t *testing.T) {
	failingOver(t, func(t *testing.T, w *world) {
		w.add(t)
		first := w.config(t)
		start(t, first) // fails the test if it ends
		w.wait(t)
		forth := mirror.SwitchOptions{Dial: dialer(w.source), Address: nearAddress, Wait: patience, Logger: testLogger(t)}
		if _, err := mirror.Switch(t.Context(), w.near, forth); err != nil {
			t.Fatal(err)
		}
		b := w.back()
		start(t, b.config(t))
		change(t, session(t, w.near), file(meta.RootIno, "of the mirror"))
		b.mustBeEqual(t)
		back := mirror.SwitchOptions{Dial: dialer(w.near), Address: sourceAddress, Wait: patience, Logger: testLogger(t)}
		if _, err := mirror.Switch(t.Context(), w.source, back); err != nil {
			t.Fatal(err)
		}
		change(t, session(t, w.source), file(meta.RootIno, "of the source"))
		w.mustBeEqual(t)
		if s := mustState(t, w.source); s.Role != meta.RoleSource || s.Position.Epoch != 3 {
			t.Errorf("the source stands at %+v", s)
		}
	})
}

func containsAll(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
