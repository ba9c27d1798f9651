package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror"
	"mirrorfs/object"
	"mirrorfs/object/faulty"
	"mirrorfs/object/mem"
	"mirrorfs/vfs"
)

// patience is the longest that a call of a program may take for each bucket that may
// hold a block, whatever the buckets do: two rounds of attempts (the second because
// bytes were wrong), each of a minute and the time of its last attempt.
const patience = 150 * time.Second

// layouts are the ways in which buckets are put together.
func layouts() map[string]func(t *testing.T, f *faults) object.Store {
	return map[string]func(t *testing.T, f *faults) object.Store{
		"one bucket": func(_ *testing.T, f *faults) object.Store { return f.bucket("home") },
		"a copy near": func(t *testing.T, f *faults) object.Store {
			home := f.bucket("home")
			near := f.bucket("near")
			s, err := mirror.NewStore(mirror.StoreOptions{Near: near, Homes: map[uint8]object.Store{1: home}, Source: 1})
			must(t, err)
			return s
		},
		"a copy at another site": func(t *testing.T, f *faults) object.Store {
			s, err := mirror.NewStore(mirror.StoreOptions{
				Homes: map[uint8]object.Store{1: f.bucket("home"), 2: f.bucket("other")}, Source: 1,
			})
			must(t, err)
			return s
		},
	}
}

// faults is a volume on buckets that fail.
type faults struct {
	seed    uint64
	rng     *rand.Rand // of the test's goroutine
	mems    []*mem.Store
	bad     []*faulty.Store
	fs      *vfs.FS
	longest atomic.Int64

	mu    sync.Mutex
	files map[string][]byte // whose close returned nil
	names []string

	wrote, read, failed atomic.Int64
}

// bucket makes one that fails as it is told to, behind the retries that every
// client has.
func (f *faults) bucket(name string) object.Store {
	m := mem.New(name)
	bad := faulty.New(m, faulty.Options{Seed: f.seed + uint64(len(f.bad)), SlowFor: 3 * time.Second})
	f.mems, f.bad = append(f.mems, m), append(f.bad, bad)
	return object.WithRetry(bad, object.RetryOptions{Rand: func() float64 { return 0.5 }})
}

// weathers are what befalls the buckets, one after the other.
func weathers() []faulty.Rates {
	return []faulty.Rates{
		{Error: 0.05, Throttle: 0.02, After: 0.03, Slow: 0.02, Cut: 0.05, Short: 0.05, Corrupt: 0.05},
		{Error: 0.4, After: 0.2, Cut: 0.2, Corrupt: 0.2},
		{Hang: 0.3, Slow: 0.3},
		{Corrupt: 0.9},
		{Error: 1},
		{Hang: 1},
		{},
	}
}

// Whatever a store does, what programs write and read is right or fails clearly and in
// time, and when the store is well again everything that was closed is there.
func TestStoreFaults(t *testing.T) {
	for name, layout := range layouts() {
		for _, cached := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cache %v", name, cached), func(t *testing.T) {
				seed := seedOf(t)
				synctest.Test(t, func(t *testing.T) {
					f := &faults{seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), files: map[string][]byte{}}
					f.story(t, layout(t, f), cached)
				})
			})
		}
	}
}

