package integration_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// seedOf gives the seed of a random test, from MIRRORFS_SEED or a new one. A test
// that failed tells how to have it again.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("MIRRORFS_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("replay with: MIRRORFS_SEED=%d go test ./integration -run '^%s$'", seed, t.Name())
		}
	})
	return seed
}

// long tells whether the long forms of tests are wanted.
func long() bool { return os.Getenv("MIRRORFS_LONG") != "" }
