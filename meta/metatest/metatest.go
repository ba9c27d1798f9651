package metatest

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"mirrorfs/meta"
)

// Config says how to make what is under test.
type Config struct {
	// New formats an empty volume named "test" that lasts as long as the test. It is
	// called many times and should be quick. The clock is for every engine of the
	// volume; it does not move by itself.
	New func(t testing.TB, clock func() time.Time) Volume
	// NewReplica, if not nil, makes an empty replica elsewhere. The engines of
	// New must then implement meta.Source.
	NewReplica func(t testing.TB, clock func() time.Time) Replica
	// SameKeys, if not nil, compares a volume and the replica that its whole log was
	// replayed into in the engine's own way.
	SameKeys func(t testing.TB, source meta.Engine, replica Replica)
	// Behind says that reads of one client may be behind the changes of another, as
	// on a mirror. Tests of several clients at once are left out.
	Behind bool
}

// Volume is a formatted volume.
type Volume struct {
	// Open connects one more client, without a session. The engine is closed
	// with the test, not by the suite.
	Open func(t testing.TB) meta.Engine
	// OpenFaulty, if not nil, connects a client whose requests and replies are lost
	// now and then, as the seed decides. The engine has to get by.
	OpenFaulty func(t testing.TB, seed uint64) meta.Engine
	// Waiting, if not nil, tells how many calls wait for a lock.
	Waiting func(t testing.TB) int
	// Check, if not nil, looks at the volume in the engine's own way when a random
	// test has ended.
	Check func(t testing.TB)
}

// Replica is a mirror's metadata.
type Replica interface {
	meta.Engine
	meta.Source
	meta.Replica
	meta.Failover
}

// Run runs the suite, each part as a subtest.
func Run(t *testing.T, cfg Config) {
	t.Run("Tables", func(t *testing.T) { runTables(t, cfg) })
	t.Run("Random", func(t *testing.T) { runRandom(t, cfg) })
	t.Run("Faulty", func(t *testing.T) { runFaulty(t, cfg) })
	t.Run("Concurrent", func(t *testing.T) { runConcurrent(t, cfg) })
	t.Run("Locks", func(t *testing.T) { runLocks(t, cfg) })
	t.Run("Paging", func(t *testing.T) { runPaging(t, cfg) })
	t.Run("Replica", func(t *testing.T) { RunReplica(t, cfg) })
}

// plan is how much to do.
type plan struct {
	seeds []uint64
	ops   int
}

// newPlan reads the environment, see the package's documentation.
func newPlan(t *testing.T, fixed, fresh, ops int) plan {
	t.Helper()
	if seed, ok := number(t, "MIRRORFS_SEED"); ok {
		return plan{seeds: []uint64{seed}, ops: opsOf(t, ops)}
	}
	if n, ok := number(t, "MIRRORFS_SEEDS"); ok {
		fresh = int(n)
	}
	p := plan{ops: opsOf(t, ops)}
	for seed := range fixed {
		p.seeds = append(p.seeds, uint64(seed)+1)
	}
	for range fresh {
		var b [4]byte
		if _, err := crand.Read(b[:]); err != nil {
			t.Fatal(err)
		}
		p.seeds = append(p.seeds, uint64(binary.BigEndian.Uint32(b[:])))
	}
	return p
}

func opsOf(t *testing.T, ops int) int {
	t.Helper()
	if n, ok := number(t, "MIRRORFS_OPS"); ok {
		return int(n)
	}
	return ops
}

func number(t *testing.T, name string) (uint64, bool) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

func isLong() bool { return os.Getenv("MIRRORFS_LONG") != "" }

// eachSeed runs a part for each seed of a plan.
func (p plan) eachSeed(t *testing.T, run func(t *testing.T, seed uint64)) {
	t.Helper()
	for _, seed := range p.seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("replay: MIRRORFS_SEED=%d MIRRORFS_OPS=%d go test -run '%s'", seed, p.ops, t.Name())
				}
			})
			run(t, seed)
		})
	}
}