// story runs programs through all weathers.
func (f *faults) story(t *testing.T, store object.Store, cached bool) {
	var cache chunk.Cache
	if cached {
		cache = chunk.NewMemCache(1 << 20)
	}
	blocks, err := chunk.New(store, cache, chunk.Options{BlockBytes: 256 << 10, BufferBytes: 2 << 20, PrefetchBytes: 1 << 20})
	must(t, err)
	engine := model.New(meta.Volume{Name: "vol"}, nil)
	f.fs, err = vfs.New(vfs.Options{Engine: engine.Client(), Blocks: blocks, Home: 1, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	// FS.Run is left out: a bubble's time stands still while it waits for a mutex that a
	// write holds, as its flusher does.
	ctx := t.Context()
	for n, rates := range weathers() {
		for _, bad := range f.bad {
			bad.SetAll(rates)
		}
		var all sync.WaitGroup
		for g := range 4 {
			rng := rand.New(rand.NewPCG(f.rng.Uint64(), 2))
			all.Go(func() { f.program(t, rng, fmt.Sprintf("%d-%d", n, g)) })
		}
		all.Wait()
		f.copyObjects(t)
	}
	for _, name := range f.names {
		if got, err := f.readAll(ctx, name); err != nil || !bytes.Equal(got, f.files[name]) {
			t.Errorf("in the end %s of %d bytes gives %d bytes, %v", name, len(f.files[name]), len(got), err)
		}
	}
	must(t, f.fs.Shutdown(ctx))
	must(t, blocks.Close())
	t.Logf("%d files closed, %d reads right, %d calls failed; the longest call took %v", f.wrote.Load(), f.read.Load(), f.failed.Load(), time.Duration(f.longest.Load()))
	if f.wrote.Load() == 0 || f.read.Load() == 0 || f.failed.Load() == 0 {
		t.Error("nothing was tried")
	}
	if longest := time.Duration(f.longest.Load()); longest > patience*time.Duration(len(f.bad)) {
		t.Errorf("a call took %v, want at most %v for each of %d buckets", longest, patience, len(f.bad))
	}
}

// copyObjects does what a replicator does: half of the objects of the first bucket
// are in the others too.
func (f *faults) copyObjects(t *testing.T) {
	t.Helper()
	list, err := f.mems[0].List(t.Context(), "", "", object.MaxListed)
	must(t, err)
	for _, o := range list {
		for _, to := range f.mems[1:] {
			if f.rng.IntN(2) == 0 {
				must(t, copyObject(t.Context(), f.mems[0], to, o.Key))
			}
		}
	}
}

func copyObject(ctx context.Context, from, to object.Store, key string) error {
	r, err := from.Get(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	var data bytes.Buffer
	_, err = data.ReadFrom(r)
	return errors.Join(err, r.Close(), to.Put(ctx, key, data.Bytes()))
}

// timed makes a call and notes how long it took, in the time of the bubble.
func (f *faults) timed(call func() error) error {
	began := time.Now()
	err := call()
	took := int64(time.Since(began))
	for {
		longest := f.longest.Load()
		if took <= longest || f.longest.CompareAndSwap(longest, took) {
			break
		}
	}
	if err != nil {
		f.failed.Add(1)
	}
	return err
}

// program writes files and reads those of everybody.
func (f *faults) program(t *testing.T, rng *rand.Rand, name string) {
	for i := range 3 {
		f.writeOne(t, rng, fmt.Sprintf("%s-%d", name, i))
		for range 6 {
			f.readOne(t, rng)
		}
	}
}

// writeOne writes a file in pieces, and counts on it when its close has returned.
func (f *faults) writeOne(t *testing.T, rng *rand.Rand, name string) {
	ctx := t.Context()
	data := make([]byte, 1+rng.IntN(1<<20))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	_, file, err := f.fs.Create(ctx, meta.Make{Parent: meta.RootIno, Name: name, Mode: 0o644}, syscall.O_RDWR|syscall.O_EXCL)
	if err != nil {
		t.Errorf("create %s: %v", name, err)
		return
	}
	defer file.Release()
	for off := 0; off < len(data); {
		n := min(len(data)-off, 1+rng.IntN(200_000))
		if err := f.timed(func() error { _, err := file.Write(ctx, data[off:off+n], int64(off)); return err }); err != nil {
			f.clear(t, "write", err)
			return
		}
		off += n
		if rng.IntN(8) == 0 {
			if err := f.timed(func() error { return file.Fsync(ctx) }); err != nil {
				f.clear(t, "fsync", err)
				return
			}
		}
	}
	if err := f.timed(func() error { return file.Flush(ctx) }); err != nil {
		f.clear(t, "close", err)
		return
	}
	f.wrote.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[name] = data
	f.names = append(f.names, name)
}

// readOne reads a part of a file that was closed, in one go or piece by piece.
func (f *faults) readOne(t *testing.T, rng *rand.Rand) {
	f.mu.Lock()
	if len(f.names) == 0 {
		f.mu.Unlock()
		return
	}
	name := f.names[rng.IntN(len(f.names))]
	want := f.files[name]
	f.mu.Unlock()
	file, err := f.open(t.Context(), name)
	if err != nil {
		t.Errorf("open %s: %v", name, err)
		return
	}
	defer file.Release()
	from, piece := rng.IntN(len(want)), 1+rng.IntN(300_000)
	for off := from; off < len(want); off += piece {
		var got []byte
		err := f.timed(func() (err error) { got, err = read(t.Context(), file, off, piece); return err })
		if err != nil {
			f.clear(t, "read", err)
			return
		}
		if !bytes.Equal(got, want[off:min(off+piece, len(want))]) {
			t.Errorf("%d bytes at %d of %s are wrong", len(got), off, name)
		}
		f.read.Add(1)
	}
}

// clear checks that a failure is one that a program can understand.
func (f *faults) clear(t *testing.T, what string, err error) {
	if errno := meta.Errno(err); errno != syscall.EIO && errno != syscall.ETIMEDOUT {
		t.Errorf("%s failed with %v: %v", what, errno, err)
	}
}

func (f *faults) open(ctx context.Context, name string) (*vfs.File, error) {
	n, err := f.fs.Lookup(ctx, meta.RootIno, name)
	if err != nil {
		return nil, err
	}
	return f.fs.Open(ctx, n.Ino, syscall.O_RDONLY)
}

func (f *faults) readAll(ctx context.Context, name string) ([]byte, error) {
	file, err := f.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer file.Release() //nolint:contextcheck // what a close gives up outlives the call
	return read(ctx, file, 0, len(f.files[name])+1)
}

func read(ctx context.Context, file *vfs.File, off, n int) ([]byte, error) {
	spans, err := file.Read(ctx, int64(off), n)
	if err != nil {
		return nil, err
	}
	defer chunk.ReleaseAll(spans)
	var got []byte
	for i := range spans {
		got = append(got, spans[i].Data...)
	}
	return got, nil
}
