package chunk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/chunk"
	"mirrorfs/object"
)

const mib = 1 << 20

func TestHolesAreZeros(t *testing.T) {
	b := newBlocks(t, newStore(t), nil, chunk.Options{})
	write(t, b, 1, []byte("abcdef"))
	got := read(t, b, chunk.Segment{Len: 3 * mib}, part(1, 6, 2, 3), chunk.Segment{Len: 1})
	want := append(append(make([]byte, 3*mib), "cde"...), 0)
	if !bytes.Equal(got, want) {
		t.Error("read differs")
	}
}

func TestASegmentOutsideItsSliceIsAnError(t *testing.T) {
	b := newBlocks(t, newStore(t), nil, chunk.Options{})
	write(t, b, 1, []byte("abcdef"))
	for _, s := range []chunk.Segment{part(1, 6, 3, 4), part(1, 6, 1<<31, 1<<31), part(1, 1<<30, 0, 1)} {
		if _, err := b.Read(t.Context(), []chunk.Segment{segment(1, 6), s}); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("%+v: %v", s, err)
		}
		b.Prefetch([]chunk.Segment{s})
	}
}

func TestAMissingBlockIsAnError(t *testing.T) {
	s := newStore(t)
	b := newBlocks(t, s, nil, chunk.Options{BlockBytes: 64 << 10})
	write(t, b, 1, make([]byte, 128<<10))
	if err := s.Delete(t.Context(), chunk.Key(home, 1, 1)); err != nil {
		t.Fatal(err)
	}
	_, err := b.Read(t.Context(), []chunk.Segment{segment(1, 128<<10)})
	if !errors.Is(err, object.ErrNotExist) || !strings.Contains(err.Error(), chunk.Key(home, 1, 1)) {
		t.Error(err)
	}
}

// TestReadersOfAColdBlockShareOneDownload, and none is failed by another's end.
func TestReadersOfAColdBlockShareOneDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := gated(t, nil, chunk.Options{NoWriteThrough: true})
		data := random(1, mib)
		write(t, b, 1, data)
		s.counts()
		proceed := make(chan struct{})
		s.onGet(func(context.Context, string) error { <-proceed; return nil })
		stays := t.Context()
		gone, leave := context.WithCancel(stays)
		var readers sync.WaitGroup
		for i := range 40 {
			readers.Go(func() {
				if i%4 == 0 { // the first among them
					if _, err := b.Read(gone, []chunk.Segment{segment(1, mib)}); !errors.Is(err, context.Canceled) {
						t.Errorf("a reader that gave up: %v", err)
					}
					return
				}
				spans, err := b.Read(stays, []chunk.Segment{part(1, mib, i, mib-i)})
				if err != nil || !bytes.Equal(gather(t, spans), data[i:]) {
					t.Error("read differs", err)
				}
			})
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		close(proceed)
		readers.Wait()
		if c := s.counts(); c.gets != 1 {
			t.Errorf("%d downloads", c.gets)
		}
	})
}

func TestTheLastReaderToLeaveEndsTheDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := gated(t, nil, chunk.Options{NoWriteThrough: true})
		data := random(1, mib)
		write(t, b, 1, data)
		end := make(chan struct{})
		s.onGet(func(ctx context.Context, _ string) error {
			<-ctx.Done()
			<-end // slow to notice
			return ctx.Err()
		})
		ctx, leave := context.WithCancel(t.Context())
		for range 3 {
			go func() {
				if _, err := b.Read(ctx, []chunk.Segment{segment(1, mib)}); !errors.Is(err, context.Canceled) {
					t.Errorf("a reader that gave up: %v", err)
				}
			}()
		}
		synctest.Wait()
		s.onGet(nil)
		leave()
		synctest.Wait()
		if !bytes.Equal(read(t, b, segment(1, mib)), data) { // must not join what is being cancelled
			t.Error("read differs")
		}
		close(end)
	})
}

func TestDownloadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const block = 64 << 10
		s, b := gated(t, nil, chunk.Options{BlockBytes: block, Downloads: 4, NoWriteThrough: true})
		data := random(1, 40*block)
		write(t, b, 1, data)
		var running, most atomic.Int32
		proceed := make(chan struct{})
		s.onGet(func(context.Context, string) error {
			most.Store(max(most.Load(), running.Add(1)))
			<-proceed
			running.Add(-1)
			return nil
		})
		b.Prefetch([]chunk.Segment{segment(1, 20*block)})
		synctest.Wait()
		if n := running.Load(); n != 3 {
			t.Errorf("%d prefetches take slots, want 3 of 4", n)
		}
		done := make(chan bool)
		go func() { done <- bytes.Equal(read(t, b, segment(1, len(data))), data) }()
		synctest.Wait()
		if n := running.Load(); n != 4 {
			t.Errorf("%d downloads run, want 4", n)
		}
		close(proceed)
		if !<-done {
			t.Error("read differs")
		}
		if most.Load() != 4 || s.counts().gets != 40 {
			t.Errorf("at most %d at a time", most.Load())
		}
	})
}

