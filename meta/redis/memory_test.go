package redis_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// maxBytesPerFile is the promise of the design: the server's memory for a file of one
// block, the log apart.
const maxBytesPerFile = 170

// TestMemoryPerFile measures it in directories of 1,000 files and in one large one.
// MIRRORFS_LONG makes the large one 1,000,000.
func TestMemoryPerFile(t *testing.T) {
	large := 30_000
	if os.Getenv("MIRRORFS_LONG") != "" {
		large = 1_000_000
	}
	for _, c := range []struct{ dirs, files int }{{20, 1000}, {1, large}} {
		t.Run(fmt.Sprintf("%dx%d", c.dirs, c.files), func(t *testing.T) {
			perFile := measureMemory(t, c.dirs, c.files)
			t.Logf("%.1f bytes per file", perFile)
			if perFile > maxBytesPerFile {
				t.Errorf("a file takes %.1f bytes of the server's memory: want at most %d", perFile, maxBytesPerFile)
			}
		})
	}
}

// TestMemoryPerDeletedFile measures what a file takes in the trash, as docs/operations.md says it, and
// that nothing of it stays when it has gone for good.
func TestMemoryPerDeletedFile(t *testing.T) {
	const files, most = 5000, 170 + 130
	address := redistest.Start(t)
	e := redistest.Format(t, address, redis.Options{})
	if err := e.StartSession(t.Context(), meta.SessionInfo{Kind: "cli"}); err != nil {
		t.Fatal(err)
	}
	fill(t, e, "warm", 64) // the callers' replies are not the files'
	empty, before := memory(t, e), keysAt(t, address)
	fill(t, e, "dir", files)
	t.Logf("%.1f bytes per file that is there", (memory(t, e)-empty)/files)
	dir, err := e.Lookup(t.Context(), meta.RootIno, "dir")
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		if _, err := e.Change(t.Context(), meta.Unlink{Parent: dir.Ino, Name: file(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Change(t.Context(), meta.Rmdir{Parent: meta.RootIno, Name: "dir"}); err != nil {
		t.Fatal(err)
	}
	perFile := (memory(t, e) - empty) / files
	t.Logf("%.1f bytes per deleted file", perFile)
	if perFile > most {
		t.Errorf("a deleted file takes %.1f bytes: want at most %d", perFile, most)
	}
	later := time.Now().Add(time.Hour)
	orphans, err := e.Orphans(t.Context(), meta.Orphan{}, later, meta.MaxPageEntries)
	for ; err == nil && len(orphans) > 0; orphans, err = e.Orphans(t.Context(), meta.Orphan{}, later, meta.MaxPageEntries) {
		for _, o := range orphans {
			if _, err := e.Change(t.Context(), meta.Purge{Orphan: o}); err != nil {
				t.Fatal(err)
			}
		}
	}
	freed, freedErr := e.Freed(t.Context(), meta.Freed{}, later, meta.MaxReclaimRows)
	t.Logf("%.1f bytes per freed slice", (memory(t, e)-empty)/files)
	for ; err == nil && freedErr == nil && len(freed) > 0; freed, freedErr = e.Freed(t.Context(), meta.Freed{}, later, meta.MaxReclaimRows) {
		_, err = e.Change(t.Context(), meta.Reclaim{Rows: freed})
	}
	if err != nil || freedErr != nil {
		t.Fatal(err, freedErr)
	}
	for name, rows := range keysAt(t, address) {
		for field := range rows {
			if _, was := before[name][field]; !was {
				t.Errorf("key %q has %q when all has gone", name, field)
			}
		}
	}
}

// memory is what the volume takes of the server's, its log apart.
func memory(t *testing.T, e *redis.Engine) float64 {
	t.Helper()
	n, err := e.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return float64(n)
}

func measureMemory(t *testing.T, dirs, files int) float64 {
	address := redistest.Start(t)
	e := redistest.Format(t, address, redis.Options{})
	if err := e.StartSession(t.Context(), meta.SessionInfo{Kind: "cli"}); err != nil {
		t.Fatal(err)
	}
	server := admin(t, address)
	// Buffers of connections and slots in use are not the files'.
	fill(t, e, "warm", 64)
	before := usedMemory(t, e, server)
	for d := range dirs {
		fill(t, e, fmt.Sprintf("dir-%03d", d), files)
	}
	return (usedMemory(t, e, server) - before) / float64(dirs*files)
}

// fill makes a directory with files of one block, by several callers as writers do.
func fill(t *testing.T, e *redis.Engine, name string, files int) {
	t.Helper()
	dir, err := e.Change(t.Context(), meta.Make{Parent: meta.RootIno, Name: name, Mode: meta.TypeDir | 0o755})
	if err != nil {
		t.Fatal(err)
	}
	slices, err := e.Change(t.Context(), meta.Reserve{Count: uint32(files)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const callers = 8
	for caller := range callers {
		wg.Go(func() {
			for i := caller; i < files; i += callers {
				made, err := e.Change(t.Context(), newFile(dir.Node.Ino, file(i)))
				if err == nil {
					_, err = e.Change(t.Context(), wholeFile(made.Node.Ino, slices.FirstSlice+uint64(i)))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// usedMemory is what the server uses, without the log.
func usedMemory(t *testing.T, e *redis.Engine, server *goredis.Client) float64 {
	t.Helper()
	if _, err := e.TrimLog(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	info, err := server.Info(context.Background(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the server does not tell its memory")
	return 0
}
