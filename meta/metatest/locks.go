package metatest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
)

func runLocks(t *testing.T, cfg Config) {
	t.Run("Random", func(t *testing.T) {
		p := newPlan(t, 2, 2, 1500)
		p.eachSeed(t, func(t *testing.T, seed uint64) { randomLocks(t, cfg, seed, p.ops, openPlain) })
	})
	t.Run("Faulty", func(t *testing.T) {
		p := newPlan(t, 1, 1, 800)
		p.eachSeed(t, func(t *testing.T, seed uint64) {
			client := uint64(0)
			randomLocks(t, cfg, seed, p.ops, func(t testing.TB, v Volume) meta.Engine {
				client++
				return openFaulty(t, v, seed*10+client)
			})
		})
	})
	for name, run := range map[string]func(*lockTest){
		"Wait":       testLockWait,
		"Interrupt":  testLockInterrupt,
		"Deadlock":   testLockDeadlock,
		"NoDeadlock": testLockNoDeadlock,
		"Convert":    testLockConvert,
		"Limits":     testLockLimits,
		"Lost":       testLockLost,
		"Sweep":      testLockSweep,
		"Counter":    testLockCounter,
		"Fair":       testLockFair,
	} {
		t.Run(name, func(t *testing.T) { run(newLockTest(t, cfg)) })
	}
}

// lockPair is a client of the model and one of the engine under test.
type lockPair struct{ model, engine meta.Engine }

// lockRun makes random lock calls of several clients.
type lockRun struct {
	t       testing.TB
	rng     *rand.Rand
	clock   *clock
	clients []lockPair
}

// Where the random test locks: few bytes, on few files, so that all meet.
const (
	lockClients = 3
	lockInodes  = 2
	lockBytes   = 24
)

func randomLocks(t *testing.T, cfg Config, seed uint64, ops int, open func(t testing.TB, v Volume) meta.Engine) {
	t.Helper()
	r := &lockRun{t: t, rng: rand.New(rand.NewPCG(seed, 5)), clock: newClock()}
	volume := cfg.New(t, r.clock.now)
	m := model.New(meta.Volume{Name: "test"}, r.clock.now)
	for range lockClients {
		p := lockPair{model: m.Client(), engine: open(t, volume)}
		start(t, p.model)
		start(t, p.engine)
		r.clients = append(r.clients, p)
	}
	for step := range ops {
		what, diff := r.step()
		if diff != "" {
			t.Fatalf("seed %d, step %d: %s: %s", seed, step, what, diff)
		}
		if step%100 == 99 {
			r.compare(seed, step)
		}
	}
}

func (r *lockRun) request(client int) meta.LockRequest {
	q := meta.LockRequest{
		Ino: meta.Ino(10 + r.rng.IntN(lockInodes)), Kind: meta.LockRange, Owner: meta.LockOwner(10*client + 1 + r.rng.IntN(2)),
		PID: uint32(r.rng.IntN(1000)), LockedRange: meta.LockedRange{Type: meta.LockType(r.rng.IntN(3))},
	}
	q.LockedRange = r.someRange(q.Type)
	if r.rng.IntN(4) == 0 {
		q.Kind, q.LockedRange = meta.LockFile, meta.WholeFile(q.Type)
	}
	return q
}

func (r *lockRun) someRange(kind meta.LockType) meta.LockedRange {
	first := r.rng.Uint64N(lockBytes)
	l := meta.LockedRange{Type: kind, First: first, Last: first + r.rng.Uint64N(lockBytes-first)}
	switch r.rng.IntN(12) {
	case 0:
		l.Last = meta.MaxLockByte
	case 1: // around where the lower half of a position overflows
		l.First, l.Last = 1<<32-2+r.rng.Uint64N(3), 1<<32+r.rng.Uint64N(3)
	case 2:
		l.First, l.Last = meta.MaxLockByte-r.rng.Uint64N(3)-3, meta.MaxLockByte-r.rng.Uint64N(3)
	}
	return l
}