func TestSmallRandomReadsFetchWhatTheyNeed(t *testing.T) {
	s := newStore(t)
	b := newBlocks(t, s, nil, chunk.Options{})
	data := random(1, 4*mib)
	write(t, b, 1, data)
	s.counts()
	check := func(off, n, gets int, got int64) {
		t.Helper()
		if !bytes.Equal(read(t, b, part(1, len(data), off, n)), data[off:off+n]) {
			t.Fatal("read differs")
		}
		if c := s.counts(); c.gets != gets || c.whole != 0 || c.got != got {
			t.Errorf("%d bytes at %d took %d requests for %d bytes (%d of whole blocks), want %d for %d", n, off, c.gets, c.got, c.whole, gets, got)
		}
	}
	const head = 28 + 64*4 + 4
	check(2*mib+100, 4096, 2, head+65536) // header and group at the same time
	check(2*mib+65536-10, 20, 1, 2*65536) // the header is known now
	check(4*mib-1, 1, 1, 65536)           // the last group
	check(3*mib+5, 300_000, 1, 5*65536)   // many groups
	check(70_000, 10, 1, 65536)           // near the start, with the header known
	write(t, b, 2, data)                  // another block
	s.counts()
	if !bytes.Equal(read(t, b, part(2, len(data), 70_000, 10)), data[70_000:70_010]) {
		t.Fatal("read differs")
	}
	if c := s.counts(); c.gets != 1 || c.got != head+2*65536 {
		t.Errorf("near the start of an unknown block: %+v", c)
	}
}

// TestACachedBlockIsFetchedWholeWhenItPays: by large reads, by reads from a block's
// start, and by many small ones.
func TestACachedBlockIsFetchedWholeWhenItPays(t *testing.T) {
	for name, c := range map[string]struct{ off, n, reads int }{
		"large":        {2 * mib, mib, 1},
		"from start":   {0, 128 << 10, 1},
		"many small":   {mib, 4096, 9},
		"small object": {0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			b := newBlocks(t, s, chunk.NewMemCache(64*mib), chunk.Options{NoWriteThrough: true})
			data := random(1, 4*mib)
			if name == "small object" {
				data = data[:200<<10]
			}
			write(t, b, 1, data)
			s.counts()
			for i := range c.reads {
				off := c.off + i*100_000
				if !bytes.Equal(read(t, b, part(1, len(data), off, c.n)), data[off:off+c.n]) {
					t.Fatal("read differs")
				}
			}
			if c := s.counts(); c.whole != 1 {
				t.Errorf("%d downloads of the whole block", c.whole)
			}
			if read(t, b, segment(1, len(data))); s.counts().gets != 0 {
				t.Error("the block is not in the cache")
			}
		})
	}
}

func TestWhatWasWrittenIsWarm(t *testing.T) {
	s := newStore(t)
	b := newBlocks(t, s, chunk.NewMemCache(64*mib), chunk.Options{})
	data := random(1, 9*mib)
	write(t, b, 1, data)
	if err := b.Close(); err != nil { // waits for what runs behind
		t.Fatal(err)
	}
	s.counts()
	if !bytes.Equal(read(t, b, segment(1, len(data))), data) || s.counts().gets != 0 {
		t.Error("it was downloaded again")
	}
}

func TestPrefetchIsBoundedAndShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const block = 64 << 10
		s, b := gated(t, nil, chunk.Options{BlockBytes: block, PrefetchBytes: 4 * block})
		data := random(1, 10*block)
		write(t, b, 1, data)
		s.counts()
		proceed := make(chan struct{})
		s.onGet(func(context.Context, string) error { <-proceed; return nil })
		for range 3 {
			b.Prefetch([]chunk.Segment{{Len: 100}, segment(1, len(data))})
		}
		synctest.Wait()
		if c := s.counts(); c.gets != 4 {
			t.Errorf("%d prefetches, want 4", c.gets)
		}
		close(proceed)
		synctest.Wait()
		if !bytes.Equal(read(t, b, segment(1, 4*block)), data[:4*block]) || s.counts().gets != 0 {
			t.Error("what was prefetched was downloaded again")
		}
		b.Prefetch([]chunk.Segment{segment(1, len(data))}) // there is room again
		synctest.Wait()
		if c := s.counts(); c.gets < 4 {
			t.Errorf("%d more prefetches, want 4 at least", c.gets)
		}
	})
}

// damaged is a store whose first answers for each object are wrong.
type damaged struct {
	*store
	wrong  func([]byte) []byte
	times  int
	mu     sync.Mutex
	served map[string]int
}

