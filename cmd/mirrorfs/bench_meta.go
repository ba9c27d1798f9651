package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// benchMaxThreads is the most threads that a job has.
const benchMaxThreads = 8

// benchJob is what one row measures.
type benchJob struct {
	name     string
	threads  int
	unit     string  // of the rate, without "per second"
	amount   float64 // units that the job does
	ops      float64 // operations that the job does, if not amount
	metadata bool    // also shown as a share of PINGs
	state    string  // caches before the job; empty leaves them as they are
	do       func(root string) error
}

func (j *benchJob) operations() float64 {
	if j.ops > 0 {
		return j.ops
	}
	return j.amount
}

// metadata measures operations on names, with 1 and with 8 threads, each thread in
// a directory of its own: Linux lets one create run in a directory at a time.
func (b *benchRun) metadata(ctx context.Context) error {
	for _, threads := range []int{1, benchMaxThreads} {
		for _, job := range metadataJobs(threads, b.opts.ops) {
			if err := b.both(ctx, job); err != nil {
				return err
			}
		}
	}
	return nil
}

// metadataJobs are the jobs in order; each finds what the one before left.
func metadataJobs(threads, ops int) []benchJob {
	base := func(root string) string { return filepath.Join(root, fmt.Sprintf("meta%d", threads)) }
	each := func(do func(dir string, i int) error) func(root string) error {
		return func(root string) error { return inThreads(base(root), threads, ops, do) }
	}
	file := func(dir, kind string, i int) string { return filepath.Join(dir, kind+strconv.Itoa(i)) }
	jobs := []benchJob{
		{name: "create", do: each(func(dir string, i int) error {
			f, err := os.OpenFile(file(dir, "f", i), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		})},
		{name: "stat", state: benchWarm, do: each(func(dir string, i int) error {
			_, err := os.Lstat(file(dir, "f", i))
			return err
		})},
		{name: "rename", do: each(func(dir string, i int) error {
			return os.Rename(file(dir, "f", i), file(dir, "g", i))
		})},
		{name: "write 4 KiB", do: each(func(dir string, i int) error {
			return os.WriteFile(file(dir, "g", i), make([]byte, 4<<10), 0o644)
		})},
		{name: "open+read 4 KiB", state: benchWarm, do: each(func(dir string, i int) error {
			_, err := os.ReadFile(file(dir, "g", i))
			return err
		})},
		{name: "readdir (entries)", state: benchWarm, do: func(root string) error {
			return listThreads(base(root), threads)
		}},
		{name: "unlink", do: each(func(dir string, i int) error {
			return os.Remove(file(dir, "g", i))
		})},
	}
	for i := range jobs {
		jobs[i].threads, jobs[i].unit, jobs[i].metadata, jobs[i].amount = threads, "ops", true, float64(ops/threads*threads)
	}
	return jobs
}

// inThreads does an operation ops times in all, each thread in its own directory.
func inThreads(base string, threads, ops int, do func(dir string, i int) error) error {
	dirs, err := subdirs(base, threads)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for _, dir := range dirs {
		g.Go(func() error {
			for i := range ops / threads {
				if err := do(dir, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// listThreads lists every thread's directory with attributes.
func listThreads(base string, threads int) error {
	dirs, err := subdirs(base, threads)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for _, dir := range dirs {
		g.Go(func() error {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if _, err := e.Info(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
