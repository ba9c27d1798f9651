package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchSides runs a benchmark on a mount, and on go-fuse's loopback beside it:
// what a Go program that answers the kernel can reach here at most.
// run prepares in aside, the same place by another way, so that the kernel knows
// nothing of it yet.
func benchSides(b *testing.B, c childConfig, run func(b *testing.B, p *child, aside string)) {
	b.Helper()
	c.Pprof, c.Cache = os.Getenv("MIRRORFS_FUSE_PPROF"), b.TempDir()
	b.Run("mirrorfs", func(b *testing.B) {
		c.Dirs = []string{mountPoint(b), mountPoint(b)}
		run(b, mount(b, c), c.Dirs[1])
	})
	b.Run("loopback", func(b *testing.B) {
		c.Loopback, c.Pprof, c.Meta, c.Dirs = b.TempDir(), "", "none", nil
		run(b, mount(b, c), c.Loopback)
	})
}

// cpu is the processor time that the child has used. Beside wall time, which
// others on the machine disturb, it tells what a request costs.
func (p *child) cpu() time.Duration {
	p.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		p.t.Fatal(err)
	}
	const tick = 10 * time.Millisecond // USER_HZ
	return time.Duration(user+system) * tick
}

// spread does op for each i below b.N on some threads and reports the rate.
func spread(b *testing.B, p *child, threads int, op func(thread, i int) error) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	before := p.cpu()
	b.ResetTimer()
	b.StartTimer()
	for thread := range threads {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				if err := op(thread, int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64((p.cpu()-before).Microseconds())/float64(b.N), "server-us/op")
}

// BenchmarkMetadata does to small files what programs do, each by its own call.
func BenchmarkMetadata(b *testing.B) {
	for _, threads := range []int{1, 8} {
		name := func(dir string, i int) string {
			return filepath.Join(dir, fmt.Sprintf("d%d", i%threads), fmt.Sprint(i))
		}
		prepare := func(b *testing.B, p *child, dir string, files int) {
			b.Helper()
			for i := range threads {
				if err := os.MkdirAll(filepath.Join(dir, fmt.Sprintf("d%d", i)), 0o755); err != nil {
					b.Fatal(err)
				}
			}
			spread(b, p, threads, func(_, i int) error {
				if i >= files {
					return nil
				}
				return create(name(dir, i))
			})
		}
		for _, bench := range []struct {
			name  string
			files bool
			op    func(name string) error
		}{
			{"Create", false, create},
			{"Stat", true, func(name string) error { var st unix.Stat_t; return unix.Lstat(name, &st) }},
			{"OpenClose", true, openClose},
			{"Rename", true, func(name string) error { return unix.Rename(name, name+".new") }},
			{"Unlink", true, unix.Unlink},
		} {
			b.Run(fmt.Sprintf("%s-%d", bench.name, threads), func(b *testing.B) {
				benchSides(b, childConfig{}, func(b *testing.B, p *child, aside string) {
					b.Helper()
					files := 0
					if bench.files {
						files = b.N
					}
					prepare(b, p, aside, files)
					spread(b, p, threads, func(_, i int) error { return bench.op(name(p.Dirs[0], i)) })
				})
			})
		}
	}
}

func create(name string) error {
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func openClose(name string) error {
	fd, err := unix.Open(name, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

const benchFileBytes = 256 << 20

// BenchmarkWrite writes a file in pieces and syncs it.
func BenchmarkWrite(b *testing.B) {
	for _, piece := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(piece>>10, "KiB"), func(b *testing.B) {
			benchSides(b, childConfig{}, func(b *testing.B, p *child, _ string) {
				b.Helper()
				buf := make([]byte, piece)
				b.SetBytes(benchFileBytes)
				before := p.cpu()
				defer func() {
					b.ReportMetric(float64((p.cpu()-before).Microseconds())/float64(b.N)/float64(benchFileBytes/piece), "server-us/write")
				}()
				for b.Loop() {
					writeFile(b, filepath.Join(p.Dirs[0], "f"), buf)
				}
			})
		})
	}
}

func writeFile(b *testing.B, name string, piece []byte) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	for range benchFileBytes / len(piece) {
		if _, err := f.Write(piece); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRead reads a file that is in the disk cache but not in the kernel's.
func BenchmarkRead(b *testing.B) {
	for _, piece := range []int{128 << 10, 1 << 20} {
		b.Run(fmt.Sprint(piece>>10, "KiB"), func(b *testing.B) {
			benchSides(b, childConfig{}, func(b *testing.B, p *child, _ string) {
				b.Helper()
				buf := make([]byte, piece)
				name := filepath.Join(p.Dirs[0], "f")
				writeFile(b, name, buf)
				b.SetBytes(benchFileBytes)
				for b.Loop() {
					f, err := os.Open(name)
					if err != nil {
						b.Fatal(err)
					}
					// Drops the pages of this mount, not those of the cache below it.
					if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
						b.Fatal(err)
					}
					for {
						n, err := f.Read(buf)
						if n == 0 || err == io.EOF {
							break
						}
					}
					_ = f.Close()
				}
			})
		})
	}
}
