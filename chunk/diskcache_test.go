package chunk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"mirrorfs/chunk"
)

func openCache(t *testing.T, dir string, opts chunk.DiskOptions) *chunk.DiskCache {
	t.Helper()
	if opts.FreeBytes == 0 {
		opts.FreeBytes = -1
	}
	c, err := chunk.OpenDiskCache(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// warm writes slices 1 to count of n bytes through a cache in dir and closes it. It
// gives what was written.
func warm(t *testing.T, s *store, dir string, count, n int) [][]byte {
	t.Helper()
	c := openCache(t, dir, chunk.DiskOptions{})
	data := fill(t, s, c, count, n)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

// fill writes slices 1 to count of n bytes through a cache.
func fill(t *testing.T, s *store, c *chunk.DiskCache, count, n int) [][]byte {
	t.Helper()
	data := make([][]byte, count)
	for i := range data {
		data[i] = random(uint64(i+1), n)
		through(t, s, c, uint64(i+1), data[i])
	}
	return data
}

// through writes a slice through a cache, and waits until the cache has it.
func through(t *testing.T, s *store, c *chunk.DiskCache, slice uint64, data []byte) {
	t.Helper()
	b := newBlocks(t, s, c, chunk.Options{BlockBytes: smallBlock})
	write(t, b, slice, data)
	must(t, b.Close())
}

const smallBlock = 256 << 10

// readAll reads slices and compares them, and gives the requests that it took.
func readAll(t *testing.T, s *store, c *chunk.DiskCache, data [][]byte) counts {
	t.Helper()
	b := newBlocks(t, s, c, chunk.Options{BlockBytes: smallBlock})
	s.counts()
	for i := range data {
		if !bytes.Equal(read(t, b, segment(uint64(i+1), len(data[i]))), data[i]) {
			t.Fatalf("slice %d differs", i+1)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return s.counts()
}

// files gives the files of a cache's slices.
func files(t *testing.T, dir string) (paths []string) {
	t.Helper()
	dir = filepath.Join(dir, "volume")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Dir(path) != dir {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestADiskCacheSurvivesRestarts(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	data := warm(t, s, dir, 5, mib+77)
	for range 3 {
		c := openCache(t, dir, chunk.DiskOptions{})
		if got := readAll(t, s, c, data); got.gets != 0 {
			t.Errorf("%d downloads", got.gets)
		}
		if c.Bytes() != 5*(mib+4096) {
			t.Errorf("the cache takes %d bytes", c.Bytes())
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACrashedCacheIsUsedAgain(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	c := openCache(t, dir, chunk.DiskOptions{})
	data := fill(t, s, c, 5, mib+77)
	if err := c.Abandon(); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, s, openCache(t, dir, chunk.DiskOptions{}), data); got.gets != 0 {
		t.Errorf("%d downloads", got.gets)
	}
}

func TestTwoVolumesShareADirectory(t *testing.T) {
	dir := t.TempDir()
	for _, volume := range []string{"a", "b"} {
		s := newStore(t)
		c := openCache(t, dir, chunk.DiskOptions{Volume: volume})
		b := newBlocks(t, s, c, chunk.Options{})
		data := []byte("of volume " + volume)
		write(t, b, 1, data)
		if !bytes.Equal(read(t, b, segment(1, len(data))), data) {
			t.Error("read differs")
		}
	}
	if _, err := chunk.OpenDiskCache(dir, chunk.DiskOptions{Volume: "../x"}); err == nil {
		t.Error("a volume's name leads out of the directory")
	}
}

// TestOtherDirectoriesAreLeftAlone: a cache removes strays, so it must not be led to
// think that someone's files are strays.
func TestOtherDirectoriesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	must(t, os.WriteFile(precious, nil, 0o600))
	if _, err := chunk.OpenDiskCache(filepath.Dir(dir), chunk.DiskOptions{Volume: filepath.Base(dir)}); err == nil {
		t.Error("it is taken for a cache")
	}
	openCache(t, dir, chunk.DiskOptions{}).Sweep(t.Context())
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestOneProcessUsesACacheDirectory(t *testing.T) {
	dir := t.TempDir()
	c := openCache(t, dir, chunk.DiskOptions{})
	if _, err := chunk.OpenDiskCache(dir, chunk.DiskOptions{}); !errors.Is(err, chunk.ErrCacheInUse) {
		t.Errorf("the second: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	openCache(t, dir, chunk.DiskOptions{})
}

// TestDamagedCacheFilesAreNeverServed does to the files what crashes and disks do,
// and reads everything back through the cache.
func TestDamagedCacheFilesAreNeverServed(t *testing.T) {
	damage := map[string]func(t *testing.T, rng *rand.Rand, path string, size int64){
		"torn: a page is zeros": func(t *testing.T, rng *rand.Rand, path string, size int64) {
			overwrite(t, path, make([]byte, 4096), rng.Int64N(size-4096))
		},
		"a flipped bit": func(t *testing.T, rng *rand.Rand, path string, size int64) {
			flip(t, path, rng.Int64N(size), byte(1)<<rng.IntN(8))
		},
		"cut off": func(t *testing.T, rng *rand.Rand, path string, size int64) {
			if err := os.Truncate(path, rng.Int64N(size)); err != nil {
				t.Fatal(err)
			}
		},
		"gone": func(t *testing.T, _ *rand.Rand, path string, _ int64) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"a directory": func(t *testing.T, _ *rand.Rand, path string, _ int64) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			s, dir := newStore(t), t.TempDir()
			data := warm(t, s, dir, 6, mib/2+77)
			for _, path := range files(t, dir)[:4] {
				do(t, rng, path, mib/2+77)
			}
			c := openCache(t, dir, chunk.DiskOptions{})
			if got := readAll(t, s, c, data); got.gets < 4 || got.gets > 20 {
				t.Errorf("%d downloads", got.gets)
			}
			if name == "a directory" {
				return // stays uncached until Run has removed it
			}
			if got := readAll(t, s, c, data); got.gets != 0 {
				t.Errorf("%d downloads after the damage was mended", got.gets)
			}
		})
	}
}

// TestADamagedIndexLosesNoMore than what its records named.
func TestADamagedIndexLosesNoMore(t *testing.T) {
	for name, do := range map[string]struct {
		damage func(t *testing.T, index string)
		most   int // downloads
	}{
		"gone":              {func(t *testing.T, index string) { must(t, os.Remove(index)) }, 30},
		"empty":             {func(t *testing.T, index string) { must(t, os.Truncate(index, 0)) }, 30},
		"foreign":           {func(t *testing.T, index string) { overwrite(t, index, []byte("xx"), 0) }, 30},
		"torn at the end":   {func(t *testing.T, index string) { must(t, os.Truncate(index, 32*28+5)) }, 3},
		"torn in the midst": {func(t *testing.T, index string) { overwrite(t, index, make([]byte, 64), 32*10+7) }, 3},
		"left half written": {func(t *testing.T, index string) { must(t, os.WriteFile(index+".new", []byte("x"), 0o600)) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newStore(t), t.TempDir()
			data := warm(t, s, dir, 6, 5*smallBlock)
			do.damage(t, filepath.Join(dir, "volume", "index"))
			c := openCache(t, dir, chunk.DiskOptions{})
			if got := readAll(t, s, c, data); got.gets > do.most {
				t.Errorf("%d downloads", got.gets)
			}
			must(t, c.Close())
			if got := readAll(t, s, openCache(t, dir, chunk.DiskOptions{}), data); got.gets != 0 {
				t.Errorf("%d downloads after the damage was mended", got.gets)
			}
		})
	}
}

// TestRandomCrashes copies the directory as a crash would leave it: any page of any
// file may be missing, the index may end anywhere.
func TestRandomCrashes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s, dir := newStore(t), t.TempDir()
	c := openCache(t, dir, chunk.DiskOptions{LimitBytes: 5 * mib}) // so that some are evicted
	data := fill(t, s, c, 12, mib/2+99)
	for range 10 {
		crashed := t.TempDir()
		must(t, os.CopyFS(crashed, os.DirFS(dir)))
		for _, path := range files(t, crashed) {
			if rng.IntN(2) == 0 {
				overwrite(t, path, make([]byte, 4096), rng.Int64N(mib/2)/4096*4096)
			}
		}
		must(t, os.Truncate(filepath.Join(crashed, "volume", "index"), rng.Int64N(32*40)))
		again := openCache(t, crashed, chunk.DiskOptions{})
		if rng.IntN(2) == 0 {
			again.Sweep(t.Context())
		}
		readAll(t, s, again, data)
		readAll(t, s, again, data)
		must(t, again.Close())
	}
}

func TestStraysAreRemoved(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	data := warm(t, s, dir, 3, mib)
	strays := []string{"x", "00/3-256", "00/03-256", "01/3-1.tmp", "01/sub/3-1", "zz/3-1", "02/3-1"}
	for _, name := range strays {
		path := filepath.Join(dir, "volume", name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte("stray"), 0o600))
	}
	gone := filepath.Join(dir, "volume", "02", "3-2")
	must(t, os.Remove(gone))
	c := openCache(t, dir, chunk.DiskOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Sweep(t.Context())
	must(t, c.Run(ctx))
	for _, name := range strays {
		if _, err := os.Lstat(filepath.Join(dir, "volume", name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if c.Bytes() != 2*mib {
		t.Errorf("the cache says that it takes %d bytes", c.Bytes())
	}
	if got := readAll(t, s, c, data); got.gets != 4 {
		t.Errorf("%d downloads, want the 4 of the lost slice", got.gets)
	}
}

func TestTheCacheKeepsToItsLimit(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	reg := prometheus.NewRegistry()
	c := openCache(t, dir, chunk.DiskOptions{LimitBytes: 4 * mib, Metrics: reg})
	data := fill(t, s, c, 10, mib)
	if c.Bytes() > 4*mib {
		t.Errorf("the cache takes %d bytes", c.Bytes())
	}
	if n := len(files(t, dir)); n != 4 {
		t.Errorf("%d files", n)
	}
	b := newBlocks(t, s, c, chunk.Options{BlockBytes: smallBlock})
	read(t, b, segment(7, mib)) // used last from now on
	for i := range 3 {
		through(t, s, c, uint64(100+i), data[0])
	}
	s.counts()
	if readAll(t, s, c, nil); len(files(t, dir)) != 4 {
		t.Error("the cache is not full")
	}
	b = newBlocks(t, s, c, chunk.Options{BlockBytes: smallBlock})
	s.counts()
	if read(t, b, segment(7, mib)); s.counts().gets != 0 {
		t.Error("what was used last left first")
	}
	if value(t, reg, "mirrorfs_chunk_disk_evictions_total") != 9 {
		t.Error("evictions are not counted")
	}
}

// TestTheIndexDoesNotGrowForever evicts so often that it is written anew.
func TestTheIndexDoesNotGrowForever(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	c := openCache(t, dir, chunk.DiskOptions{LimitBytes: 10 * 4096})
	b := newBlocks(t, s, c, chunk.Options{BlockBytes: smallBlock})
	const last = 6000
	for i := uint64(1); i <= last; i++ {
		write(t, b, i, random(i, 10))
	}
	must(t, b.Close())
	info, err := os.Stat(filepath.Join(dir, "volume", "index"))
	must(t, err)
	if info.Size() > 9000*32 {
		t.Errorf("%d writes made an index of %d bytes", last, info.Size())
	}
	must(t, c.Abandon())
	again := openCache(t, dir, chunk.DiskOptions{})
	if n := again.Bytes(); n < 5*4096 || n > 10*4096 {
		t.Errorf("the cache has %d bytes", n)
	}
}

func TestWhatASpanRefersToStays(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	c := openCache(t, dir, chunk.DiskOptions{LimitBytes: 2 * mib})
	data := fill(t, s, c, 1, mib)
	b := newBlocks(t, s, c, chunk.Options{BlockBytes: smallBlock})
	spans, err := b.Read(t.Context(), []chunk.Segment{segment(1, mib)})
	if err != nil {
		t.Fatal(err)
	}
	if len(spans) != 1 || spans[0].File == nil || spans[0].Len != mib {
		t.Fatalf("a slice that is cached is %d spans", len(spans))
	}
	for i := range 20 {
		write(t, b, uint64(10+i), random(1, mib))
	}
	must(t, b.Close())
	if !bytes.Equal(gather(t, spans), data[0]) {
		t.Error("it was evicted under its reader")
	}
	if c.Bytes() > 2*mib {
		t.Errorf("the cache takes %d bytes", c.Bytes())
	}
}

func TestFewFilesStayOpen(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	c := openCache(t, dir, chunk.DiskOptions{OpenFiles: 3})
	data := fill(t, s, c, 20, 5000)
	for range 3 {
		if got := readAll(t, s, c, data); got.gets != 0 {
			t.Errorf("%d downloads", got.gets)
		}
		if n := c.OpenFiles(); n > 3 {
			t.Errorf("%d files are open", n)
		}
	}
}

func TestWholeFile(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	size := 5*smallBlock + 3
	data := warm(t, s, dir, 2, size)
	flip(t, filepath.Join(dir, "volume", "02", fmt.Sprintf("%d-2", home)), 2*smallBlock, 1)
	c := openCache(t, dir, chunk.DiskOptions{LimitBytes: 3 * mib})
	b := newBlocks(t, s, c, chunk.Options{BlockBytes: smallBlock})
	whole := segment(1, size)
	for name, segs := range map[string][]chunk.Segment{
		"a part":         {part(1, size, 0, size-1)},
		"the end":        {part(1, size, 1, size-1)},
		"with a hole":    {whole, {Len: 1}},
		"a hole":         {{Len: 10}},
		"nothing":        nil,
		"not cached":     {segment(3, size)},
		"damaged":        {segment(2, size)},
		"another length": {segment(1, size-1)},
	} {
		if _, ok := b.WholeFile(segs); ok {
			t.Errorf("%s is taken for a whole file", name)
		}
	}
	span, ok := b.WholeFile([]chunk.Segment{whole})
	if !ok {
		t.Fatal("a whole file is not handed out")
	}
	got, err := os.ReadFile(span.File.Name())
	if err != nil || !bytes.Equal(got, data[0]) || span.Off != 0 || span.Len != size {
		t.Error("the file holds something else", err)
	}
	for i := range 5 {
		write(t, b, uint64(10+i), data[1])
	}
	must(t, b.Close())
	if _, err := os.Stat(span.File.Name()); err != nil {
		t.Error("it was evicted while the kernel reads it", err)
	}
	span.Release()
}

// TestAFullDiskStopsCachingOnly uses a file system of 8 MiB.
func TestAFullDiskStopsCachingOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount")
	}
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	s := newStore(t)
	c := openCache(t, dir, chunk.DiskOptions{})
	data := fill(t, s, c, 16, mib)
	readAll(t, s, c, data)
	if c.Bytes() > 8*mib || c.Bytes() < 2*mib {
		t.Errorf("the cache says that it takes %d bytes", c.Bytes())
	}
	must(t, c.Close())
	limited := openCache(t, dir, chunk.DiskOptions{FreeBytes: 5 * mib})
	readAll(t, s, limited, data)
	wantFree(t, dir, 5*mib)
	must(t, limited.Close())
}

// wantFree fails unless a file system has so many bytes free, but for what an index takes.
func wantFree(t *testing.T, dir string, want int64) {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	if free := int64(st.Bavail) * st.Bsize; free < want-64<<10 {
		t.Errorf("%d bytes are free, want %d", free, want)
	}
}

// TestManyAtOnceLeaveRoom: blocks that are written at once do not all take the same
// room.
func TestManyAtOnceLeaveRoom(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount")
	}
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	s := newStore(t)
	c := openCache(t, dir, chunk.DiskOptions{FreeBytes: 29 * mib})
	for round := range uint64(4) {
		var all sync.WaitGroup
		for i := range uint64(32) {
			slice := 1 + 32*round + i
			all.Go(func() { through(t, s, c, slice, random(slice, smallBlock)) })
		}
		all.Wait()
		wantFree(t, dir, 29*mib)
	}
	must(t, c.Close())
}

// TestReadAheadIsNotLostOnAFullDisk: what the cache does not take must not be
// downloaded again when its reader comes.
func TestReadAheadIsNotLostOnAFullDisk(t *testing.T) {
	s := newStore(t)
	c := openCache(t, t.TempDir(), chunk.DiskOptions{FreeBytes: 1 << 60})
	b := newBlocks(t, s, c, chunk.Options{BlockBytes: smallBlock, PrefetchBytes: mib})
	data := random(1, mib)
	write(t, b, 1, data)
	s.counts()
	b.Prefetch([]chunk.Segment{segment(1, mib)})
	for range 3 {
		if !bytes.Equal(read(t, b, segment(1, mib)), data) {
			t.Error("read differs")
		}
	}
	if got := s.counts(); got.gets != 4 || c.Bytes() != 0 {
		t.Errorf("%d downloads of 4 blocks; the cache takes %d bytes", got.gets, c.Bytes())
	}
}

// TestReadAheadChecksWhatIsHeld: after a restart, a block in the cache is read and
// checked ahead of its reader, so that the reader waits neither for that nor, when it is
// damaged, for a second try.
func TestReadAheadChecksWhatIsHeld(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	data := warm(t, s, dir, 1, mib)
	flip(t, files(t, dir)[0], mib/2, 1)
	c := openCache(t, dir, chunk.DiskOptions{})
	b := newBlocks(t, s, c, chunk.Options{BlockBytes: smallBlock, PrefetchBytes: mib})
	held := c.Bytes()
	b.Prefetch([]chunk.Segment{segment(1, mib)})
	must(t, b.Close()) // waits for what runs behind
	if got := c.Bytes(); got != held-smallBlock {
		t.Errorf("the cache holds %d bytes of %d, want one block less: it is damaged", got, held)
	}
	readAll(t, s, c, data)
}

// TestCacheUnderStorm reads, writes, evicts and closes files at once, for the race
// detector.
func TestCacheUnderStorm(t *testing.T) {
	seed := rand.Uint64()
	s := newStore(t)
	c := openCache(t, t.TempDir(), chunk.DiskOptions{LimitBytes: 3 * mib, OpenFiles: 2})
	b := newBlocks(t, s, c, chunk.Options{BlockBytes: 64 << 10})
	data := make([][]byte, 40)
	for i := range data {
		data[i] = random(seed+uint64(i), 100_000+7000*i)
		write(t, b, uint64(i+1), data[i])
	}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(g)))
			for range 60 {
				i := rng.IntN(len(data))
				segs := []chunk.Segment{segment(uint64(i+1), len(data[i]))}
				if rng.IntN(10) == 0 {
					c.Sweep(t.Context())
				}
				if span, ok := b.WholeFile(segs); ok {
					if !bytes.Equal(gather(t, []chunk.Span{span}), data[i]) {
						t.Errorf("seed %d: whole slice %d differs", seed, i+1)
					}
					continue
				}
				if !bytes.Equal(read(t, b, segs...), data[i]) {
					t.Errorf("seed %d: slice %d differs", seed, i+1)
				}
			}
		})
	}
	all.Wait()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path string, p []byte, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(p, off)
	must(t, errors.Join(err, f.Close()))
}

func flip(t *testing.T, path string, off int64, bits byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	overwrite(t, path, []byte{b[off] ^ bits}, off)
}
