package metatest

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
)

// errEnded is what changes get that come after their session.
const errEnded = syscall.ESTALE

func runRandom(t *testing.T, cfg Config) {
	ops := 2000
	if isLong() {
		ops = 100_000
	}
	p := newPlan(t, 3, 2, ops)
	p.eachSeed(t, func(t *testing.T, seed uint64) { randomSteps(t, cfg, seed, p.ops, nil) })
}

// runFaulty does what other parts do with engines that lose requests and replies.
func runFaulty(t *testing.T, cfg Config) {
	t.Run("Random", func(t *testing.T) {
		p := newPlan(t, 1, 2, 1000)
		p.eachSeed(t, func(t *testing.T, seed uint64) {
			randomSteps(t, cfg, seed, p.ops, func(t testing.TB, v Volume) meta.Engine { return openFaulty(t, v, seed) })
		})
	})
	t.Run("Concurrent", func(t *testing.T) {
		p := newPlan(t, 1, 2, 1000)
		p.eachSeed(t, func(t *testing.T, seed uint64) {
			client := uint64(0)
			checkHistory(t, cfg, seed, p.ops, func(t testing.TB, v Volume) meta.Engine {
				client++
				return openFaulty(t, v, seed*10+client)
			})
		})
	})
}

func openFaulty(t testing.TB, v Volume, seed uint64) meta.Engine {
	t.Helper()
	if v.OpenFaulty == nil {
		t.Skip("this engine cannot lose replies")
	}
	return v.OpenFaulty(t, seed)
}

// randomSteps runs a random list of steps. If it fails, it looks for a short list
// that fails too.
func randomSteps(t *testing.T, cfg Config, seed uint64, ops int, open func(t testing.TB, v Volume) meta.Engine) {
	t.Helper()
	steps, diff := findDifference(t, cfg, seed, ops, open)
	if diff == "" {
		return
	}
	t.Errorf("seed %d, after %d steps: %s", seed, len(steps), diff)
	steps, diff = shrink(steps, diff, func(some []step) string { return replay(t, cfg, open, some) })
	var list strings.Builder
	for _, s := range steps {
		fmt.Fprintln(&list, s)
	}
	t.Errorf("%d of these steps are enough:\n%s%s", len(steps), list.String(), diff)
}

// findDifference makes up steps and runs them until model and engine differ. It
// returns the steps, and how they differ.
func findDifference(t testing.TB, cfg Config, seed uint64, ops int, open func(t testing.TB, v Volume) meta.Engine) ([]step, string) {
	t.Helper()
	p := newPair(t, cfg, open)
	g := newGenerator(seed, p)
	var steps []step
	for len(steps) < ops {
		steps = append(steps, g.step())
		if diff := p.do(t.Context(), &steps[len(steps)-1]); diff != "" {
			return steps, diff
		}
	}
	return steps, p.compareAll(t)
}

// compareAll compares all that model and engine hold.
func (p *pair) compareAll(t testing.TB) string {
	t.Helper()
	if diff := firstDifference(renderTree(t.Context(), p.model), renderTree(t.Context(), p.engine)); diff != "" {
		return "trees: " + diff
	}
	if s, ok := p.engine.(meta.Source); ok {
		if problems := checkRows(t, s); problems != "" {
			return "rows: " + problems
		}
	}
	if p.volume.Check != nil {
		p.volume.Check(t)
	}
	return ""
}

// replay runs steps on a new pair and says how it failed, if it did.
func replay(t testing.TB, cfg Config, open func(t testing.TB, v Volume) meta.Engine, steps []step) string {
	t.Helper()
	inner := &scope{TB: t}
	defer inner.end()
	p := newPair(inner, cfg, open)
	for i := range steps {
		if diff := p.do(t.Context(), &steps[i]); diff != "" {
			return diff
		}
	}
	return p.compareAll(inner)
}

// What a search for a shorter list may cost.
const (
	maxShrinkSteps = 200_000
	maxShrinkTime  = time.Minute
)

// shrink takes steps out as long as the rest fails, in ever smaller parts.
func shrink(steps []step, diff string, run func([]step) string) ([]step, string) {
	budget, until := maxShrinkSteps, time.Now().Add(maxShrinkTime)
	for part := len(steps) / 2; part > 0; part /= 2 {
		for from := 0; from+part <= len(steps); {
			some := append(append([]step(nil), steps[:from]...), steps[from+part:]...)
			if budget -= len(some) + 1; budget < 0 || time.Now().After(until) {
				return steps, diff
			}
			if d := run(some); d != "" {
				steps, diff = some, d
			} else {
				from += part
			}
		}
	}
	return steps, diff
}
