package chunk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"mirrorfs/chunk"
	"mirrorfs/object"
)

var errBroken = errors.New("the store is broken")

// TestWritersReadBackWhatTheyWrote appends in random sizes and reads random parts
// back while blocks upload and leave memory, with every kind of cache.
func TestWritersReadBackWhatTheyWrote(t *testing.T) {
	for name, cache := range map[string]func(*testing.T) chunk.Cache{
		"none":   func(*testing.T) chunk.Cache { return nil },
		"memory": func(*testing.T) chunk.Cache { return chunk.NewMemCache(1 << 20) },
		"disk":   func(t *testing.T) chunk.Cache { return openCache(t, t.TempDir(), chunk.DiskOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			rng := rand.New(rand.NewPCG(seed, 0))
			s := newStore(t)
			b := newBlocks(t, s, cache(t), chunk.Options{BlockBytes: 64 << 10, BufferBytes: 256 << 10, Uploads: 3})
			data := random(seed, 2<<20+rng.IntN(1<<16))
			w := b.NewWriter(7, home, nil)
			for done := 0; done < len(data); {
				n := min(1+rng.IntN(1<<(1+rng.IntN(18))), len(data)-done)
				off, err := w.Write(t.Context(), data[done:done+n])
				if err != nil || int(off) != done {
					t.Fatalf("seed %d: wrote at %d, want %d: %v", seed, off, done, err)
				}
				done += n
				from := rng.IntN(done)
				got := make([]byte, rng.IntN(done-from)+1)
				if err := w.ReadAt(t.Context(), got, uint32(from)); err != nil || !bytes.Equal(got, data[from:from+len(got)]) {
					t.Fatalf("seed %d: %d bytes at %d of %d differ: %v", seed, len(got), from, done, err)
				}
			}
			if err := w.ReadAt(t.Context(), make([]byte, 2), w.Len()-1); err == nil {
				t.Error("read past the end")
			}
			if err := w.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, b, segment(7, len(data))), data) {
				t.Errorf("seed %d: what is stored differs", seed)
			}
			if _, err := w.Write(t.Context(), []byte("x")); !errors.Is(err, chunk.ErrAborted) {
				t.Errorf("write after close: %v", err)
			}
		})
	}
}

func TestASliceHoldsAChunk(t *testing.T) {
	b := newBlocks(t, newStore(t), nil, chunk.Options{})
	w := b.NewWriter(1, home, nil)
	t.Cleanup(w.Abort)
	p := make([]byte, 16<<20)
	for range 4 {
		if _, err := w.Write(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(t.Context(), p[:1]); !errors.Is(err, chunk.ErrFull) {
		t.Errorf("the byte after 64 MiB: %v", err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Errorf("a full slice is a good slice: %v", err)
	}
}

func TestAnEmptySliceIsNoObject(t *testing.T) {
	s := newStore(t)
	b := newBlocks(t, s, nil, chunk.Options{})
	w := b.NewWriter(1, home, nil)
	if _, err := w.Write(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := w.Close(t.Context()); err != nil || s.counts().puts != 0 {
		t.Error("it made an object or an error", err)
	}
}

// TestUploadsRunBehindTheWriter: as many at a time as allowed, and not one more.
func TestUploadsRunBehindTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := gated(t, nil, chunk.Options{BlockBytes: 64 << 10, Uploads: 3})
		var running, most atomic.Int32
		proceed := make(chan struct{})
		s.onPut(func(context.Context, string) error {
			most.Store(max(most.Load(), running.Add(1)))
			<-proceed
			running.Add(-1)
			return nil
		})
		w := b.NewWriter(1, home, nil)
		if _, err := w.Write(t.Context(), make([]byte, 10*64<<10)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := running.Load(); n != 3 {
			t.Errorf("%d uploads run while the program goes on, want 3", n)
		}
		close(proceed)
		if err := w.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if most.Load() != 3 || s.counts().puts != 10 {
			t.Errorf("at most %d uploads ran at a time", most.Load())
		}
	})
}

func TestWriteWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const block = 64 << 10
		s, b := gated(t, nil, chunk.Options{BlockBytes: block, BufferBytes: 4*block + 8192})
		proceed := make(chan struct{})
		s.onPut(func(context.Context, string) error { <-proceed; return nil })
		w := b.NewWriter(1, home, nil)
		var written atomic.Int32
		done := make(chan error, 1)
		go func() {
			for range 20 {
				if _, err := w.Write(t.Context(), make([]byte, block)); err != nil {
					done <- err
					return
				}
				written.Add(1)
			}
			done <- w.Close(t.Context())
		}()
		synctest.Wait()
		if n := written.Load(); n != 4 || b.BufferedBytes() > 4*block+8192 {
			t.Errorf("%d blocks were taken with memory for 4; %d bytes are held", n, b.BufferedBytes())
		}
		ctx, cancel := context.WithCancel(t.Context())
		other := b.NewWriter(2, home, nil)
		go cancel()
		if _, err := other.Write(ctx, make([]byte, block)); !errors.Is(err, context.Canceled) {
			t.Errorf("a write that waits for memory, interrupted: %v", err)
		}
		close(proceed)
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := b.BufferedBytes(); n != 0 {
			t.Errorf("%d bytes are held by nobody", n)
		}
	})
}

