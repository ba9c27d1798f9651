package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
	"mirrorfs/vfs/reclaim"
)

func newTrashCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trash",
		Short: "Find and restore what was deleted or overwritten",
		Long: `trash finds and restores what was deleted from the volume at META, or overwritten as a
whole, within the volume's trash time: files and directories that were removed or
replaced by a rename, and what a file held before it was cut to nothing, as when a
program opens it to write it anew.`,
		Example: "  mirrorfs trash ls redis://10.0.0.5/0 /projects\n  mirrorfs trash restore redis://10.0.0.5/0 /projects/llama",
	}
	cmd.AddCommand(newTrashListCommand(c), newTrashRestoreCommand(c), newTrashEmptyCommand(c), newTrashSetCommand(c))
	return group(cmd)
}

func newTrashSetCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "set META TIME",
		Short: "Say how long what was deleted is kept",
		Long: `set changes the trash time of the volume at META, its source. A shorter one makes what
is older than that go now; 0 keeps only what a program has open.`,
		Example: "  mirrorfs trash set redis://10.0.0.5/0 48h",
		Args:    exactArgs("META", "TIME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			trash, err := time.ParseDuration(args[1])
			if err != nil || trash < 0 {
				return usagef("trash set: time %q: want 0 or more, for example 48h", args[1])
			}
			return c.trashSet(cmd.Context(), args[0], trash)
		},
	}
}

func (c *cli) trashSet(ctx context.Context, addr string, trash time.Duration) (err error) {
	e, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	v, err := e.Volume(ctx)
	if err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	v.Trash = trash
	if _, err := e.Change(ctx, meta.Settings{Volume: v}); err != nil {
		if errors.Is(err, meta.ErrReadOnly) {
			return hintf(err, "give the metadata address of the source, not of a mirror")
		}
		return err
	}
	return c.print(map[string]string{"trash": trash.String()}, func(w io.Writer) {
		fmt.Fprintf(w, "volume %s keeps what was deleted for %v\n", v.Name, trash)
	})
}

func newTrashEmptyCommand(c *cli) *cobra.Command {
	var olderThan time.Duration
	var force bool
	cmd := &cobra.Command{
		Use:   "empty META",
		Short: "Delete what is in the trash for good",
		Long: `empty deletes what is in the trash of the volume at META for good, but for what is
open and what was deleted within the last half minute. The space comes back when the
volume's grace has passed, 10 minutes unless it was formatted otherwise.`,
		Example: "  mirrorfs trash empty redis://10.0.0.5/0 --older-than 6h\n  mirrorfs trash empty redis://10.0.0.5/0 --force",
		Args:    exactArgs("META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !force && !c.confirms("Delete all that is in the trash for good?") {
				return usagef("trash empty: nothing was deleted; --force does not ask")
			}
			return c.trashEmpty(cmd.Context(), args[0], olderThan)
		},
	}
	cmd.Flags().DurationVar(&olderThan, "older-than", 0, "only what was deleted so long ago")
	cmd.Flags().BoolVar(&force, "force", false, "do not ask")
	return cmd
}

// confirms asks on a terminal. Without one, the answer is no.
func (c *cli) confirms(question string) bool {
	if !c.stderrIsTerminal() || !isTerminal(os.Stdin) {
		return false
	}
	fmt.Fprintf(c.stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return err == nil && (answer == "y" || answer == "yes")
}

func (c *cli) trashEmpty(ctx context.Context, addr string, olderThan time.Duration) error {
	return c.asClient(ctx, addr, func(ctx context.Context, v *volume) error {
		p := c.newProgress()
		defer p.done()
		trash, err := trashOf(v.Engine)
		if err != nil {
			return err
		}
		r, err := reclaim.New(reclaim.Options{
			Meta:     emptying{Engine: v.Engine, Purger: trash},
			Logger:   c.log,
			Progress: func(r reclaim.Report) { p.update("%d deleted", r.Orphans.Purged) },
		})
		if err != nil {
			return err
		}
		// A client tells with its heartbeat what it has open.
		err = r.OrphansBefore(ctx, time.Now().Add(-max(olderThan, 2*meta.HeartbeatInterval)))
		p.done()
		did := r.Report().Orphans
		return errors.Join(err, c.print(did, func(w io.Writer) {
			fmt.Fprintf(w, "deleted %d from the trash for good\n", did.Purged)
			if did.Open > 0 {
				fmt.Fprintf(w, "%d are open and stay until they are closed\n", did.Open)
			}
		}))
	})
}

// emptying is what is asked to purge orphans, of the source or through a mirror.
type emptying struct {
	meta.Engine
	meta.Purger
	meta.Reclaimer // nil: it is not asked
}

// trashOf gives what knows the trash of an engine.
func trashOf(e meta.Engine) (meta.Purger, error) {
	p, ok := e.(meta.Purger)
	if !ok {
		return nil, errors.New("this metadata does not tell what was deleted")
	}
	return p, nil
}
