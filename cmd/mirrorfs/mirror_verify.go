package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mirrorfs/meta/fsck"
	"mirrorfs/mirror"
)

// verifyOptions are the flags of mirror verify.
type verifyOptions struct {
	mirror.VerifyOptions
	deep, metaOnly bool
	jobs           int
}

func newMirrorVerifyCommand(c *cli) *cobra.Command {
	opts := verifyOptions{jobs: 16}
	cmd := &cobra.Command{
		Use:   "verify MIRROR_META",
		Short: "Compare a mirror with its source, and look whether its blocks are there",
		Long: `verify compares all metadata of the mirror at MIRROR_META with its source's, by sums of
ranges of rows, while both sites change: what differs, or was changing, is settled
at a position that both have had. Then it looks whether every block that the mirror's
metadata names is in a bucket, with its length; with --deep it reads them and checks their
checksums. Of a mirror in data mode full it looks in the mirror's own bucket as well: for
all that mirror status says is complete there. It tells what differs by path and exits
with 1 if anything does.

The work at the source is some microseconds a row; --rate bounds it. A verification
that was interrupted goes on with --resume. Metadata needs little memory, blocks some 400
bytes a file.`,
		Example: "  mirrorfs mirror verify redis://redis.b.example/0\n  mirrorfs mirror verify redis://redis.b.example/0 --meta-only --rate 20000 --json\n  mirrorfs mirror verify redis://redis.b.example/0 --deep",
		Args:    exactArgs("MIRROR_META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.jobs < 1 || opts.jobs > 1000 {
				return usagef("--jobs %d: want 1 to 1000", opts.jobs)
			}
			if opts.Rate < 0 {
				return usagef("--rate %d: want rows a second, or 0 for no limit", opts.Rate)
			}
			if opts.deep && opts.metaOnly {
				return usagef("--deep reads blocks, and --meta-only leaves them out")
			}
			return c.mirrorVerify(cmd.Context(), args[0], opts)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.deep, "deep", false, "read all blocks and check their checksums")
	f.BoolVar(&opts.metaOnly, "meta-only", false, "do not look for blocks")
	f.BoolVar(&opts.Resume, "resume", false, "go on where a verification was interrupted")
	f.IntVar(&opts.Rate, "rate", 0, "most rows compared a second; 0 is no limit")
	f.IntVar(&opts.jobs, "jobs", opts.jobs, "requests to the buckets at a time")
	return cmd
}

// verifyResult is what mirror verify prints.
type verifyResult struct {
	*mirror.VerifyReport
	// Blocks are what is wrong with blocks, by path of a file that needs them.
	Blocks        []*fsck.Finding `json:"blocks"`
	BlocksChecked bool            `json:"blocks_checked"`
	Deep          bool            `json:"checksums_checked"`
	Slices        uint64          `json:"slices"`
}

func (c *cli) mirrorVerify(ctx context.Context, addr string, opts verifyOptions) (err error) {
	site, source, err := c.openMirrorAndSource(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close(), source.Close()) }()
	bar := c.newProgress()
	defer bar.done()
	opts.Progress = func(rows uint64) { bar.update("%d rows compared", rows) }
	r := &verifyResult{Blocks: []*fsck.Finding{}, BlocksChecked: !opts.metaOnly, Deep: opts.deep}
	if r.VerifyReport, err = mirror.Verify(ctx, source, site, opts.VerifyOptions); err != nil {
		return hintf(err, "mirrorfs mirror status %s tells what the mirror is doing; an interrupted verification goes on with --resume", addr)
	}
	if !opts.metaOnly {
		if err := c.verifyBlocks(ctx, addr, opts, bar, r); err != nil {
			return err
		}
	}
	bar.done()
	r.Clean = r.Clean && len(r.Blocks) == 0
	if err := c.print(r, r.write); err != nil {
		return err
	}
	if !r.Clean {
		return errSilent
	}
	return nil
}

// verifyBlocks looks for all blocks that the mirror's metadata names, where its mounts would.
func (c *cli) verifyBlocks(ctx context.Context, addr string, opts verifyOptions, bar *progress, r *verifyResult) (err error) {
	v, err := c.openVolume(ctx, addr, volumeOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	report, err := fsck.Check(ctx, v.near, fsck.Options{Progress: func(done, total uint64) {
		bar.update("blocks: %d of %d inodes read", done, total)
	}})
	if err != nil {
		return err
	}
	r.Slices = report.Slices
	if err := c.fsckBlocks(ctx, v, fsckOptions{deep: opts.deep, jobs: opts.jobs}, bar, report); err != nil {
		return err
	}
	if err := c.verifyOwn(ctx, v, opts, bar, report); err != nil {
		return err
	}
	for _, f := range report.Findings {
		if f.Kind == fsck.KindBlock {
			r.Blocks = append(r.Blocks, f)
		}
	}
	return nil
}

func (r *verifyResult) write(w io.Writer) {
	for i := range r.Differences {
		fmt.Fprintln(w, &r.Differences[i])
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more\n", r.More)
	}
	for _, f := range r.Blocks {
		fmt.Fprintln(w, f)
	}
	fmt.Fprintf(w, "mirror %s of volume %s at position %s: %d rows compared, %d differ", r.Site, r.Volume, r.Position, r.Rows, r.Count())
	if r.Unsettled > 0 {
		fmt.Fprintf(w, ", %d ranges changed too fast to tell", r.Unsettled)
	}
	switch {
	case r.BlocksChecked && r.Deep:
		fmt.Fprintf(w, "; blocks and checksums of %d slices checked, %d wrong", r.Slices, len(r.Blocks))
	case r.BlocksChecked:
		fmt.Fprintf(w, "; blocks of %d slices checked, %d wrong", r.Slices, len(r.Blocks))
	}
	if r.Clean {
		fmt.Fprint(w, "; clean")
	}
	fmt.Fprintln(w)
}
