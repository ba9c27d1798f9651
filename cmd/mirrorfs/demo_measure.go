package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mirrorfs/meta/redis/local"
)

// demoRounds is how often each operation is timed at each site.
const demoRounds = 40

// demoOp is one operation that the demo times.
type demoOp struct {
	name    string
	changes bool // is a change: one round trip to the source wanted
	do      func(dir string, i int) error
}

// demoOps work in an empty directory, in this order; each finds what the one
// before left.
func demoOps() []demoOp {
	path := func(dir, kind string, i int) string { return filepath.Join(dir, kind+strconv.Itoa(i)) }
	return []demoOp{
		{"create and close", true, func(dir string, i int) error {
			f, err := os.OpenFile(path(dir, "f", i), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}},
		{"chmod", true, func(dir string, i int) error { return os.Chmod(path(dir, "f", i), 0o600) }},
		{"rename", true, func(dir string, i int) error { return os.Rename(path(dir, "f", i), path(dir, "g", i)) }},
		{"stat", false, func(dir string, i int) error {
			_, err := os.Stat(path(dir, "g", i))
			return err
		}},
		{"unlink", true, func(dir string, i int) error { return os.Remove(path(dir, "g", i)) }},
		{"mkdir", true, func(dir string, i int) error { return os.Mkdir(path(dir, "d", i), 0o755) }},
		{"rmdir", true, func(dir string, i int) error { return os.Remove(path(dir, "d", i)) }},
	}
}

// measure times every operation at both sites, and counts what each change at B
// costs at the source.
func (s *demoSites) measure(ctx context.Context, r *demoResult) error {
	s.lab.c.sayf("timing operations at both sites")
	dirA, dirB := filepath.Join(s.a.mnt, "at-a"), filepath.Join(s.b.mnt, "at-b")
	if err := errors.Join(os.Mkdir(dirA, 0o755), os.Mkdir(dirB, 0o755)); err != nil {
		return err
	}
	for _, op := range demoOps() {
		row := demoLatency{Op: op.name}
		var err error
		if row.A, err = medianOf(ctx, dirA, op); err != nil {
			return fmt.Errorf("%s at A: %w", op.name, err)
		}
		before, err := s.calls(ctx)
		if err != nil {
			return err
		}
		if row.B, err = medianOf(ctx, dirB, op); err != nil {
			return fmt.Errorf("%s at B: %w", op.name, err)
		}
		after, err := s.calls(ctx)
		if err != nil {
			return err
		}
		if op.changes {
			row.RoundTripsB = float64(after-before) / demoRounds
		}
		r.Latencies = append(r.Latencies, row)
	}
	return s.measureReads(ctx, r)
}

// measureReads reads the tree that was copied, some of it again and again.
func (s *demoSites) measureReads(ctx context.Context, r *demoResult) error {
	var paths []string
	err := filepath.WalkDir(filepath.Join(s.a.mnt, "src"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, strings.TrimPrefix(path, s.a.mnt))
		}
		if len(paths) == demoRounds {
			return filepath.SkipAll
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return nil
	}
	op := demoOp{name: "open and read (cached)", do: func(mnt string, i int) error {
		_, err := os.ReadFile(filepath.Join(mnt, paths[i%len(paths)]))
		return err
	}}
	row := demoLatency{Op: op.name}
	if row.A, err = medianOf(ctx, s.a.mnt, op); err != nil {
		return err
	}
	if row.B, err = medianOf(ctx, s.b.mnt, op); err != nil {
		return err
	}
	r.Latencies = append(r.Latencies, row)
	return nil
}

// medianOf times an operation demoRounds times.
func medianOf(ctx context.Context, dir string, op demoOp) (time.Duration, error) {
	times := make([]time.Duration, 0, demoRounds)
	for i := range demoRounds {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		start := time.Now()
		if err := op.do(dir, i); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// calls asks the source's Redis how many changes it was called for.
func (s *demoSites) calls(ctx context.Context) (int64, error) {
	info, err := local.Info(ctx, s.lab.path("a", "meta"))
	if err != nil {
		return 0, err
	}
	return commandCalls(info["cmdstat_fcall"]), nil
}

// commandCalls reads the number of calls out of a line of INFO commandstats:
// "calls=21,usec=...".
func commandCalls(line string) int64 {
	_, rest, _ := strings.Cut(line, "calls=")
	number, _, _ := strings.Cut(rest, ",")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0 // the command was never called
	}
	return n
}
