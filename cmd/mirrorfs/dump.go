package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"mirrorfs/meta/dump"
)

// standardStream is the FILE that means stdin or stdout.
const standardStream = "-"

func newDumpCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "dump META [FILE|-]",
		Short: "Write a volume's whole metadata into a file",
		Long: `dump writes the metadata of the volume at META, a source or a mirror, to FILE, or to
stdout: all names, attributes and block lists, as they were at one position of the
log. The volume may be in use meanwhile. It is compressed and carries checksums; load
makes a volume of it. File data stays where it is, in the buckets.`,
		Example: `  mirrorfs dump redis://10.0.0.5/0 models.dump
  mirrorfs dump redis://10.0.0.5/0 | ssh backup.example 'cat > models.dump'`,
		Args: someArgs(1, "META", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := standardStream
			if len(args) > 1 {
				file = args[1]
			}
			return c.dump(cmd.Context(), args[0], file)
		},
	}
}

func (c *cli) dump(ctx context.Context, addr, file string) (err error) {
	e, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	bar := c.newProgress()
	defer bar.done()
	opts := c.dumpOptions(bar, "dumped")
	if file == standardStream {
		if f, ok := c.stdout.(*os.File); ok && isTerminal(f) {
			return usagef("dump: it is not for a terminal: name a FILE, or redirect stdout")
		}
		s, err := dump.Write(ctx, c.stdout, e, opts)
		if err != nil {
			return explainMeta(err, addr, envMetaPassword)
		}
		bar.done()
		writeSummary(c.stderr, "dumped", &s)
		return nil
	}
	var s dump.Summary
	err = writeWhole(file, func(w io.Writer) (err error) {
		s, err = dump.Write(ctx, w, e, opts)
		return err
	})
	if err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	bar.done()
	return c.print(s, func(w io.Writer) { writeSummary(w, "dumped", &s) })
}

func (c *cli) dumpOptions(bar *progress, done string) dump.Options {
	return dump.Options{
		Program:  "mirrorfs " + version().Version,
		Progress: func(n, total uint64) { bar.update("%s %d of %d inodes", done, n, total) },
	}
}

func writeSummary(w io.Writer, done string, s *dump.Summary) {
	fmt.Fprintf(w, "%s volume %s at position %s: %d inodes, %d names, %d records, %s\n",
		done, s.Volume, s.Position, s.Counts.Inodes, s.Counts.Entries, s.Counts.Records, formatBytes(s.Bytes))
}

// writeWhole writes a file that is there whole, durably, or not at all.
func writeWhole(file string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".part-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

func newLoadCommand(c *cli) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "load FILE|- META [NAME]",
		Short: "Make a volume of what dump has written",
		Long: `load reads a dump and makes its volume at META, where there is none of that name yet,
exactly as it was: it can be mounted, written and mirrored at once. The data must still
be in the buckets. With NAME the volume gets another name. A dump that is damaged or
cut short is refused, and the place is told; --check only looks for that.

The volume and the one that was dumped are the same to buckets and clients: load a dump to
take the place of a volume that is lost, not to have two of it.`,
		Example: "  mirrorfs load models.dump redis://10.0.0.6/0\n  mirrorfs load models.dump --check",
		Args: func(cmd *cobra.Command, args []string) error {
			if check {
				return someArgs(1, "FILE")(cmd, args)
			}
			return someArgs(2, "FILE", "META", "NAME")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if check {
				return c.checkDump(cmd.Context(), args[0])
			}
			name := ""
			if len(args) > 2 {
				name = args[2]
				if err := validName("volume", name); err != nil {
					return err
				}
			}
			return c.load(cmd.Context(), args[0], args[1], name)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "read the dump to its end and load nothing")
	return cmd
}

func (c *cli) checkDump(ctx context.Context, file string) error {
	var s dump.Summary
	err := c.readFile(file, func(r io.Reader) (err error) {
		s, err = dump.Verify(ctx, r, dump.Options{})
		return err
	})
	if err != nil {
		return err
	}
	return c.print(s, func(w io.Writer) { writeSummary(w, "checked", &s) })
}

// readFile opens a file, or stdin.
func (c *cli) readFile(file string, read func(io.Reader) error) error {
	if file == standardStream {
		return read(bufio.NewReaderSize(os.Stdin, 1<<20))
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return errors.Join(read(bufio.NewReaderSize(f, 1<<20)), f.Close())
}

func (c *cli) load(ctx context.Context, file, addr, name string) error {
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
		// It can be read twice: a damaged one then leaves nothing behind.
		err := c.readFile(file, func(r io.Reader) error {
			_, err := dump.Verify(ctx, r, dump.Options{})
			return err
		})
		if err != nil {
			return err
		}
	}
	bar := c.newProgress()
	defer bar.done()
	l := &loading{c: c, addr: addr, name: name}
	var s dump.Summary
	err := c.readFile(file, func(r io.Reader) (err error) {
		s, err = dump.Load(ctx, r, l.open, c.dumpOptions(bar, "loaded"))
		return err
	})
	if err == nil {
		err = l.finish(ctx)
	}
	if err = errors.Join(err, l.close()); err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	bar.done()
	return c.print(s, func(w io.Writer) { writeSummary(w, "loaded", &s) })
}

// someArgs wants the first least of the arguments named, and no more than all.
func someArgs(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > len(names) {
			return exactArgs(names[:max(least, min(len(args), len(names)))]...)(cmd, args)
		}
		return nil
	}
}
