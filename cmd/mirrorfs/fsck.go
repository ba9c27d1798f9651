package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
	"mirrorfs/meta/fsck"
)

// fsckOptions are the flags of fsck.
type fsckOptions struct {
	deep     bool
	repair   bool
	metaOnly bool
	jobs     int
}

func newFsckCommand(c *cli) *cobra.Command {
	opts := fsckOptions{jobs: 16}
	cmd := &cobra.Command{
		Use:   "fsck META",
		Short: "Check that a volume agrees with itself and that its blocks are there",
		Long: `fsck compares all metadata of the volume at META with itself (names and link counts,
directories and their entries, references to data, orphans, quotas, used space), at one
position of the log, while the volume is in use; and looks whether every block is in its
bucket with its length. With --deep it reads the blocks and checks their checksums.

With --repair it mends what can be mended without guessing: counts, references, flags;
and what no path leads to gets a name in /lost+found. Repairs are changes like any
other, at the source, and mirrors follow. It tells the rest by path. It exits with 0
when nothing is wrong in the end, with 1 otherwise. It needs some 1,400 bytes of memory
for each file, and some 800 with --meta-only.`,
		Example: "  mirrorfs fsck redis://10.0.0.5/0\n  mirrorfs fsck redis://10.0.0.5/0 --deep --json\n  mirrorfs fsck redis://10.0.0.5/0 --repair",
		Args:    exactArgs("META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.jobs < 1 || opts.jobs > 1000 {
				return usagef("--jobs %d: want 1 to 1000", opts.jobs)
			}
			if opts.deep && opts.metaOnly {
				return usagef("--deep reads blocks, and --meta-only leaves them out")
			}
			return c.fsck(cmd.Context(), args[0], opts)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.deep, "deep", false, "read all blocks and check their checksums")
	f.BoolVar(&opts.repair, "repair", false, "mend what can be mended without guessing")
	f.BoolVar(&opts.metaOnly, "meta-only", false, "do not look for blocks")
	f.IntVar(&opts.jobs, "jobs", opts.jobs, "requests to the buckets at a time")
	return cmd
}

// fsckRounds bounds how often what one repair brought to light is mended as well.
const fsckRounds = 4

// fsckResult is what fsck prints.
type fsckResult struct {
	*fsck.Report
	Clean    bool            `json:"clean"`
	Repaired []*fsck.Finding `json:"repaired"` // findings of earlier rounds that are mended
	Blocks   bool            `json:"blocks_checked"`
	Deep     bool            `json:"checksums_checked"`
}

func (c *cli) fsck(ctx context.Context, addr string, opts fsckOptions) (err error) {
	v, err := c.openVolume(ctx, addr, volumeOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	bar := c.newProgress()
	defer bar.done()
	r := &fsckResult{Blocks: !opts.metaOnly, Deep: opts.deep, Repaired: []*fsck.Finding{}}
	if err := c.fsckMeta(ctx, v, opts, bar, r); err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	if !opts.metaOnly {
		if err := c.fsckBlocks(ctx, v, opts, bar, r.Report); err != nil {
			return err
		}
	}
	bar.done()
	if r.Findings == nil {
		r.Findings = []*fsck.Finding{}
	}
	r.Clean = r.Report.Clean()
	if err := c.print(r, r.write); err != nil {
		return err
	}
	if !r.Clean {
		return errSilent
	}
	return nil
}

// fsckMeta checks the metadata, and mends it, until nothing more can be mended.
func (c *cli) fsckMeta(ctx context.Context, v *volume, opts fsckOptions, bar *progress, r *fsckResult) error {
	if opts.repair {
		if v.Mirror {
			return hintf(errors.New("a mirror is mended at its source"), "mirrorfs fsck SOURCE_META --repair")
		}
	}
	for round := 1; ; round++ {
		var err error
		r.Report, err = fsck.Check(ctx, v.near, fsck.Options{Progress: func(done, total uint64) {
			bar.update("round %d: %d of %d inodes", round, done, total)
		}})
		if err != nil || !opts.repair || r.Report.Clean() || round == fsckRounds {
			return err
		}
		if err := c.repair(ctx, v, r.Report); err != nil {
			return err
		}
		before := len(r.Repaired)
		for _, f := range r.Findings {
			if f.Repaired {
				r.Repaired = append(r.Repaired, f)
			}
		}
		if len(r.Repaired) == before {
			return nil
		}
	}
}

// repair mends what was found, under a session, as changes need one.
func (c *cli) repair(ctx context.Context, v *volume, r *fsck.Report) error {
	end, err := c.startSession(ctx, v)
	if err != nil {
		return err
	}
	defer end()
	return r.Repair(ctx, v.near)
}

// startSession registers this command as a client, and gives what ends that.
func (c *cli) startSession(ctx context.Context, v *volume) (end func(), err error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	err = v.Engine.StartSession(ctx, meta.SessionInfo{
		Host: host, PID: os.Getpid(), Kind: "cli", Site: v.Site.Name, Version: version().Version, Started: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = v.Engine.EndSession(context.WithoutCancel(ctx)) }, nil // or it runs out
}

func (r *fsckResult) write(w io.Writer) {
	for _, f := range r.Repaired {
		fmt.Fprintf(w, "%s: repaired\n", f)
	}
	for _, f := range r.Findings {
		switch {
		case f.Failed != "":
			fmt.Fprintf(w, "%s: not repaired: %s\n", f, f.Failed)
		case f.Repair != "":
			fmt.Fprintf(w, "%s (--repair: %s)\n", f, f.Repair)
		default:
			fmt.Fprintln(w, f)
		}
	}
	what := "metadata"
	if r.Blocks {
		what = "metadata and blocks"
	}
	if r.Deep {
		what = "metadata, blocks and checksums"
	}
	fmt.Fprintf(w, "volume %s at position %s: %d inodes, %d names, %d slices; %s checked, ", r.Volume, r.Position, r.Inodes, r.Names, r.Slices, what)
	switch {
	case r.Clean && len(r.Repaired) > 0:
		fmt.Fprintf(w, "%d problems, all repaired\n", len(r.Repaired))
	case r.Clean:
		fmt.Fprintln(w, "clean")
	default:
		fmt.Fprintf(w, "%d problems, %d repaired\n", len(r.Findings)+len(r.Repaired), len(r.Repaired))
	}
}
