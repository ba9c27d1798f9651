package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
)

func newTrashRestoreCommand(c *cli) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "restore META ID|PATH",
		Short: "Give back what was deleted",
		Long: `restore gives back what is in the trash of the volume at META: by the number that ls
shows, or what was deleted last at PATH. A directory comes back with all that was
removed from it; of several things of one name, the last. What has the same name
now stays: give another place with --to.`,
		Example: "  mirrorfs trash restore redis://10.0.0.5/0 /projects/llama\n  mirrorfs trash restore redis://10.0.0.5/0 4711 --to /projects/notes-of-yesterday.txt",
		Args:    exactArgs("META", "ID or PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.asClient(cmd.Context(), args[0], func(ctx context.Context, v *volume) error {
				w, err := newTrashWalk(v.Engine)
				if err != nil {
					return err
				}
				return c.trashRestore(ctx, w, args[1], to)
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "path to restore it as; its directory must exist")
	return cmd
}

// restored is what restore prints.
type restored struct {
	Path     string `json:"path"`
	Restored int    `json:"restored"`
	// Skipped are those whose names were taken, by a later version most often.
	Skipped int `json:"skipped"`
}

func (c *cli) trashRestore(ctx context.Context, w *trashWalk, what, to string) error {
	o, from, err := w.find(ctx, what)
	if err != nil {
		return err
	}
	if to == "" {
		to = from
	}
	to = path.Clean("/" + to)
	parent, err := w.dirFor(ctx, to, from)
	if err != nil {
		return err
	}
	_, err = w.e.Change(ctx, meta.Restore{Orphan: o, Parent: parent, Name: path.Base(to)})
	if errors.Is(err, syscall.EEXIST) {
		return hintf(fmt.Errorf("restore %s: %w", to, err), "give it another name: --to PATH")
	}
	if err != nil {
		return err
	}
	result := restored{Path: to, Restored: 1}
	n, err := w.e.GetAttr(ctx, o.Ino)
	if err == nil && n.Attr.IsDir() {
		p := c.newProgress()
		err = w.restoreBelow(ctx, o.Ino, &result, func() { p.update("%d restored", result.Restored) })
		p.done()
	}
	return errors.Join(err, c.print(result, func(out io.Writer) {
		fmt.Fprintf(out, "restored %s", result.Path)
		if result.Restored > 1 {
			fmt.Fprintf(out, " and %d below it", result.Restored-1)
		}
		fmt.Fprintln(out)
		if result.Skipped > 0 {
			fmt.Fprintf(out, "%d were left in the trash: their names are taken\n", result.Skipped)
		}
	}))
}

// restoreBelow gives back what was removed from a directory, and from those that come
// back with it. A directory can only be removed when it is empty, so what was in it most
// often comes after it here; clocks of clients differ, and many things happen in one
// millisecond, so it looks again as long as directories come back.
func (w *trashWalk) restoreBelow(ctx context.Context, top meta.Ino, result *restored, progress func()) error {
	back := map[meta.Ino]bool{top: true}
	for dirs := 0; dirs < len(back); {
		dirs = len(back)
		result.Skipped = 0
		err := w.newestFirst(ctx, func(o meta.Orphan) (bool, error) {
			if !back[o.Parent] || o.Name == "" {
				return true, nil
			}
			res, err := w.e.Change(ctx, meta.Restore{Orphan: o, Parent: o.Parent, Name: o.Name})
			switch {
			case errors.Is(err, syscall.EEXIST):
				result.Skipped++
				return true, nil
			case errors.Is(err, syscall.ENOENT): // purged meanwhile
				return true, nil
			case err != nil:
				return false, err
			}
			if result.Restored++; res.Node.Attr.IsDir() {
				back[o.Ino] = true
			}
			progress()
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// find gives the orphan that a number or a path names, and the path that it had.
func (w *trashWalk) find(ctx context.Context, what string) (meta.Orphan, string, error) {
	if id, err := strconv.ParseUint(what, 10, 48); err == nil {
		o, err := w.trash.Orphan(ctx, meta.Ino(id))
		if err != nil {
			return o, "", fmt.Errorf("nothing in the trash has number %s: %w", what, err)
		}
		name, err := w.pathOf(ctx, o)
		return o, name, err
	}
	wanted, found := path.Clean("/"+what), meta.Orphan{}
	err := w.newestFirst(ctx, func(o meta.Orphan) (bool, error) {
		if o.Name != "" && o.Name != path.Base(wanted) {
			return true, nil
		}
		name, err := w.pathOf(ctx, o)
		if err == nil && name == wanted {
			found = o
		}
		return found.Ino == 0, err
	})
	if err == nil && found.Ino == 0 {
		err = hintf(fmt.Errorf("%s is not in the trash", wanted), "mirrorfs trash ls META shows what is")
	}
	return found, wanted, err
}

// dirFor finds the directory of a path that something is to be restored as.
func (w *trashWalk) dirFor(ctx context.Context, to, from string) (meta.Ino, error) {
	if strings.HasPrefix(from, "?") && to == path.Clean("/"+from) {
		return 0, hintf(fmt.Errorf("%s: its directory is gone for good", from), "say where to: --to PATH")
	}
	dir := path.Dir(to)
	if dir == "/" {
		return meta.RootIno, nil
	}
	nodes, err := w.e.Resolve(ctx, meta.RootIno, dir[1:])
	if err != nil {
		return 0, hintf(fmt.Errorf("directory %s: %w", dir, err), "restore the directory first, or say where to: --to PATH")
	}
	return nodes[len(nodes)-1].Ino, nil
}
