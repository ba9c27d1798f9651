package integration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/integration/harness"
	"mirrorfs/meta"
	"mirrorfs/meta/redis"
)

// The commands that go through a whole volume do so in steps that do not hold Redis up, and all
// but fsck, which compares all rows with each other, in memory that does not grow with
// it. Here each file has a block of its own, as in a volume of large files.
func TestCommandsOnManyFiles(t *testing.T) {
	files := 5000
	if long() {
		files = 1_000_000
	}
	w := harness.New(t, program)
	slow := []string{"--appendfsync", "everysec", "--slowlog-log-slower-than", strconv.Itoa(int(holdUp.Microseconds())), "--slowlog-max-len", "100000"}
	server, copied := w.Server("many", slow...), w.Server("copy", slow...)
	w.Run("format", server.Addr(), "vol", "--bucket", w.FileBucket("bucket"))
	fillVolume(t, server.Addr(), w.Dir("bucket"), files)
	dumped := filepath.Join(w.Dir("dumps"), "vol.dump")
	for _, c := range []struct {
		args    []string
		flatKiB int64 // most that it may take; 0: it grows with the volume
	}{
		{[]string{"fsck", server.Addr(), "--meta-only"}, 0},
		{[]string{"fsck", server.Addr()}, 0},
		{[]string{"dump", server.Addr(), dumped}, 200 << 10},
		{[]string{"load", dumped, "--check"}, 200 << 10},
		{[]string{"load", dumped, copied.Addr()}, 200 << 10},
		{[]string{"fsck", copied.Addr(), "--meta-only"}, 0},
		{[]string{"gc", server.Addr()}, 200 << 10},
	} {
		w.CLI(server, "slowlog", "reset")
		w.CLI(copied, "slowlog", "reset")
		calls, used := allCalls(w, server, copied)
		begun := time.Now()
		r := w.Try(c.args...)
		took := time.Since(begun)
		if r.Code != 0 {
			t.Fatalf("mirrorfs %v: exit code %d\n%s%s", c.args, r.Code, r.Stdout, r.Stderr)
		}
		callsAfter, usedAfter := allCalls(w, server, copied)
		calls, used = callsAfter-calls, usedAfter-used
		t.Logf("%s on %d files: %v, %d MiB at most; %d calls of Redis, %v each", c.args[0], files, took.Round(time.Millisecond), r.MaxMemory>>20, calls, used/time.Duration(max(calls, 1)))
		for _, s := range slices.Concat(w.SlowCalls(server), w.SlowCalls(copied)) {
			t.Logf("%s held Redis up for %v, by the clock", s.Function, s.Took)
		}
		if used > time.Duration(calls+1)*holdUp {
			t.Errorf("%v: %d calls took %v of Redis's processor: more than %v each", c.args, calls, used, holdUp)
		}
		if c.flatKiB > 0 && r.MaxMemory>>10 > c.flatKiB {
			t.Errorf("%v takes %d MiB of memory", c.args, r.MaxMemory>>20)
		}
	}
}

// allCalls sums up the calls of functions that servers had, and their processor time.
func allCalls(w *harness.World, servers ...*harness.Server) (calls int64, used time.Duration) {
	for _, s := range servers {
		calls += w.Calls(s.Addr(), "fcall") + w.Calls(s.Addr(), "fcall_ro")
		used += s.Processor()
	}
	return calls, used
}

// fillVolume makes files of one block, a thousand to a directory, and the objects of the blocks: of
// the right name and length, without the syncs of a store.
func fillVolume(t *testing.T, metaAddr, bucket string, files int) {
	t.Helper()
	const perDir, fileBytes, blockBytes = 1000, 100, 4 << 20
	e, err := redis.Open(t.Context(), metaAddr, redis.Options{})
	must(t, err)
	defer func() { _ = e.Close() }()
	must(t, e.StartSession(t.Context(), meta.SessionInfo{Host: "test", Kind: "cli", Version: "test"}))
	v, err := e.Volume(t.Context())
	must(t, err)
	home := uint8(255)
	for id := range v.Sites {
		home = min(home, id)
	}
	for i := range 256 {
		must(t, os.MkdirAll(filepath.Join(bucket, filepath.Dir(chunk.Key(home, uint64(i), 0))), 0o700))
	}
	fill := func(ctx context.Context, dir int) error {
		res, err := e.Change(ctx, meta.Make{Parent: meta.RootIno, Name: fmt.Sprintf("dir-%04d", dir), Mode: meta.TypeDir | 0o755})
		if err != nil {
			return err
		}
		parent := res.Node.Ino
		if res, err = e.Change(ctx, meta.Reserve{Count: perDir}); err != nil {
			return err
		}
		object := make([]byte, chunk.StoredBytes(fileBytes, 0, blockBytes))
		for i := range uint64(perDir) {
			slice := res.FirstSlice + i
			if err := os.WriteFile(filepath.Join(bucket, chunk.Key(home, slice, 0)), object, 0o600); err != nil {
				return err
			}
			made, err := e.Change(ctx, meta.Make{Parent: parent, Name: fmt.Sprintf("file-%04d", i), Mode: meta.TypeFile | 0o644})
			if err != nil {
				return err
			}
			extent := meta.Extent{Len: fileBytes, Slice: slice, Home: home, Size: fileBytes}
			if _, err := e.Change(ctx, meta.Commit{Ino: made.Node.Ino, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{extent}}}}); err != nil {
				return err
			}
		}
		return nil
	}
	dirs := make(chan int, files)
	for i := range (files + perDir - 1) / perDir {
		dirs <- i
	}
	close(dirs)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := range dirs {
				if err := fill(context.WithoutCancel(t.Context()), i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	must(t, e.EndSession(t.Context()))
}
