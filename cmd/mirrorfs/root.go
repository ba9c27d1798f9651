package main

import (
	"github.com/spf13/cobra"
)

// newRoot builds the tree of commands. A command's constructor takes the cli
// and stands in the file of the command's name.
func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "mirrorfs",
		Short: "A POSIX file system for two or more clouds",
		Long: `mirrorfs keeps file data in object storage and names in Redis, and mirrors a
volume to other regions, whose clients read locally and write to the source.

META is a metadata address: redis://[user@]host:port/db, rediss://..., or
local:DIR for a private Redis in a directory. BUCKET is a data address:
file:///dir, s3://bucket/prefix?endpoint=http://host:port&path_style=true,
oss://bucket/prefix?region=..., cos://bucket-appid/prefix?region=..., ...

The password of META comes from MIRRORFS_META_PASSWORD; that of the source, for
clients of a mirror, from MIRRORFS_SOURCE_PASSWORD.`,
		Example: `  mirrorfs demo
  mirrorfs format local:/var/lib/mirrorfs/meta photos --bucket file:///var/lib/mirrorfs/data
  mirrorfs mount local:/var/lib/mirrorfs/meta /mnt/photos --background`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: c.setUp,
	}
	c.addFlags(root)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%w", err) })
	root.AddCommand(
		newBenchCommand(c),
		newBucketCommand(c),
		newCloneCommand(c),
		newDemoCommand(c),
		newDumpCommand(c),
		newFormatCommand(c),
		newFsckCommand(c),
		newGatewayCommand(c),
		newGCCommand(c),
		newInfoCommand(c),
		newLoadCommand(c),
		newLocalCommand(c),
		newLogCommand(c),
		newMirrorCommand(c),
		newMountCommand(c),
		newQuotaCommand(c),
		newRestoreCommand(c),
		newSessionCommand(c),
		newStatusCommand(c),
		newTrashCommand(c),
		newUmountCommand(c),
		newVersionCommand(c),
		newWarmupCommand(c),
	)
	group(root)
	return root
}

// group makes cmd one that only holds others: alone it prints its help, and an
// unknown name below it is wrong usage.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return usagef("%s: unknown command %q", cmd.CommandPath(), args[0])
	}
	return cmd
}

// exactArgs wants as many arguments as names.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef("%s: %s is missing", cmd.CommandPath(), names[len(args)])
		}
		if len(args) > len(names) {
			return usagef("%s: too many arguments: %q", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}
