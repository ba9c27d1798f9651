package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// benchOptions are the benchmark's flags.
type benchOptions struct {
	dir   string
	data  byteSize
	files int
	ops   int
}

func newBenchCommand(c *cli) *cobra.Command {
	opts := benchOptions{data: 1 << 30, files: 5000, ops: 4000}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: every job on a mount beside the same job on the local disk",
		Long: `bench makes a volume in a directory (a private Redis, a bucket in the directory, a
mount) and runs each job on it and on the local disk below, in the same run. It
prints one table: metadata operations with 1 and 8 threads, each also as a share
of the PINGs that one connection to that Redis gets through and with the round
trips that it took; reads and writes, sequential and random, cold (from the
bucket), warm (from the disk cache) and hot (from the page cache); small files;
and what memory Redis and the client took.

As root it drops the page cache before cold and warm jobs, on both sides alike.`,
		Example: "  mirrorfs bench\n  mirrorfs bench --dir /mnt/nvme --data 4GiB\n  mirrorfs bench --data 64MiB --files 500 --ops 500 --json",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.data < 1<<20 || opts.files < 1 || opts.ops < benchMaxThreads {
				return usagef("want --data of 1MiB or more, --files of 1 or more, --ops of %d or more", benchMaxThreads)
			}
			return c.bench(cmd.Context(), opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.dir, "dir", "", "directory to work in, which needs room for four times --data (default: a temporary one)")
	f.Var(&opts.data, "data", "size of the large file")
	f.IntVar(&opts.files, "files", opts.files, "how many files of 64 KiB to write and read")
	f.IntVar(&opts.ops, "ops", opts.ops, "how often each metadata operation is done")
	return cmd
}

// bench runs it and cleans up, whatever happened.
func (c *cli) bench(ctx context.Context, opts benchOptions) (err error) {
	l, err := newLab(c, opts.dir)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoCleanUpTimeout)
		defer cancel()
		if closeErr := l.close(closing); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", closeErr))
		}
	}()
	b, err := newBench(ctx, l, opts)
	if err != nil {
		return err
	}
	if err := b.metadata(ctx); err != nil {
		return err
	}
	// Before the large file, whose lists are compacted behind the jobs that come next.
	if err := b.smallFiles(ctx); err != nil {
		return err
	}
	if err := b.largeFile(ctx); err != nil {
		return err
	}
	if err := b.volume.noteMemory(); err != nil {
		return err
	}
	b.result.ClientBytes, b.result.ClientBytesMax = b.volume.bytes, b.volume.bytesMax
	return c.print(&b.result, b.result.write)
}

// benchRun is one benchmark under way.
type benchRun struct {
	lab    *lab
	opts   benchOptions
	disk   *benchDisk
	volume *benchVolume
	result benchResult
}

func newBench(ctx context.Context, l *lab, opts benchOptions) (*benchRun, error) {
	b := &benchRun{lab: l, opts: opts, disk: &benchDisk{dir: l.path("disk")}}
	if err := l.mkdir("disk"); err != nil {
		return nil, err
	}
	var err error
	if b.volume, err = newBenchVolume(ctx, l); err != nil {
		return nil, err
	}
	b.result.Machine = machine()
	b.result.Dropped = dropCaches() == nil
	b.result.PingsPerSecond, err = b.volume.pingRate(ctx)
	return b, err
}

// both runs a job on the disk and on the volume and adds a row to the table.
func (b *benchRun) both(ctx context.Context, job benchJob) error {
	b.lab.c.sayf("%s, threads: %d", job.name, max(job.threads, 1))
	row := benchRow{Job: job.name, Threads: max(job.threads, 1), Unit: job.unit}
	for _, side := range []struct {
		place benchPlace
		rate  *float64
	}{{b.disk, &row.Disk}, {b.volume, &row.Volume}} {
		if job.state != "" {
			if err := side.place.cool(ctx, job.state); err != nil {
				return fmt.Errorf("%s: %w", job.name, err)
			}
		}
		before, err := b.volume.calls(ctx)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := job.do(side.place.root()); err != nil {
			return fmt.Errorf("%s in %s: %w", job.name, side.place.root(), err)
		}
		*side.rate = job.amount / time.Since(start).Seconds()
		after, err := b.volume.calls(ctx)
		if err != nil {
			return err
		}
		row.RoundTrips = float64(after-before) / job.operations()
	}
	if job.metadata {
		row.PingShare = row.Volume / b.result.PingsPerSecond
	}
	b.result.Rows = append(b.result.Rows, row)
	return ctx.Err()
}
