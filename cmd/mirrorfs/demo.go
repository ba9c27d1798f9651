package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// demoCleanUpTimeout bounds the end of a demo, also after Ctrl-C.
const demoCleanUpTimeout = 2 * time.Minute

// demoOptions are the demo's flags.
type demoOptions struct {
	keep bool
	s3   bool
	tree string
	dir  string
	rtt  time.Duration
}

func newDemoCommand(c *cli) *cobra.Command {
	var opts demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole thing on this machine: two sites, a tree mirrored, compared, written back",
		Long: `demo sets up two sites on this machine, each with a private Redis, a bucket (a
directory) and a mount, and a link between them that delays every byte. It
formats a volume at A, adds a mirror at B, copies a real tree in at A (Go's own
source by default) and shows it arriving at B, compares every byte, writes a
file at B and reads it at A, measures both sites, prints a table and cleans up.

It needs FUSE and redis-server. Every part is this same program, run as
processes of its own; with --keep they stay until Ctrl-C, to be played with.`,
		Example: "  mirrorfs demo\n  mirrorfs demo --rtt 100ms --tree /usr/share/doc\n  mirrorfs demo --s3 --keep",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.demo(cmd.Context(), opts)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.keep, "keep", false, "at the end, leave everything running until Ctrl-C, and print commands to try")
	f.BoolVar(&opts.s3, "s3", false, "keep the data in a real S3 server (versitygw, built with the Go installation) instead of a directory")
	f.StringVar(&opts.tree, "tree", "", "directory to copy in at A (default: src of the Go installation)")
	f.StringVar(&opts.dir, "dir", "", "directory to work in, which needs room for three times the tree (default: a temporary one)")
	f.DurationVar(&opts.rtt, "rtt", 30*time.Millisecond, "round trip time between the sites")
	return cmd
}

// demo runs it and cleans up, whatever happened.
func (c *cli) demo(ctx context.Context, opts demoOptions) (err error) {
	if opts.tree == "" {
		if opts.tree, err = goSource(ctx); err != nil {
			return err
		}
	}
	if info, err := os.Stat(opts.tree); err != nil || !info.IsDir() {
		return usagef("--tree %s: not a directory", opts.tree)
	}
	l, err := newLab(c, opts.dir)
	if err != nil {
		return err
	}
	defer func() {
		c.sayf("cleaning up")
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoCleanUpTimeout)
		defer cancel()
		if closeErr := l.close(closing); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", closeErr))
		}
	}()
	result, sites, err := c.runDemo(ctx, l, opts)
	if err != nil {
		return err
	}
	if err := c.print(result, result.write); err != nil {
		return err
	}
	if opts.keep {
		sites.writeKept(c.stderr)
		<-ctx.Done()
	}
	return nil
}

// runDemo is the demo's story.
func (c *cli) runDemo(ctx context.Context, l *lab, opts demoOptions) (*demoResult, *demoSites, error) {
	r := &demoResult{RTT: opts.rtt, Tree: opts.tree}
	sites, err := setUpSites(ctx, l, opts)
	if err != nil {
		return nil, nil, err
	}
	if err := sites.copyIn(ctx, opts.tree, r); err != nil {
		return nil, nil, err
	}
	if err := sites.compare(ctx, r); err != nil {
		return nil, nil, err
	}
	if err := sites.writeBack(ctx, r); err != nil {
		return nil, nil, err
	}
	if err := sites.measure(ctx, r); err != nil {
		return nil, nil, err
	}
	return r, sites, nil
}

// sayf tells on stderr what the demo or benchmark does now.
func (c *cli) sayf(format string, args ...any) {
	fmt.Fprintf(c.stderr, format+"\n", args...)
}

// goSource finds the source of the Go installation.
func goSource(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", hintf(fmt.Errorf("find the Go installation, whose source is the tree to copy: %w", err), "mirrorfs demo --tree DIR, with any directory of some thousand files")
	}
	return filepath.Join(strings.TrimSpace(string(out)), "src"), nil
}

// writeKept tells what to try while the demo is kept.
func (s *demoSites) writeKept(w io.Writer) {
	fmt.Fprintf(w, `
Everything runs until Ctrl-C. To try in another terminal:

  diff -r %[1]s/src %[2]s/src
  echo hello > %[2]s/hello; cat %[1]s/hello
  %[5]s mirror status %[4]s --watch
  %[5]s mirror wait %[4]s
  %[5]s status %[3]s
`, s.a.mnt, s.b.mnt, s.a.meta, s.b.meta, s.lab.self)
}
