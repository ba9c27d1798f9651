package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta/redis/local"
)

// localTimeout bounds the start of a private server, which reads its whole
// file first, and its end.
const localTimeout = 2 * time.Minute

// localInfo is what the local commands print.
type localInfo struct {
	Dir     string `json:"dir"`
	Running bool   `json:"running"`
	Socket  string `json:"socket,omitempty"`
}

func newLocalCommand(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "local",
		Short: "Start, stop or look at a private Redis (local:DIR)",
		Long: `The address local:DIR means a private redis-server in a directory. A command
that needs it starts it, and it goes on running afterwards, as a mount needs it.
These commands start and end it by hand.`,
		Example: "  mirrorfs local status /var/lib/mirrorfs/meta\n  mirrorfs local stop /var/lib/mirrorfs/meta",
	})
	cmd.AddCommand(
		newLocalAction(c, "start", "Start the private Redis of a directory", localStart),
		newLocalAction(c, "stop", "Stop the private Redis of a directory, its data on disk", localStop),
		newLocalAction(c, "status", "Tell whether the private Redis of a directory runs", localStatus),
	)
	return cmd
}

// newLocalAction makes one of the commands on a directory, which may be given as
// DIR or as local:DIR.
func newLocalAction(c *cli, name, short string, act func(context.Context, string) (localInfo, error)) *cobra.Command {
	return &cobra.Command{
		Use:     name + " DIR",
		Short:   short,
		Long:    short + ". DIR may be written local:DIR too. It is no error when there is nothing to do.",
		Example: "  mirrorfs local " + name + " /var/lib/mirrorfs/meta",
		Args:    exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, isAddress := strings.CutPrefix(args[0], "local:")
			if isAddress {
				dir, _, _ = strings.Cut(dir, "?")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), localTimeout)
			defer cancel()
			info, err := act(ctx, dir)
			if err != nil {
				return err
			}
			return c.print(info, func(w io.Writer) {
				state := "stopped"
				if info.Running {
					state = "running at " + info.Socket
				}
				fmt.Fprintf(w, "%s: %s\n", dir, state)
			})
		},
	}
}

func localStart(ctx context.Context, dir string) (localInfo, error) {
	socket, err := local.Start(ctx, dir)
	return localInfo{Dir: dir, Running: true, Socket: socket}, err
}

func localStop(ctx context.Context, dir string) (localInfo, error) {
	if err := needDir(dir); err != nil {
		return localInfo{}, err
	}
	return localInfo{Dir: dir}, local.Stop(ctx, dir)
}

func localStatus(ctx context.Context, dir string) (localInfo, error) {
	if err := needDir(dir); err != nil {
		return localInfo{}, err
	}
	socket, err := local.Socket(dir)
	if err != nil {
		return localInfo{}, err
	}
	if !local.Running(ctx, dir) {
		return localInfo{Dir: dir}, nil
	}
	return localInfo{Dir: dir, Running: true, Socket: socket}, nil
}

// needDir makes a mistyped directory an error instead of a stopped server.
func needDir(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return hintf(fmt.Errorf("there is no directory %s", dir), "the directory that stands after local: in the metadata address")
	}
	return nil
}
