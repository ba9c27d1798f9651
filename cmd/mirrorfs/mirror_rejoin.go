package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// rejoinOptions are the flags of mirror rejoin.
type rejoinOptions struct {
	report  string
	address string
	force   bool
}

func newMirrorRejoinCommand(c *cli) *cobra.Command {
	var opts rejoinOptions
	cmd := &cobra.Command{
		Use:   "rejoin OLD_SOURCE_META NEW_SOURCE_META",
		Short: "Make an old source a mirror of the one that was promoted",
		Long: `rejoin makes the old source at OLD_SOURCE_META a mirror of NEW_SOURCE_META, the site
that was promoted in its place; give that as the old source's site reaches it. Every
change that the old source had acknowledged and the new one never saw is written to a
report first, one JSON object a line: position, time, operation, client, inodes, paths, and
the objects in the bucket with the data of it, which gc keeps for the trash time. Then run it:
mirror run OLD_SOURCE_META. Mounts of the old source must be mounted again.`,
		Example: "  mirrorfs mirror rejoin redis://redis.a.example/0 redis://redis.b.example/0 --report lost.jsonl",
		Args:    exactArgs("OLD_SOURCE_META", "NEW_SOURCE_META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.mirrorRejoin(cmd.Context(), args[0], args[1], opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.report, "report", "", "file for the changes that are lost; default lost-VOLUME.jsonl in this directory. It must not exist")
	f.StringVar(&opts.address, "address", "", "where other sites reach OLD_SOURCE_META; default: as it is given")
	f.BoolVar(&opts.force, "force", false, "go on although the old source's log does not tell of all that is lost any more")
	return cmd
}

// rejoinResult is what mirror rejoin prints.
type rejoinResult struct {
	mirror.RejoinResult
	Report string `json:"report,omitempty"` // empty when nothing is lost
}

func (c *cli) mirrorRejoin(ctx context.Context, oldAddr, newAddr string, opts rejoinOptions) (err error) {
	old, err := c.openMeta(ctx, oldAddr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	source, err := c.openSource(ctx, newAddr, sourceTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	v, err := source.Volume(ctx)
	if err != nil {
		return explainMeta(err, newAddr, envSourcePassword)
	}
	if opts.report == "" {
		opts.report = "lost-" + v.Name + ".jsonl"
	}
	if opts.address == "" {
		opts.address = reopenable(old.Address())
	}
	report := lostReport{name: opts.report, blockBytes: v.BlockBytes}
	places, err := newTrashWalk(old)
	if err != nil {
		return err
	}
	res, err := mirror.Rejoin(ctx, old, source, mirror.RejoinOptions{
		SourceAddress: reopenable(source.Address()), OldAddress: opts.address, Force: opts.force, Logger: c.log,
		Lost: report.add, Seal: report.seal, Path: places.livePath,
	})
	if err = errors.Join(err, report.close()); err != nil {
		return err
	}
	out := rejoinResult{RejoinResult: res}
	if report.lines > 0 {
		out.Report = opts.report
	}
	return c.print(out, func(w io.Writer) { out.write(w, redis.Redact(oldAddr)) })
}

func (r *rejoinResult) write(w io.Writer, addr string) {
	if r.Already {
		fmt.Fprintf(w, "site %s is a mirror of %s already\n", r.Name, r.Source)
		return
	}
	switch {
	case r.Lost == 0:
		fmt.Fprintf(w, "nothing was lost: both sites have all up to %s\n", r.Common)
	case r.Report == "":
		fmt.Fprintf(w, "%d changes after %s are lost, and not known any more\n", r.Lost, r.Common)
	default:
		fmt.Fprintf(w, "%d changes after %s are not part of the volume: %s tells of them\n", r.Lost, r.Common, r.Report)
	}
	fmt.Fprintf(w, "site %s is a mirror of %s now; run it with: mirrorfs mirror run %s\n", r.Name, r.Source, addr)
}

// livePath gives the path of an inode, deleted or not.
func (w *trashWalk) livePath(ctx context.Context, ino meta.Ino) (string, error) {
	if ino == meta.RootIno {
		return "/", nil
	}
	p, err := w.place(ctx, ino)
	if err != nil || p.parent == 0 {
		return "", err
	}
	return w.pathOf(ctx, meta.Orphan{Parent: p.parent, Name: p.name})
}

// lostReport writes down what is lost, one JSON object a line. The file is there once the
// first line is.
type lostReport struct {
	name       string
	blockBytes int

	file  *os.File
	out   *bufio.Writer
	lines int
}

// lostLine is a line: the change, and the objects with its data.
type lostLine struct {
	mirror.LostChange
	Objects []string `json:"objects,omitempty"`
}

func (r *lostReport) add(l mirror.LostChange) error {
	if r.file == nil {
		f, err := os.OpenFile(r.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return hintf(err, "--report FILE names another file")
		}
		r.file, r.out = f, bufio.NewWriter(f)
	}
	line := lostLine{LostChange: l}
	for _, s := range l.Slices {
		for n := range chunk.BlockCount(s.Size, r.blockBytes) {
			line.Objects = append(line.Objects, chunk.Key(s.Home, s.ID, n))
		}
	}
	r.lines++
	enc := json.NewEncoder(r.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(line)
}

// seal returns when everything is on disk.
func (r *lostReport) seal() error {
	if r.file == nil {
		return nil
	}
	if err := errors.Join(r.out.Flush(), r.file.Sync()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(r.name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (r *lostReport) close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.out.Flush(), r.file.Close())
}
