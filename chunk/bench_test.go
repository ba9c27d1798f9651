package chunk_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/object"
	"mirrorfs/object/file"
	"mirrorfs/object/mem"
)

// discard takes what is put and keeps nothing: what remains is this package's cost.
type discard struct{ object.Store }

func (discard) PutIfAbsent(context.Context, string, []byte) error { return nil }

func benchBlocks(b *testing.B, s object.Store, c chunk.Cache) *chunk.Blocks {
	b.Helper()
	blocks, err := chunk.New(s, c, chunk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = blocks.Close() })
	return blocks
}

func benchCache(b *testing.B) *chunk.DiskCache {
	b.Helper()
	c, err := chunk.OpenDiskCache(b.TempDir(), chunk.DiskOptions{LimitBytes: 4 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func benchFiles(b *testing.B) object.Store {
	b.Helper()
	dir := b.TempDir() + "/bucket"
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	s, err := file.New(dir)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func benchWrite(b *testing.B, blocks *chunk.Blocks, slice uint64, data []byte, step int) {
	b.Helper()
	w := blocks.NewWriter(slice, home, nil)
	for off := 0; off < len(data); off += step {
		if _, err := w.Write(b.Context(), data[off:min(off+step, len(data))]); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWrite writes slices of 64 MiB in writes of 1 MiB.
func BenchmarkWrite(b *testing.B) {
	data := random(1, chunk.Bytes)
	for name, make := range map[string]func() *chunk.Blocks{
		"nowhere":     func() *chunk.Blocks { return benchBlocks(b, discard{mem.New("b")}, nil) },
		"files":       func() *chunk.Blocks { return benchBlocks(b, benchFiles(b), nil) },
		"files+cache": func() *chunk.Blocks { return benchBlocks(b, benchFiles(b), benchCache(b)) },
	} {
		b.Run(name, func(b *testing.B) {
			blocks := make()
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				benchWrite(b, blocks, uint64(i+1), data, mib)
			}
		})
	}
}

// BenchmarkSmallFiles writes slices of 64 KiB.
func BenchmarkSmallFiles(b *testing.B) {
	data := random(1, 64<<10)
	blocks := benchBlocks(b, discard{mem.New("b")}, nil)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		benchWrite(b, blocks, uint64(i+1), data, len(data))
	}
}

// BenchmarkWarm reads random parts of a cached slice. "find" leaves the bytes to
// splice, "copy" copies them to memory.
func BenchmarkWarm(b *testing.B) {
	c := benchCache(b)
	blocks := benchBlocks(b, mem.New("b"), c)
	benchWrite(b, blocks, 1, random(1, chunk.Bytes), mib)
	if err := blocks.Close(); err != nil {
		b.Fatal(err)
	}
	blocks = benchBlocks(b, mem.New("b"), c)
	for _, n := range []int{4 << 10, 128 << 10, mib} {
		for _, copies := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/%dKiB", map[bool]string{false: "find", true: "copy"}[copies], n>>10), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				p := make([]byte, n)
				segs := make([]chunk.Segment, 1)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					segs[0] = part(1, chunk.Bytes, rng.IntN(chunk.Bytes-n), n)
					spans, err := blocks.Read(b.Context(), segs)
					if err != nil {
						b.Fatal(err)
					}
					for i := range spans {
						if !copies {
							continue
						}
						if _, err := spans[i].ReadAt(p[:spans[i].Len], 0); err != nil {
							b.Fatal(err)
						}
					}
					chunk.ReleaseAll(spans)
				}
			})
		}
	}
}

// BenchmarkWarmParallel is the same by many readers at once.
func BenchmarkWarmParallel(b *testing.B) {
	c := benchCache(b)
	blocks := benchBlocks(b, mem.New("b"), c)
	benchWrite(b, blocks, 1, random(1, chunk.Bytes), mib)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		segs := make([]chunk.Segment, 1)
		for off := 0; pb.Next(); off = (off + 4096) % chunk.Bytes {
			segs[0] = part(1, chunk.Bytes, off, 4096)
			spans, err := blocks.Read(b.Context(), segs)
			if err != nil {
				b.Error(err)
				return
			}
			chunk.ReleaseAll(spans)
		}
	})
}

// BenchmarkCold reads a slice of 64 MiB that no cache has, in reads of 128 KiB with
// read-ahead, as a mount does.
func BenchmarkCold(b *testing.B) {
	s := benchFiles(b)
	writer := benchBlocks(b, s, nil)
	data := random(1, chunk.Bytes)
	benchWrite(b, writer, 1, data, mib)
	p := make([]byte, 128<<10)
	for _, cached := range []bool{false, true} {
		b.Run(map[bool]string{false: "memory", true: "disk"}[cached], func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				var c chunk.Cache
				if cached {
					c = benchCache(b)
				}
				blocks := benchBlocks(b, s, c)
				b.StartTimer()
				var ahead chunk.Readahead
				for off := 0; off < len(data); off += len(p) {
					if from, to := ahead.Next(int64(off), int64(len(p))); from < min(to, chunk.Bytes) {
						blocks.Prefetch([]chunk.Segment{part(1, len(data), int(from), int(min(to, chunk.Bytes)-from))})
					}
					spans, err := blocks.Read(b.Context(), []chunk.Segment{part(1, len(data), off, len(p))})
					if err != nil {
						b.Fatal(err)
					}
					for i := range spans {
						if _, err := spans[i].ReadAt(p[:spans[i].Len], 0); err != nil {
							b.Fatal(err)
						}
					}
					chunk.ReleaseAll(spans)
				}
			}
		})
	}
}

// BenchmarkColdRandom reads 4 KiB at random places of slices without a cache.
func BenchmarkColdRandom(b *testing.B) {
	s := benchFiles(b)
	blocks := benchBlocks(b, s, nil)
	benchWrite(b, blocks, 1, random(1, chunk.Bytes), mib)
	rng := rand.New(rand.NewPCG(1, 2))
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		spans, err := blocks.Read(b.Context(), []chunk.Segment{part(1, chunk.Bytes, rng.IntN(chunk.Bytes-4096), 4096)})
		if err != nil {
			b.Fatal(err)
		}
		chunk.ReleaseAll(spans)
	}
}
