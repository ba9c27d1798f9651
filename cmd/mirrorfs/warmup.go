package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"mirrorfs/chunk"
	"mirrorfs/vfs/fuse"
)

// warmupOptions are the flags of warmup.
type warmupOptions struct {
	jobs  int
	check bool
}

func newWarmupCommand(c *cli) *cobra.Command {
	opts := warmupOptions{jobs: 4}
	cmd := &cobra.Command{
		Use:   "warmup PATH...",
		Short: "Bring files into the cache of the mount that they are on",
		Long: `warmup makes the mount that each PATH is on, a file or a directory with all below it,
fetch into its cache on disk what is not there yet, and returns when that is done. The
bytes do not pass through this command. With --check it only tells how much is there.
What was written and not flushed yet is not counted. It exits with 1 when a file could
not be fetched.`,
		Example: "  mirrorfs warmup /mnt/models/llama --jobs 8\n  mirrorfs warmup /mnt/models --check --json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s: PATH is missing", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.jobs < 1 || opts.jobs > 256 {
				return usagef("--jobs %d: want 1 to 256", opts.jobs)
			}
			return c.warmup(cmd.Context(), args, opts)
		},
	}
	cmd.Flags().IntVar(&opts.jobs, "jobs", opts.jobs, "parts of files to fetch at a time")
	cmd.Flags().BoolVar(&opts.check, "check", false, "tell how much is in the cache, and fetch nothing")
	return cmd
}

// warmBytes is the part of a file that is asked for at once.
const warmBytes = chunk.Bytes

// maxWarmFailures bounds the failures that are told one by one.
const maxWarmFailures = 100

// warmupResult is what warmup prints.
type warmupResult struct {
	Files    uint64        `json:"files"`
	Bytes    int64         `json:"bytes"`   // of data: holes have none
	Cached   int64         `json:"cached"`  // in the end
	Fetched  int64         `json:"fetched"` // by this command
	Failures uint64        `json:"failures"`
	Failed   []warmFailure `json:"failed"` // the first of them
}

type warmFailure struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

// warming is a warmup under way.
type warming struct {
	opts warmupOptions
	bar  *progress

	mu     sync.Mutex // guards result and bar
	result warmupResult
}

func (c *cli) warmup(ctx context.Context, paths []string, opts warmupOptions) error {
	for _, path := range paths {
		if _, err := fuse.MountOf(path); err != nil {
			return explainFuse(err)
		}
	}
	w := &warming{opts: opts, bar: c.newProgress(), result: warmupResult{Failed: []warmFailure{}}}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(opts.jobs)
	var err error
	for _, path := range paths {
		err = errors.Join(err, w.walk(gctx, group, path))
	}
	err = errors.Join(err, group.Wait(), ctx.Err())
	w.bar.done()
	if err != nil {
		return err
	}
	if err := c.print(w.result, w.result.write); err != nil {
		return err
	}
	if w.result.Failures > 0 {
		return errSilent
	}
	return nil
}

// walk asks for all files at and below a path, a part of one at a time.
func (w *warming) walk(ctx context.Context, group *errgroup.Group, path string) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			w.fail(path, err)
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := os.Lstat(path)
		if err != nil {
			w.fail(path, err)
			return nil
		}
		w.mu.Lock()
		w.result.Files++
		w.mu.Unlock()
		size := uint64(info.Size()) //nolint:gosec // not negative
		for off := uint64(0); off < size; off += warmBytes {
			group.Go(func() error {
				if ctx.Err() == nil {
					w.part(path, off)
				}
				return nil
			})
		}
		return nil
	})
}

func (w *warming) part(path string, off uint64) {
	ask := fuse.WarmRange
	if w.opts.check {
		ask = fuse.CachedRange
	}
	got, err := ask(path, off, warmBytes)
	if err != nil {
		w.fail(path, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.result
	r.Bytes += got.Total
	r.Cached += got.Cached
	r.Fetched += got.Fetched
	w.bar.update("%d files, %s of %s in the cache, %s fetched", r.Files, formatBytes(r.Cached), formatBytes(r.Bytes), formatBytes(r.Fetched))
}

func (w *warming) fail(path string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.result.Failures++; w.result.Failures <= maxWarmFailures {
		w.result.Failed = append(w.result.Failed, warmFailure{path, err.Error()})
	}
}

func (r *warmupResult) write(w io.Writer) {
	for _, f := range r.Failed {
		fmt.Fprintf(w, "%s: %s\n", f.Path, f.Error)
	}
	fmt.Fprintf(w, "%d files, %s of %s in the cache, %s fetched, %d failures\n",
		r.Files, formatBytes(r.Cached), formatBytes(r.Bytes), formatBytes(r.Fetched), r.Failures)
}
