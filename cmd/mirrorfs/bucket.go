package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/object"
	"mirrorfs/object/bucket"
	"mirrorfs/object/open"
)

func newBucketCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bucket",
		Short: "Find out whether a bucket will do, and how fast it is",
		Long: `What is found out here is a bucket, before a volume depends on it or when one is
slower than it was. Both work on objects of their own below probe/, which they remove.`,
		Example: `  mirrorfs bucket check "s3://models?region=eu-central-1"
  mirrorfs bucket bench "s3://models?region=eu-central-1"`,
	}
	cmd.AddCommand(newBucketCheckCommand(c), newBucketBenchCommand(c))
	return group(cmd)
}

func newBucketCheckCommand(c *cli) *cobra.Command {
	opts := bucket.CheckOptions{}
	block := byteSize(4 << 20)
	cmd := &cobra.Command{
		Use:   "check BUCKET",
		Short: "Tell whether a bucket will do for a volume, and what to change",
		Long: `check asks a bucket all that a volume will ask of it: whether it can be reached,
whether the credentials may write, read, list and delete, whether its clock agrees
with that of this machine, whether it keeps the promises that mirrorfs builds on
(put-if-absent has one winner, what one client wrote another reads and lists at
once), how long it takes to answer and how much it carries.

It takes less than a minute, works on objects of its own below probe/, which it
removes, and changes nothing else: a bucket that is in use may be checked. It exits
with 1 when the bucket will not do.`,
		Example: `  mirrorfs bucket check "s3://models?region=eu-central-1"
  mirrorfs bucket check "oss://models/v1?region=cn-hangzhou" --json`,
		Args: exactArgs("BUCKET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.BlockBytes = int(block)
			if block < 1 || opts.Connections < 1 || opts.Throughput <= 0 {
				return usagef("want --block-size, --connections and --time of more than 0")
			}
			return c.bucketCheck(cmd.Context(), args[0], opts)
		},
	}
	f := cmd.Flags()
	f.Var(&block, "block-size", "size of the objects that throughput is measured with")
	f.IntVar(&opts.Connections, "connections", 16, "how many requests to make at once, at most")
	f.DurationVar(&opts.Throughput, "time", 4*time.Second, "how long to measure throughput, four times")
	return cmd
}

// openProbed opens a bucket that is to be found out about: somebody waits for the answer, and
// a fault that lasts is one of the answers.
func (c *cli) openProbed(ctx context.Context, addr string) (object.Store, error) {
	s, err := open.Store(ctx, addr, open.Options{Retry: object.RetryOptions{Total: probeTime, Logger: c.log}})
	if errors.Is(err, object.ErrInvalid) {
		return nil, &usageError{err}
	}
	return s, err
}

func (c *cli) bucketCheck(ctx context.Context, addr string, opts bucket.CheckOptions) (err error) {
	near, err := c.openProbed(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, near.Close()) }()
	far, err := c.openProbed(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, far.Close()) }()
	report, err := bucket.Check(ctx, near, far, opts)
	if err != nil {
		return err
	}
	if err := c.print(report, func(w io.Writer) { writeBucketReport(w, &report) }); err != nil {
		return err
	}
	if report.Outcome == bucket.Failed {
		return errSilent
	}
	return nil
}

func writeBucketReport(out io.Writer, r *bucket.Report) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Question, f.Outcome, f.Detail)
		if f.Advice != "" {
			fmt.Fprintf(w, "\t\ttry: %s\n", f.Advice)
		}
	}
	_ = w.Flush()
	verdict := map[bucket.Outcome]string{
		bucket.OK:      "will do",
		bucket.Warning: "will do, see the warnings",
		bucket.Failed:  "will not do",
	}[r.Outcome]
	fmt.Fprintf(out, "%s %s (%.1f s)\n", r.Bucket, verdict, r.Seconds)
}

func newBucketBenchCommand(c *cli) *cobra.Command {
	opts := bucket.BenchOptions{Connections: []int{1, 4, 16}}
	block := byteSize(4 << 20)
	cmd := &cobra.Command{
		Use:   "bench BUCKET",
		Short: "Measure a bucket: operations and MiB a second, and how long each takes",
		Long: `bench measures each operation that a volume makes of a bucket, with one connection
and with several: blocks written and read, small objects, parts of blocks,
descriptions, listings and deletions. It removes what it wrote.

A volume moves blocks of --block-size (that of format), up to 64 at once.`,
		Example: `  mirrorfs bucket bench "s3://models?region=eu-central-1" --connections 1,32
  mirrorfs bucket bench file:///var/lib/mirrorfs/data --time 1s --json`,
		Args: exactArgs("BUCKET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.BlockBytes = int(block)
			if block < 1 || opts.Time <= 0 {
				return usagef("want --block-size and --time of more than 0")
			}
			for _, n := range opts.Connections {
				if n < 1 || n > maxBenchConnections {
					return usagef("--connections %d: want 1 to %d", n, maxBenchConnections)
				}
			}
			return c.bucketBench(cmd.Context(), args[0], opts)
		},
	}
	f := cmd.Flags()
	f.Var(&block, "block-size", "size of large objects")
	f.IntSliceVar(&opts.Connections, "connections", opts.Connections, "how many requests to make at once, one number for each row")
	f.DurationVar(&opts.Time, "time", 3*time.Second, "how long to measure for each row")
	return cmd
}

// maxBenchConnections bounds the memory of bench: each has a block.
const maxBenchConnections = 256

// bucketBenchResult is what bucket bench prints.
type bucketBenchResult struct {
	Bucket string       `json:"bucket"`
	Rows   []bucket.Row `json:"rows"`
}

func (c *cli) bucketBench(ctx context.Context, addr string, opts bucket.BenchOptions) (err error) {
	highest := 0
	for _, n := range opts.Connections {
		highest = max(highest, n)
	}
	s, err := open.Store(ctx, addr, open.Options{Retry: object.RetryOptions{Logger: c.log}, Connections: highest})
	if errors.Is(err, object.ErrInvalid) {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	bar := c.newProgress()
	opts.Progress = func(row string) { bar.update("%s", row) }
	rows, err := bucket.Bench(ctx, s, opts)
	bar.done()
	if err != nil {
		return hintf(err, "mirrorfs bucket check, which says what to change")
	}
	result := bucketBenchResult{Bucket: s.String(), Rows: rows}
	return c.print(result, result.write)
}

func (r *bucketBenchResult) write(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "operation\tconnections\tper second\tMiB/s\tp50 ms\tp99 ms\t")
	for _, row := range r.Rows {
		rate := ""
		if row.Bytes > 0 {
			rate = fmt.Sprintf("%.1f", row.MiBPerSec)
		}
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%s\t%.2f\t%.2f\t\n", row.Operation, row.Connections, row.PerSecond, rate, row.P50, row.P99)
	}
	_ = w.Flush()
	fmt.Fprintln(out, r.Bucket)
}
