package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror"
)

// patience bounds every wait of these tests: it is for hung tests, not for slow ones.
const patience = 3 * time.Minute

// settings are those of every volume of these tests.
func settings(id string) meta.Volume {
	return meta.Volume{
		Name: "test", ID: id, BlockBytes: 4 << 20, Compress: "none", Created: time.Unix(1, 0).UTC(),
		Sites: map[uint8]meta.Site{1: {ID: 1, Name: "home", Bucket: "mem://home"}},
	}
}

// world is a source and an empty place for a mirror.
type world struct {
	source mirror.Site
	near   mirror.Site
	// client opens the source as a mirror's client does: over the link.
	client func(ctx context.Context) (meta.Engine, error)
	// upstream opens the source as a mirror's runner does: over the link.
	upstream func(ctx context.Context) (mirror.Upstream, error)
	// nearClient opens the mirror's site once more.
	nearClient func() meta.Engine
}

// modelWorld is two sites in memory.
func modelWorld(_ testing.TB) *world {
	return worldOf(model.New(settings("volume-1"), nil), model.NewReplica(nil))
}

// worldOf joins two sites in memory.
func worldOf(source, near *model.Engine) *world {
	return &world{
		source:     source,
		near:       near,
		client:     func(context.Context) (meta.Engine, error) { return source.Client(), nil },
		upstream:   func(context.Context) (mirror.Upstream, error) { return source.Client(), nil },
		nearClient: func() meta.Engine { return near.Client() },
	}
}

// add registers the mirror.
func (w *world) add(t testing.TB) mirror.Info {
	t.Helper()
	info, err := mirror.Add(t.Context(), w.source, w.near, mirror.AddOptions{SourceAddress: "redis://source/0", Name: "away"})
	if err != nil {
		t.Fatalf("add: %v", err)
	}
	return info
}

// config is a runner's, quick enough for tests.
func (w *world) config(t testing.TB) mirror.Config {
	return mirror.Config{
		Dial: w.upstream, Replica: w.near, Logger: testLogger(t),
		TailWait: 50 * time.Millisecond, ReportInterval: 20 * time.Millisecond, TrimInterval: time.Hour,
		StallRetry: 30 * time.Millisecond, BackoffMax: 50 * time.Millisecond, ClaimTTL: 200 * time.Millisecond,
		CallTimeout: 300 * time.Millisecond,
	}
}

