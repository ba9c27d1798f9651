package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// mirrorWaitOptions are the flags of mirror wait.
type mirrorWaitOptions struct {
	timeout  time.Duration
	position string
	path     string
}

func newMirrorWaitCommand(c *cli) *cobra.Command {
	opts := mirrorWaitOptions{timeout: 30 * time.Second}
	cmd := &cobra.Command{
		Use:   "wait MIRROR_META",
		Short: "Wait until a mirror has all that the source had when called",
		Long: `wait asks the source where it stands and returns when the mirror at MIRROR_META has
applied that much: everything that was acknowledged at the source before the call is
then readable here. It prints the position. When the time is over it exits with 1 and
says how far the mirror is.

With --path it waits no longer than until that path is here as it is at the source, even
if the mirror lacks what was done elsewhere; of a directory, all that is below it counts.
With --position it waits for a position that somebody has told, and does not
ask the source: "getfattr --only-values -n user.mirrorfs.position FILE" tells that of a mount.`,
		Example: `  mirrorfs mirror wait redis://redis.b.example/0 --timeout 5m
  mirrorfs mirror wait redis://redis.b.example/0 --path /llama/weights.bin
  mirrorfs mirror wait redis://redis.b.example/0 --position 1-1042`,
		Args: exactArgs("MIRROR_META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case opts.path != "" && opts.position != "":
				return usagef("%s: give --path or --position, not both", cmd.CommandPath())
			case opts.path != "" && !strings.HasPrefix(opts.path, "/"):
				return usagef("%s: %s: want a path in the volume, which begins with /", cmd.CommandPath(), opts.path)
			}
			return c.mirrorWait(cmd.Context(), args[0], opts)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&opts.timeout, "timeout", opts.timeout, "longest wait")
	f.StringVar(&opts.position, "position", "", "wait for this position, for example 1-1042")
	f.StringVar(&opts.path, "path", "", "wait for what was done to this path of the volume")
	return cmd
}

// waitResult is what mirror wait prints.
type waitResult struct {
	Position meta.Position `json:"position"`
	Seconds  float64       `json:"seconds"` // how long it took
}

func (c *cli) mirrorWait(ctx context.Context, addr string, opts mirrorWaitOptions) error {
	ctx, cancel := context.WithTimeout(ctx, opts.timeout)
	defer cancel()
	begin := time.Now()
	wait := c.waitForAll
	if opts.position != "" {
		wait = c.waitForPosition
	}
	at, err := wait(ctx, addr, opts)
	if errors.Is(err, mirror.ErrNotThere) {
		return hintf(err, "mirrorfs mirror status %s tells what it is doing; --timeout waits longer", redis.Redact(addr))
	}
	if err != nil {
		return err
	}
	return c.print(waitResult{at, time.Since(begin).Seconds()}, func(w io.Writer) { fmt.Fprintln(w, at) })
}

// waitForAll waits for what the source has, everywhere or at a path.
func (c *cli) waitForAll(ctx context.Context, addr string, opts mirrorWaitOptions) (at meta.Position, err error) {
	site, source, err := c.openMirrorAndSource(ctx, addr)
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, site.Close(), source.Close()) }()
	if opts.path != "" {
		return mirror.WaitPath(ctx, source, site, opts.path)
	}
	return mirror.Wait(ctx, source, site)
}

// waitForPosition waits for a position that the user gave.
func (c *cli) waitForPosition(ctx context.Context, addr string, opts mirrorWaitOptions) (at meta.Position, err error) {
	if at, err = meta.ParsePosition(opts.position); err != nil {
		return at, &usageError{err}
	}
	site, _, err := c.openMirror(ctx, addr, nil)
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	return at, mirror.WaitFor(ctx, site, at)
}