// TestPartialBlocksDoNotLockWritersOut: 50 writers together have begun more than
// the limit; none has a full block, so none would ever free memory by waiting.
func TestPartialBlocksDoNotLockWritersOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const block = 256 << 10
		_, b := gated(t, nil, chunk.Options{BlockBytes: block, BufferBytes: 2 * block, Uploads: 2})
		var writers sync.WaitGroup
		start := make(chan struct{})
		for i := range 50 {
			writers.Go(func() {
				w := b.NewWriter(uint64(i+1), home, nil)
				data := random(uint64(i), 3*block+100)
				if _, err := w.Write(t.Context(), data[:block/2]); err != nil {
					t.Error(err)
				}
				<-start
				for off := block / 2; off < len(data); off += block / 3 {
					if _, err := w.Write(t.Context(), data[off:min(off+block/3, len(data))]); err != nil {
						t.Error(err)
					}
				}
				if err := w.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if !bytes.Equal(read(t, b, segment(uint64(i+1), len(data))), data) {
					t.Error("read differs")
				}
			})
		}
		synctest.Wait() // all hold half a block
		close(start)
		writers.Wait()
		synctest.Wait()
		if n := b.BufferedBytes(); n != 0 {
			t.Errorf("%d bytes are held by nobody", n)
		}
	})
}

