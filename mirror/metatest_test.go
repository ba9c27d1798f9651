package mirror_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/metatest"
	"mirrorfs/meta/model"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// An engine of a mirror's client is an engine like any other: changes go to the
// source, reads come from a mirror that a runner feeds.
func TestEngineSuite(t *testing.T) {
	metatest.Run(t, metatest.Config{Behind: true, New: func(t testing.TB, clock func() time.Time) metatest.Volume {
		return suiteVolume(t, worldOf(model.New(settings("volume-1"), clock), model.NewReplica(clock)))
	}})
}

func TestRedisEngineSuite(t *testing.T) {
	metatest.Run(t, metatest.Config{Behind: true, New: func(t testing.TB, clock func() time.Time) metatest.Volume {
		return suiteVolume(t, redisWorldAt(t, redis.Options{Clock: clock}).world)
	}})
}

// suiteVolume is what the suite works on: a mirror with a runner, and its clients.
func suiteVolume(t testing.TB, w *world) metatest.Volume {
	w.add(t)
	cfg := w.config(t)
	cfg.Logger = nil
	run(t, cfg)
	w.wait(t)
	return metatest.Volume{Open: func(t testing.TB) meta.Engine {
		e, err := mirror.NewEngine(mirror.EngineOptions{Near: w.nearClient(), Dial: w.client})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		return &sourceState{Engine: e, source: w.source}
	}}
}

// run runs a runner until the test ends, or until the suite replaces the sites of
// the volume, this mirror among them.
func run(t testing.TB, cfg mirror.Config) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mirror.Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, mirror.ErrRemoved) {
			t.Errorf("runner: %v", err)
		}
	})
}

// sourceState tells the suite what is not about files as the source has it: it
// counts records and reads settings, and a mirror may be a moment behind in both.
type sourceState struct {
	*mirror.Engine
	source meta.Engine
}

func (s *sourceState) State(ctx context.Context) (meta.State, error) { return s.source.State(ctx) }

func (s *sourceState) Volume(ctx context.Context) (meta.Volume, error) { return s.source.Volume(ctx) }