func (d *damaged) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	d.mu.Lock()
	d.served[key]++
	wrong := d.served[key] <= d.times
	d.mu.Unlock()
	r, err := d.store.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if wrong {
		data = d.wrong(data)
	}
	data = data[min(off, int64(len(data))):]
	if n >= 0 {
		data = data[:min(n, int64(len(data)))]
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func TestWrongBytesAreReadAgainAndNeverServed(t *testing.T) {
	good := random(1, mib)
	for name, wrong := range map[string]func([]byte) []byte{
		"a flipped bit":      func(b []byte) []byte { b[len(b)-mib/4] ^= 4; return b },
		"in the header":      func(b []byte) []byte { b[30] ^= 1; return b },
		"cut off":            func(b []byte) []byte { return b[:len(b)-mib/4-1] },
		"empty":              func([]byte) []byte { return nil },
		"zeros":              func(b []byte) []byte { clear(b); return b },
		"another's checksum": func(b []byte) []byte { b[8] ^= 1; return b },
	} {
		for _, n := range []int{len(good), 4096} {
			t.Run(name, func(t *testing.T) {
				d := &damaged{store: newStore(t), wrong: wrong, times: 1, served: map[string]int{}}
				reg := prometheus.NewRegistry()
				b := newBlocks(t, d, nil, chunk.Options{Metrics: reg})
				write(t, b, 1, good)
				at := 0
				if n < len(good) { // header and data are two requests
					at, d.times = len(good)-mib/4-n/2, 2
				}
				if !bytes.Equal(read(t, b, part(1, len(good), at, n)), good[at:at+n]) {
					t.Error("read differs")
				}
				if value(t, reg, "mirrorfs_chunk_corrupt_blocks_total") < 1 {
					t.Error("nobody counted it")
				}
				d.times = 1 << 30
				write(t, b, 2, good)
				_, err := b.Read(t.Context(), []chunk.Segment{part(2, len(good), at, n)})
				if !errors.Is(err, chunk.ErrCorrupt) || !strings.Contains(err.Error(), chunk.Key(home, 2, 0)) {
					t.Errorf("wrong for ever: %v", err)
				}
			})
		}
	}
}

func TestAnObjectOfAnotherNameOrLengthIsCorrupt(t *testing.T) {
	s := newStore(t)
	b := newBlocks(t, s, nil, chunk.Options{})
	write(t, b, 1, random(1, 1000))
	one := s.object(t, chunk.Key(home, 1, 0))
	for _, data := range [][]byte{one, append(bytes.Clone(one), 0)} {
		if err := s.Put(t.Context(), chunk.Key(home, 2, 0), data); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Read(t.Context(), []chunk.Segment{segment(2, 1000)}); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("another slice's block: %v", err)
		}
	}
	if err := s.Put(t.Context(), chunk.Key(home, 1, 0), append(bytes.Clone(one), 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(t.Context(), []chunk.Segment{segment(1, 1000)}); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("a byte too many: %v", err)
	}
	if _, err := b.Read(t.Context(), []chunk.Segment{segment(1, 999)}); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("another length than the metadata says: %v", err)
	}
}

// TestRandomReads compares random reads by many readers with what was written.
func TestRandomReads(t *testing.T) {
	for name, cache := range map[string]func(*testing.T) chunk.Cache{
		"none":   func(*testing.T) chunk.Cache { return nil },
		"memory": func(*testing.T) chunk.Cache { return chunk.NewMemCache(2 * mib) },
		"disk": func(t *testing.T) chunk.Cache {
			return openCache(t, t.TempDir(), chunk.DiskOptions{LimitBytes: 2 * mib, OpenFiles: 2})
		},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			b := newBlocks(t, newStore(t), cache(t), chunk.Options{BlockBytes: 512 << 10, PrefetchBytes: mib, Downloads: 4})
			data := make([][]byte, 6)
			for i := range data {
				data[i] = random(seed+uint64(i), mib+i*1000)
				write(t, b, uint64(i+1), data[i])
			}
			var readers sync.WaitGroup
			for r := range 8 {
				readers.Go(func() {
					rng := rand.New(rand.NewPCG(seed, uint64(r)))
					for range 40 {
						var segs []chunk.Segment
						var want []byte
						for range 1 + rng.IntN(3) {
							i := rng.IntN(len(data))
							off := rng.IntN(len(data[i]))
							n := min(1+rng.IntN(1<<(1+rng.IntN(20))), len(data[i])-off)
							segs = append(segs, part(uint64(i+1), len(data[i]), off, n))
							want = append(want, data[i][off:off+n]...)
						}
						if rng.IntN(4) == 0 {
							b.Prefetch(segs)
						}
						if !bytes.Equal(read(t, b, segs...), want) {
							t.Errorf("seed %d: read of %+v differs", seed, segs)
							return
						}
					}
				})
			}
			readers.Wait()
		})
	}
}

// value reads a counter.
func value(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
