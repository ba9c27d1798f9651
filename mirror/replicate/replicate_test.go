package replicate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror/replicate"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// patience bounds every wait of these tests: it is for hung tests, not for slow ones.
const patience = time.Minute

func key(id uint64) string     { return fmt.Sprintf("data/1/%02x/%d-0", id%256, id) }
func content(id uint64) string { return fmt.Sprintf("slice %06d", id) }

// site is a volume in memory, and the bucket of its data.
type site struct {
	*model.Engine
	from object.Store
}

func newSite(t *testing.T, from object.Store) *site {
	t.Helper()
	s := &site{from: from, Engine: model.New(meta.Volume{
		Name: "test", ID: "1", BlockBytes: 4 << 20, Sites: map[uint8]meta.Site{1: {ID: 1, Name: "home", Bucket: "mem://home"}},
	}, nil)}
	if err := s.StartSession(t.Context(), meta.SessionInfo{Kind: "mount"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// write makes a file of one slice, and tells its number and where the log is then.
func (s *site) write(t *testing.T, name string, data func(id uint64) string) (uint64, meta.Position) {
	t.Helper()
	change := func(c meta.Change) meta.Result {
		res, err := s.Change(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	ino := change(meta.Make{Parent: meta.RootIno, Name: name, Mode: meta.TypeFile | 0o644}).Node.Ino
	id := change(meta.Reserve{Count: 1}).FirstSlice
	size := uint32(len(content(id)))
	if err := s.from.Put(t.Context(), key(id), []byte(data(id))); err != nil {
		t.Fatal(err)
	}
	res := change(meta.Commit{Ino: ino, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{{Len: size, Slice: id, Home: 1, Size: size}}}}})
	return id, res.Position
}

func (s *site) options(to object.Store) replicate.Options {
	return replicate.Options{
		Name: "data", Site: s, From: s.from, To: to,
		Objects: func(s meta.Slice) []replicate.Object {
			return []replicate.Object{{Key: key(s.ID), Bytes: int64(s.Size)}}
		},
		TailWait: 10 * time.Millisecond, SaveInterval: time.Millisecond, RetryInterval: 2 * time.Millisecond,
	}
}

// run runs a replicator until the test ends or stop is called.
func run(t *testing.T, opts replicate.Options) (stop func()) {
	t.Helper()
	r, err := replicate.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (s *site) state(t *testing.T) replicate.State {
	t.Helper()
	local, err := s.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st, _, err := replicate.StateOf(local, "data")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// reached waits until a position is reached.
func (s *site) reached(t *testing.T, at meta.Position) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.state(t).Position.Before(at) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not at %s: %+v", at, s.state(t))
		}
	}
}

func read(t *testing.T, s object.Store, id uint64) string {
	t.Helper()
	r, err := s.Get(t.Context(), key(id), 0, -1)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// moody fails at random, and lets others go first at random.
type moody struct {
	object.Store
	mu  sync.Mutex
	rng *rand.Rand
}

func (m *moody) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	m.mu.Lock()
	fails, late := m.rng.IntN(5) == 0, time.Duration(m.rng.IntN(3))*time.Millisecond
	m.mu.Unlock()
	select {
	case <-time.After(late):
	case <-ctx.Done():
		return ctx.Err()
	}
	if fails {
		return errors.New("out of temper")
	}
	return m.Store.PutIfAbsent(ctx, key, data)
}

// At every position that is told, all blocks up to there are in the bucket, whatever fails
// and in whatever order they end, and also when the copying is stopped and started.
func TestPositionNeverOutrunsBlocks(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("MIRRORFS_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("replay with MIRRORFS_SEED=%d go test -run '^%s$' ./mirror/replicate", seed, t.Name())
		}
	})
	rng := rand.New(rand.NewPCG(seed, 1))
	s, to := newSite(t, mem.New("from")), mem.New("to")
	type written struct {
		id uint64
		at meta.Position
	}
	var all []written
	check := func() {
		told := s.state(t).Position
		for _, w := range all {
			if !told.Before(w.at) && read(t, to, w.id) != content(w.id) {
				t.Fatalf("told %s, but slice %d of %s is not there", told, w.id, w.at)
			}
		}
	}
	stop := func() {}
	for i := range 150 {
		if i%30 == 10 {
			stop()
			check()
			opts := s.options(&moody{Store: to, rng: rand.New(rand.NewPCG(rng.Uint64(), 1))})
			opts.WindowObjects, opts.Jobs = 1+rng.IntN(20), 1+rng.IntN(5)
			stop = run(t, opts)
		}
		id, at := s.write(t, strconv.Itoa(i), content)
		all = append(all, written{id, at})
		check()
	}
	s.reached(t, all[len(all)-1].at)
	check()
	if st := s.state(t); st.PendingObjects != 0 || st.PendingBytes != 0 || st.Reason != "" {
		t.Errorf("when all is done: %+v", st)
	}
}

// places is a store of two copies.
type places struct {
	object.Store
	other object.Store
}

func (p *places) Copies(string) int { return 2 }

func (p *places) GetCopy(ctx context.Context, key string, nth int, off, n int64) (io.ReadCloser, error) {
	return []object.Store{p.Store, p.other}[nth].Get(ctx, key, off, n)
}

// Wrong bytes are not copied: those of another place are, if they are right. And a block
// that was cut is replaced.
func TestWrongBytesAreNotCopied(t *testing.T) {
	other, to := mem.New("other"), mem.New("to")
	from := &places{Store: mem.New("from"), other: other}
	s := newSite(t, from)
	bad := func(id uint64) string { return strings.ToUpper(content(id)) }
	short := func(id uint64) string { return content(id)[:3] }
	wrong, _ := s.write(t, "wrong", bad)
	cut, _ := s.write(t, "cut", short)
	replaced, _ := s.write(t, "replaced", content)
	nowhere, _ := s.write(t, "nowhere", bad)
	for _, id := range []uint64{wrong, cut} {
		if err := other.Put(t.Context(), key(id), []byte(content(id))); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Put(t.Context(), key(replaced), []byte("half")); err != nil {
		t.Fatal(err)
	}
	opts := s.options(to)
	opts.Check = func(_ string, data []byte) error {
		if !strings.HasPrefix(string(data), "slice") {
			return errors.New("wrong checksum")
		}
		return nil
	}
	opts.Limit = rate.NewLimiter(1<<30, replicate.FetchBytes)
	run(t, opts)
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for st := s.state(t); st.PendingObjects != 1 || !strings.Contains(st.Reason, key(nowhere)); st = s.state(t) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %+v", st)
		}
	}
	for _, id := range []uint64{wrong, cut, replaced} {
		if got := read(t, to, id); got != content(id) {
			t.Errorf("slice %d: %q", id, got)
		}
	}
	if _, err := to.Head(t.Context(), key(nowhere)); !errors.Is(err, object.ErrNotExist) {
		t.Errorf("wrong bytes were copied: %v", err)
	}
}

func TestOptions(t *testing.T) {
	s := newSite(t, mem.New("from"))
	small := s.options(mem.New("to"))
	small.Limit = rate.NewLimiter(1, 1)
	nowhere := s.options(nil)
	for _, opts := range []replicate.Options{{}, small, nowhere} {
		if _, err := replicate.New(opts); err == nil {
			t.Errorf("made with %+v", opts)
		}
	}
}