func TestSmallFilesHoldLittleMemory(t *testing.T) {
	b := newBlocks(t, newStore(t), nil, chunk.Options{})
	for i := range 100 {
		w := b.NewWriter(uint64(i+1), home, nil)
		t.Cleanup(w.Abort)
		for range 4 {
			if _, err := w.Write(t.Context(), make([]byte, 1<<10)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := b.BufferedBytes(); n > 100*20<<10 {
		t.Errorf("100 files of 4 KiB hold %d bytes", n)
	}
}

func TestAFailedUploadIsToldOnWriteAndClose(t *testing.T) {
	const block = 64 << 10
	s := newStore(t)
	b := newBlocks(t, s, nil, chunk.Options{BlockBytes: block})
	s.onPut(func(_ context.Context, key string) error {
		if key == chunk.Key(home, 1, 1) {
			return fmt.Errorf("put %s: %w", key, errBroken)
		}
		return nil
	})
	w := b.NewWriter(1, home, nil)
	if _, err := w.Write(t.Context(), make([]byte, 2*block)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("close: %v", err)
	}
	if _, err := w.Write(t.Context(), []byte("x")); !errors.Is(err, errBroken) {
		t.Errorf("write: %v", err)
	}
	if err := w.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, errBroken) {
		t.Errorf("read: %v", err)
	}
	if err := w.Close(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("second close: %v", err)
	}
}

// TestATakenSliceIsNotWrittenOver: a number that is given out twice must not change
// what was written under it first.
func TestATakenSliceIsNotWrittenOver(t *testing.T) {
	s := newStore(t)
	b := newBlocks(t, s, nil, chunk.Options{})
	data := random(1, 1000)
	write(t, b, 1, data)
	w := b.NewWriter(1, home, nil)
	if _, err := w.Write(t.Context(), random(2, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); !errors.Is(err, chunk.ErrTaken) {
		t.Errorf("close: %v", err)
	}
	if !bytes.Equal(read(t, b, segment(1, len(data))), data) {
		t.Error("it was written over")
	}
}

func TestCloseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := gated(t, nil, chunk.Options{BlockBytes: 64 << 10})
		s.onPut(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		w := b.NewWriter(1, home, nil)
		if _, err := w.Write(t.Context(), make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		if err := w.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("close: %v", err)
		}
		synctest.Wait()
		if n := b.BufferedBytes(); n != 0 {
			t.Errorf("%d bytes are held by nobody", n)
		}
	})
}

// TestAnInterruptedWriteStillUploads: the context of a write is not the context of
// the uploads that it began.
func TestAnInterruptedWriteStillUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := gated(t, nil, chunk.Options{BlockBytes: 64 << 10})
		proceed := make(chan struct{})
		s.onPut(func(ctx context.Context, _ string) error { <-proceed; return ctx.Err() })
		w := b.NewWriter(1, home, nil)
		ctx, cancel := context.WithCancel(t.Context())
		data := random(1, 64<<10)
		if _, err := w.Write(ctx, data); err != nil {
			t.Fatal(err)
		}
		cancel()
		close(proceed)
		if err := w.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(read(t, b, segment(1, len(data))), data) {
			t.Error("read differs")
		}
	})
}

// TestAbortMayComeAtAnyTime runs under the race detector, and checks that memory
// that an aborted writer gives back is not written to by it any more.
func TestAbortMayComeAtAnyTime(t *testing.T) {
	const block = 64 << 10
	s := newStore(t)
	b := newBlocks(t, s, chunk.NewMemCache(8<<20), chunk.Options{BlockBytes: block, BufferBytes: 8 * block})
	var all sync.WaitGroup
	for i := range 200 {
		doomed := b.NewWriter(uint64(1000+i), home, nil)
		all.Go(func() {
			for {
				if _, err := doomed.Write(t.Context(), bytes.Repeat([]byte{0xee}, 5000)); err != nil {
					if !errors.Is(err, chunk.ErrAborted) && !errors.Is(err, chunk.ErrFull) {
						t.Error(err)
					}
					return
				}
			}
		})
		data := random(uint64(i), 3*block/2)
		write(t, b, uint64(i+1), data)
		doomed.Abort()
		if !bytes.Equal(read(t, b, segment(uint64(i+1), len(data))), data) {
			t.Fatal("another writer's bytes are in this slice")
		}
	}
	all.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := b.BufferedBytes(); n != 0 {
		t.Errorf("%d bytes are held by nobody", n)
	}
}

// TestClosedBlocksFailWrites and leave nothing waiting.
func TestClosedBlocksFailWrites(t *testing.T) {
	b := newBlocks(t, newStore(t), nil, chunk.Options{BlockBytes: 64 << 10})
	w := b.NewWriter(1, home, nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(t.Context(), make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); !errors.Is(err, chunk.ErrClosed) {
		t.Errorf("close: %v", err)
	}
	if _, err := b.Read(t.Context(), []chunk.Segment{segment(1, 10)}); !errors.Is(err, chunk.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}

// gated makes a store and Blocks inside a bubble of package synctest, and closes
// the Blocks before the bubble ends.
func gated(t *testing.T, c chunk.Cache, opts chunk.Options) (*store, *chunk.Blocks) {
	t.Helper()
	s := newStore(t)
	return s, newBlocks(t, object.Store(s), c, opts)
}
