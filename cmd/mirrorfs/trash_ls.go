package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
)

func newTrashListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "ls META [PATH]",
		Short: "List what is in the trash",
		Long: `ls lists what is in the trash of the volume at META, what was deleted last first: a
number to restore it by, when it was deleted, until when it is kept, its size, and the
path that it had. With PATH, only what was there or below. A path with "(overwritten)"
is what the file held before it was cut to nothing; one that begins with ? was in a
directory that is gone for good.`,
		Example: "  mirrorfs trash ls redis://10.0.0.5/0\n  mirrorfs trash ls redis://10.0.0.5/0 /projects --json",
		Args:    metaAndPath,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.trashList(cmd.Context(), args[0], pathArg(args))
		},
	}
}

// metaAndPath wants META and perhaps PATH.
func metaAndPath(cmd *cobra.Command, args []string) error {
	if len(args) == 2 {
		return nil
	}
	return exactArgs("META")(cmd, args)
}

func pathArg(args []string) string {
	if len(args) < 2 {
		return "/"
	}
	return path.Clean("/" + args[1])
}

// trashRow is a thing in the trash as ls shows it.
type trashRow struct {
	ID      meta.Ino  `json:"id"`
	Path    string    `json:"path"`
	Kind    string    `json:"kind"` // file, directory, symlink or other
	Deleted time.Time `json:"deleted"`
	Expires time.Time `json:"expires"`
	Size    uint64    `json:"size"`
	// Overwritten: it is what the file at Path held before it was cut to nothing.
	Overwritten bool   `json:"overwritten,omitempty"`
	Owner       uint32 `json:"owner"`
	Mode        string `json:"mode"`
}

// trashList prints as it goes: a trash may be large.
func (c *cli) trashList(ctx context.Context, addr, under string) (err error) {
	v, err := c.openVolume(ctx, addr, volumeOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	w, err := newTrashWalk(v.Engine)
	if err != nil {
		return err
	}
	n := 0
	err = w.newestFirst(ctx, func(o meta.Orphan) (bool, error) {
		row, err := w.row(ctx, o, under, v.Settings.Trash)
		if err != nil || row == nil {
			return err == nil, err
		}
		n++
		return true, c.printTrashRow(row, n)
	})
	if c.json {
		if n == 0 {
			fmt.Fprint(c.stdout, "[")
		}
		fmt.Fprintln(c.stdout, "]")
	}
	return err
}

func isUnder(name, dir string) bool {
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}

// row gives what ls shows of an orphan, nil for one that is not wanted or has gone.
func (w *trashWalk) row(ctx context.Context, o meta.Orphan, under string, trash time.Duration) (*trashRow, error) {
	name, err := w.pathOf(ctx, o)
	if err != nil || !isUnder(name, under) {
		return nil, err
	}
	n, err := w.e.GetAttr(ctx, o.Ino)
	if errors.Is(err, syscall.ENOENT) {
		return nil, nil //nolint:nilnil // it is not there any more
	}
	if err != nil {
		return nil, err
	}
	deleted := time.UnixMilli(o.UnlinkedMs).UTC()
	return &trashRow{
		ID: o.Ino, Path: name, Kind: kindName(&n.Attr), Deleted: deleted, Expires: deleted.Add(trash), Size: n.Attr.Size,
		Overwritten: o.Name == "", Owner: n.Attr.UID, Mode: fs.FileMode(n.Attr.Mode & 0o777).String(),
	}, nil
}

func kindName(a *meta.Attr) string {
	switch a.Type() {
	case meta.TypeFile:
		return "file"
	case meta.TypeDir:
		return "directory"
	case meta.TypeSymlink:
		return "symlink"
	default:
		return "other"
	}
}

// printTrashRow prints the nth row, of JSON one of an array.
func (c *cli) printTrashRow(r *trashRow, n int) error {
	if c.json {
		b, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
		begin := ",\n"
		if n == 1 {
			begin = "["
		}
		_, err = fmt.Fprintf(c.stdout, "%s%s", begin, b)
		return err
	}
	if n == 1 {
		fmt.Fprintf(c.stdout, "%10s  %-19s  %-19s  %9s  %s\n", "ID", "DELETED", "KEPT UNTIL", "SIZE", "PATH")
	}
	name, size := r.Path, formatBytes(int64(r.Size)) //nolint:gosec // below 2^48
	if r.Overwritten {
		name += " (overwritten)"
	}
	if r.Kind == "directory" {
		name, size = name+"/", "-"
	}
	_, err := fmt.Fprintf(c.stdout, "%10d  %-19s  %-19s  %9s  %s\n", r.ID, r.Deleted.Local().Format(time.DateTime),
		r.Expires.Local().Format(time.DateTime), size, name)
	return err
}