// step does one thing on both and says what, and how they differ.
func (r *lockRun) step() (string, string) {
	ctx := r.t.Context()
	client := r.rng.IntN(lockClients)
	p := r.clients[client]
	both := func(what string, do func(e meta.Engine) string) (string, string) {
		return what, difference(do(p.model), do(p.engine))
	}
	switch n := r.rng.IntN(60); {
	case n < 40:
		q := r.request(client)
		return both(fmt.Sprintf("set %+v", q), func(e meta.Engine) string {
			ans, err := e.SetLock(ctx, q)
			return renderHeld(&ans.Holder, err)
		})
	case n < 48:
		q := r.request(client)
		return both(fmt.Sprintf("get %+v", q), func(e meta.Engine) string {
			h, err := e.GetLock(ctx, q)
			return renderHeld(&h, err)
		})
	case n < 53:
		q := r.request(client)
		o := meta.OwnerLocks{Ino: q.Ino, Kind: meta.LockRange, Owner: q.Owner, PID: q.PID}
		for range r.rng.IntN(3) {
			o.Ranges = meta.WithLock(o.Ranges, r.someRange(meta.LockType(1+r.rng.IntN(2))))
		}
		return both(fmt.Sprintf("assert %+v", o), func(e meta.Engine) string { return renderError(e.AssertLocks(ctx, o)) })
	case n < 55:
		r.clock.advance(meta.SessionTTL / 3)
		return "time passes", ""
	case n < 59:
		return both("heartbeat", func(e meta.Engine) string { return renderError(e.Heartbeat(ctx, nil)) })
	default:
		return both("new session", func(e meta.Engine) string {
			return renderError(e.EndSession(ctx)) + renderError(e.StartSession(ctx, sessionInfo()))
		})
	}
}

// compare asks both for every byte who has it.
func (r *lockRun) compare(seed uint64, step int) {
	r.t.Helper()
	ctx := r.t.Context()
	for ino := meta.Ino(10); ino < 10+lockInodes; ino++ {
		for at := range uint64(lockBytes) {
			q := meta.LockRequest{Ino: ino, Kind: meta.LockRange, Owner: 999, LockedRange: meta.LockedRange{Type: meta.LockExclusive, First: at, Last: at}}
			if at == 0 {
				q.Kind, q.LockedRange = meta.LockFile, meta.WholeFile(meta.LockExclusive)
			}
			want, wantErr := r.clients[0].model.GetLock(ctx, q)
			got, gotErr := r.clients[0].engine.GetLock(ctx, q)
			if diff := difference(renderHeld(&want, wantErr), renderHeld(&got, gotErr)); diff != "" {
				r.t.Fatalf("seed %d, step %d, inode %d, byte %d: %s", seed, step, ino, at, diff)
			}
		}
	}
}

// renderHeld leaves the session out, which is not the same in both.
func renderHeld(h *meta.HeldLock, err error) string {
	h.Session = 0
	return fmt.Sprintf("%+v, %s", *h, renderError(err))
}

// lockTest is two clients of a volume, and words for their locks.
type lockTest struct {
	*testing.T
	clock  *clock
	volume Volume
	a, b   meta.Engine
}

func newLockTest(t *testing.T, cfg Config) *lockTest {
	t.Helper()
	l := &lockTest{T: t, clock: newClock()}
	l.volume = cfg.New(t, l.clock.now)
	l.a, l.b = l.volume.Open(t), l.volume.Open(t)
	start(t, l.a)
	start(t, l.b)
	return l
}

// lockPatience bounds waits that only fail when something is broken.
const lockPatience = 3 * time.Minute

func bytesOf(kind meta.LockType, ino meta.Ino, owner meta.LockOwner, first, last uint64) meta.LockRequest {
	return meta.LockRequest{Ino: ino, Kind: meta.LockRange, Owner: owner, LockedRange: meta.LockedRange{Type: kind, First: first, Last: last}}
}

func wholeFile(kind meta.LockType, ino meta.Ino, owner meta.LockOwner) meta.LockRequest {
	return meta.LockRequest{Ino: ino, Kind: meta.LockFile, Owner: owner, LockedRange: meta.WholeFile(kind)}
}

func waiting(q meta.LockRequest) meta.LockRequest {
	q.Wait = true
	return q
}