// start runs a runner until the test ends or stop is called.
func start(t testing.TB, cfg mirror.Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mirror.Run(ctx, cfg) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("runner: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// wait waits until the mirror has everything.
func (w *world) wait(t testing.TB) meta.Position {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at, err := mirror.Wait(ctx, w.source, w.near)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return at
}

// status is what status says at the mirror.
func (w *world) status(t testing.TB) mirror.Status {
	t.Helper()
	st, err := mirror.GetStatus(t.Context(), w.near, mirror.StatusOptions{
		Dial: func(ctx context.Context, _ mirror.Info) (mirror.Upstream, error) { return w.upstream(ctx) },
	})
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	return st
}

// until polls until a condition holds.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// rows gives all rows of a site, sorted.
func rows(t testing.TB, s meta.Source) [][]byte {
	t.Helper()
	var all [][]byte
	var cursor meta.Cursor
	for {
		b, err := s.Scan(t.Context(), cursor, 500)
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		effects, err := meta.DecodeEffects(b.Effects)
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		for i := range effects {
			all = append(all, meta.AppendEffect(nil, &effects[i]))
		}
		if cursor = b.Next; cursor == nil {
			break
		}
	}
	slices.SortFunc(all, bytes.Compare)
	return slices.CompactFunc(all, bytes.Equal)
}

// mustBeEqual fails unless the mirror equals the source, row by row, at the same
// position with the same checksum over all records.
func (w *world) mustBeEqual(t testing.TB) {
	t.Helper()
	w.wait(t)
	a, err := w.source.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.near.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.Role = a.Role
	if a != b {
		t.Errorf("states differ:\nsource %+v\nmirror %+v", a, b)
	}
	want, got := rows(t, w.source), rows(t, w.near)
	for i := range min(len(want), len(got)) {
		if !bytes.Equal(want[i], got[i]) {
			t.Fatalf("row %d of %d and %d differs:\nsource %q\nmirror %q", i, len(want), len(got), want[i], got[i])
		}
	}
	if len(want) != len(got) {
		t.Fatalf("source has %d rows, mirror %d", len(want), len(got))
	}
}

// session starts a session, which ends with the test.
func session(t testing.TB, e meta.Engine) meta.Engine {
	t.Helper()
	if err := e.StartSession(t.Context(), meta.SessionInfo{Host: "test", Kind: "mount"}); err != nil {
		t.Fatalf("start session: %v", err)
	}
	return e
}

// change makes a change that must succeed.
func change(t testing.TB, e meta.Engine, c meta.Change) meta.Result {
	t.Helper()
	res, err := e.Change(t.Context(), c)
	if err != nil {
		t.Fatalf("%s %+v: %v", c.Op(), c, err)
	}
	return res
}

// file is a Make of a regular file.
func file(parent meta.Ino, name string) meta.Make {
	return meta.Make{Parent: parent, Name: name, Mode: meta.TypeFile | 0o644}
}

// dir is a Make of a directory.
func dir(parent meta.Ino, name string) meta.Make {
	return meta.Make{Parent: parent, Name: name, Mode: meta.TypeDir | 0o755}
}

// seeded gives a source of chance, and says how to have it again.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("MIRRORFS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("replay with MIRRORFS_SEED=%d go test -run '^%s$' ./mirror", seed, t.Name())
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

// churn makes random changes through e among a few names, so that they meet.
type churn struct {
	e   meta.Engine
	rng *rand.Rand
	// mine makes its names its own.
	mine string
	// slices is how many slice numbers it uses; 0 is any.
	slices uint64
	dirs   []meta.Ino
	files  []meta.Ino
}

func newChurn(e meta.Engine, rng *rand.Rand, mine string) *churn {
	return &churn{e: e, rng: rand.New(rand.NewPCG(rng.Uint64(), 2)), mine: mine, dirs: []meta.Ino{meta.RootIno}}
}

func (c *churn) name() string { return fmt.Sprintf("%s%d", c.mine, c.rng.IntN(12)) }

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// next is a random change; many are refused, as they are in life.
func (c *churn) next() meta.Change {
	parent, name := pick(c.rng, c.dirs), c.name()
	if len(c.files) == 0 {
		return file(parent, name)
	}
	ino := pick(c.rng, c.files)
	switch c.rng.IntN(12) {
	case 0, 1, 2:
		return file(parent, name)
	case 3:
		return dir(parent, name)
	case 4:
		return meta.Make{Parent: parent, Name: name, Mode: meta.TypeSymlink | 0o777, Target: name}
	case 5:
		return meta.Link{Ino: ino, Parent: parent, Name: name}
	case 6:
		return meta.Unlink{Parent: parent, Name: name}
	case 7:
		return meta.Rmdir{Parent: parent, Name: name}
	case 8:
		return meta.Rename{OldParent: parent, OldName: name, NewParent: pick(c.rng, c.dirs), NewName: c.name()}
	case 9:
		return meta.SetAttr{Ino: ino, Set: meta.SetMode, Mode: uint32(c.rng.IntN(0o777))}
	case 10:
		return meta.SetXattr{Ino: ino, Name: "user." + name, Value: []byte(name)}
	default:
		slices := c.slices
		if slices == 0 {
			slices = 1 << 30
		}
		e := meta.Extent{Pos: uint32(c.rng.IntN(1 << 20)), Len: 4096, Slice: 1 + c.rng.Uint64N(slices), Home: 1, Size: 4096}
		return meta.Commit{Ino: ino, Chunks: []meta.ChunkExtents{{Index: uint32(c.rng.IntN(3)), Extents: []meta.Extent{e}}}}
	}
}

// step makes one change. An error that is no answer is returned.
func (c *churn) step(ctx context.Context) (meta.Change, meta.Result, error) {
	ch := c.next()
	res, err := c.e.Change(ctx, ch)
	var refused *meta.Error
	if err != nil && (!errors.As(err, &refused) || errors.Is(err, meta.ErrUnreachable)) {
		return ch, res, err
	}
	if mk, ok := ch.(meta.Make); ok && err == nil {
		switch mk.Mode & meta.TypeMask {
		case meta.TypeDir:
			c.dirs = append(c.dirs, res.Node.Ino)
		case meta.TypeFile:
			c.files = append(c.files, res.Node.Ino)
		}
	}
	return ch, res, nil
}

// run makes n changes.
func (c *churn) run(t testing.TB, n int) {
	t.Helper()
	for range n {
		if _, _, err := c.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// testLogger logs into the test's output.
func testLogger(t testing.TB) *slog.Logger {
	w := &testWriter{t: t}
	t.Cleanup(w.end)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct {
	mu sync.Mutex
	t  testing.TB
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Logf("%s", bytes.TrimSpace(p))
	}
	return len(p), nil
}

func (w *testWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = nil
}
