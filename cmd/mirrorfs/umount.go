package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mirrorfs/vfs/fuse"
)

func newUmountCommand(c *cli) *cobra.Command {
	timeout := clientShutdown
	cmd := &cobra.Command{
		Use:   "umount DIR",
		Short: "Unmount a directory, and wait until everything is written out",
		Long: `umount takes the mirrorfs mount at DIR away and returns when the process that
served it has written out everything and ended. A mount that programs use is left
as it is, and the error names them. What a crashed mount left is cleaned up.`,
		Example: "  mirrorfs umount /mnt/photos",
		Args:    exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return usagef("--timeout %v: want a time of more than 0", timeout)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			if err := fuse.Unmount(ctx, args[0]); err != nil {
				return explainFuse(err)
			}
			r := umountResult{Dir: args[0]}
			return c.print(r, func(w io.Writer) { fmt.Fprintf(w, "unmounted %s\n", r.Dir) })
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "how long to wait for the process that served the mount")
	return cmd
}

// umountResult is what umount prints.
type umountResult struct {
	Dir string `json:"dir"`
}
