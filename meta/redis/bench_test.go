package redis_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// admin connects to a server beside the engine.
func admin(t testing.TB, address string) *goredis.Client {
	t.Helper()
	var c *goredis.Client
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		c = goredis.NewClient(&goredis.Options{Network: "unix", Addr: path, DisableIdentity: true})
	} else {
		c = goredis.NewClient(&goredis.Options{Addr: strings.TrimPrefix(address, "redis://"), DisableIdentity: true})
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// functionStats is what the server has counted for functions since its statistics were
// reset: calls, and the median of the time that one took it. The mean would tell more of
// what else the machine does.
func functionStats(t testing.TB, c *goredis.Client) (calls, median float64) {
	t.Helper()
	info, err := c.Info(context.Background(), "commandstats", "latencystats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		if !strings.HasSuffix(name, "_fcall") && !strings.HasSuffix(name, "_fcall_ro") {
			continue
		}
		for field := range strings.SplitSeq(rest, ",") {
			key, value, _ := strings.Cut(field, "=")
			n, _ := strconv.ParseFloat(value, 64)
			switch key {
			case "calls":
				calls += n
			case "p50":
				median = max(median, n)
			}
		}
	}
	return calls, median
}

// An operation of the benchmark: prepare makes what run needs.
type operation struct {
	name    string
	prepare func(b *testing.B, e *redis.Engine, n int)
	run     func(e *redis.Engine, i int) error
}

func file(i int) string { return fmt.Sprintf("file-%07d.bin", i) }

func newFile(parent meta.Ino, name string) meta.Make {
	return meta.Make{Parent: parent, Name: name, Mode: meta.TypeFile | 0o644}
}

func wholeFile(ino meta.Ino, slice uint64) meta.Commit {
	return meta.Commit{Ino: ino, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{{Len: 4096, Slice: slice, Home: 1, Size: 4096}}}}}
}

// makeFiles makes files whose inode numbers follow the root's.
func makeFiles(b *testing.B, e *redis.Engine, n int) {
	b.Helper()
	for i := range n {
		if _, err := e.Change(b.Context(), newFile(meta.RootIno, file(i))); err != nil {
			b.Fatal(err)
		}
	}
}

func change(e *redis.Engine, c meta.Change) error {
	_, err := e.Change(context.Background(), c)
	return err
}

// makePath makes a/b/c/d.
func makePath(b *testing.B, e *redis.Engine) {
	b.Helper()
	parent := meta.RootIno
	for _, name := range []string{"a", "b", "c", "d"} {
		res, err := e.Change(b.Context(), meta.Make{Parent: parent, Name: name, Mode: meta.TypeDir | 0o755})
		if err != nil {
			b.Fatal(err)
		}
		parent = res.Node.Ino
	}
}

func operations() []operation {
	const first = meta.RootIno + 1
	var small atomic.Uint64 // the directory of the last hundred files
	small.Store(1)
	return []operation{
		{"create", nil, func(e *redis.Engine, i int) error { return change(e, newFile(meta.RootIno, file(i))) }},
		{"create-in-small", nil, func(e *redis.Engine, i int) error {
			if i%100 == 0 {
				res, err := e.Change(context.Background(), meta.Make{Parent: meta.RootIno, Name: file(i), Mode: meta.TypeDir | 0o755})
				if err != nil {
					return err
				}
				small.Store(uint64(res.Node.Ino))
			}
			return change(e, newFile(meta.Ino(small.Load()), file(i)))
		}},
		{"mkdir", nil, func(e *redis.Engine, i int) error {
			return change(e, meta.Make{Parent: meta.RootIno, Name: file(i), Mode: meta.TypeDir | 0o755})
		}},
		{"commit", makeFiles, func(e *redis.Engine, i int) error { return change(e, wholeFile(first+meta.Ino(i), uint64(i)+1)) }},
		{"chmod", makeFiles, func(e *redis.Engine, i int) error {
			return change(e, meta.SetAttr{Ino: first + meta.Ino(i), Set: meta.SetMode, Mode: 0o600})
		}},
		{"rename", makeFiles, func(e *redis.Engine, i int) error {
			return change(e, meta.Rename{OldParent: meta.RootIno, OldName: file(i), NewParent: meta.RootIno, NewName: "x" + file(i)})
		}},
		{"unlink", makeFiles, func(e *redis.Engine, i int) error {
			return change(e, meta.Unlink{Parent: meta.RootIno, Name: file(i)})
		}},
		{"lookup", makeFiles, func(e *redis.Engine, i int) error {
			_, err := e.Lookup(context.Background(), meta.RootIno, file(i))
			return err
		}},
		{"getattr", makeFiles, func(e *redis.Engine, i int) error {
			_, err := e.GetAttr(context.Background(), first+meta.Ino(i))
			return err
		}},
		{"readdir-1000", func(b *testing.B, e *redis.Engine, _ int) { makeFiles(b, e, 1000) }, func(e *redis.Engine, _ int) error {
			_, err := e.ReadDir(context.Background(), meta.RootIno, "", 1000)
			return err
		}},
		{"resolve-4", func(b *testing.B, e *redis.Engine, _ int) { makePath(b, e) }, func(e *redis.Engine, _ int) error {
			_, err := e.Resolve(context.Background(), meta.RootIno, "a/b/c/d")
			return err
		}},
		{"heartbeat", nil, func(e *redis.Engine, _ int) error { return e.Heartbeat(context.Background(), nil) }},
		{"ping", nil, nil},
	}
}

// BenchmarkOperations reports round trips, and the median of the server's own time, per
// operation, with one caller and with many.
func BenchmarkOperations(b *testing.B) {
	for _, op := range operations() {
		for _, callers := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/callers=%d", op.name, callers), func(b *testing.B) { benchmark(b, op, callers) })
		}
	}
}

func benchmark(b *testing.B, op operation, callers int) {
	address := redistest.Start(b)
	e := redistest.Format(b, address, redis.Options{})
	if err := e.StartSession(b.Context(), meta.SessionInfo{Kind: "cli"}); err != nil {
		b.Fatal(err)
	}
	if op.prepare != nil {
		op.prepare(b, e, b.N)
	}
	server := admin(b, address)
	if op.run == nil {
		op.run = func(*redis.Engine, int) error { return server.Ping(context.Background()).Err() }
	}
	if err := server.ConfigResetStat(b.Context()).Err(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism((callers + 1) / 2)
	b.ResetTimer()
	var next atomic.Int64
	if callers == 1 {
		for i := range b.N {
			if err := op.run(e, i); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := op.run(e, int(next.Add(1))-1); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.StopTimer()
	calls, median := functionStats(b, server)
	b.ReportMetric(calls/float64(b.N), "calls/op")
	b.ReportMetric(median, "server-us/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}
