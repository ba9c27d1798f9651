package metatest

import "testing"

// FindDifference looks for a difference between model and engine with one seed, and
// gives the shortest list of steps that it finds to show it.
func FindDifference(t testing.TB, cfg Config, seed uint64, ops int) (steps int, diff string) {
	t.Helper()
	found, diff := findDifference(t, cfg, seed, ops, nil)
	if diff == "" {
		return 0, ""
	}
	found, diff = shrink(found, diff, func(some []step) string { return replay(t, cfg, nil, some) })
	return len(found), diff
}

// FindDisorder looks for a history of several clients that porcupine cannot put in an order, and
// for one that the model cannot explain.
func FindDisorder(t testing.TB, cfg Config, seed uint64) (linear, explained string) {
	t.Helper()
	return runLinear(t, cfg, seed, 25), runHistory(t, cfg, seed, 2000, openPlain)
}
