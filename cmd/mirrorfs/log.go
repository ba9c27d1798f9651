package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror/segments"
)

// Defaults of a volume's log.
const (
	defaultLogKeep   = 7 * 24 * time.Hour
	defaultLogMemory = 256 << 20
)

func newLogCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Say how a volume's log is kept",
		Long: `Every change of a volume is a record of its log, which mirrors follow. Records are kept
in Redis for mirrors that lack them, and in segments in the source's bucket: for
mirrors that are away for long, and for restore. Mounts of the source write the
segments; status tells what there is.`,
		Example: "  mirrorfs log set redis://10.0.0.5/0 --keep 336h\n  mirrorfs log archive redis://10.0.0.5/0",
	}
	cmd.AddCommand(newLogSetCommand(c), newLogArchiveCommand(c))
	return group(cmd)
}

// logLimits are the flags of log set, and of format.
type logLimits struct {
	keep   time.Duration
	memory byteSize
}

func (l *logLimits) validate() error {
	if l.keep < 0 {
		return usagef("%v: the log is kept for a time of 0 or more", l.keep)
	}
	return nil
}

func newLogSetCommand(c *cli) *cobra.Command {
	var limits logLimits
	cmd := &cobra.Command{
		Use:   "set META [--keep TIME] [--memory SIZE]",
		Short: "Say how long the log is kept, and how much of Redis's memory it may take",
		Long: `set changes how the log of the volume at META, its source, is kept. --keep is how long
records stay in segments in the bucket: so long may a mirror be away, and so far back
reaches restore. 0 keeps none. --memory is how much of Redis's memory the log may take
before records that are in segments leave it although a mirror lacks them; 0 is no limit.`,
		Example: "  mirrorfs log set redis://10.0.0.5/0 --keep 336h --memory 1GiB",
		Args:    exactArgs("META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			keep, memory := cmd.Flags().Changed("keep"), cmd.Flags().Changed("memory")
			if !keep && !memory {
				return usagef("log set: nothing to set: give --keep or --memory")
			}
			if err := limits.validate(); err != nil {
				return err
			}
			return c.logSet(cmd.Context(), args[0], func(v *meta.Volume) {
				if keep {
					v.LogKeep = limits.keep
				}
				if memory {
					v.LogBytes = int64(limits.memory)
				}
			})
		},
	}
	cmd.Flags().DurationVar(&limits.keep, "keep", defaultLogKeep, "how long records stay in segments in the bucket (0: none are kept)")
	cmd.Flags().Var(&limits.memory, "memory", "how much of Redis's memory the log may take (0: no limit)")
	return cmd
}

// logSettings are what log set prints.
type logSettings struct {
	Keep   string `json:"keep"`
	Memory int64  `json:"memory_bytes"`
}

func (c *cli) logSet(ctx context.Context, addr string, set func(*meta.Volume)) (err error) {
	e, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	v, err := e.Volume(ctx)
	if err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	set(&v)
	if _, err := e.Change(ctx, meta.Settings{Volume: v}); err != nil {
		if errors.Is(err, meta.ErrReadOnly) {
			return hintf(err, "give the metadata address of the source, not of a mirror")
		}
		return err
	}
	return c.print(logSettings{Keep: v.LogKeep.String(), Memory: v.LogBytes}, func(w io.Writer) {
		fmt.Fprintf(w, "volume %s: %s\n", v.Name, logText(&v))
	})
}

// logText says how a volume's log is kept.
func logText(v *meta.Volume) string {
	limit := "any amount of memory"
	if v.LogBytes > 0 {
		limit = "about " + formatBytes(v.LogBytes) + " of memory"
	}
	if v.LogKeep == 0 {
		return "its log is kept in Redis for mirrors that lack it, and in no segments"
	}
	return fmt.Sprintf("its log is kept in segments for %v, and takes %s", v.LogKeep, limit)
}

func newLogArchiveCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "archive META",
		Short: "Write all of the log into segments now",
		Long: `archive writes what is not in segments yet of the log of the volume at META, its
source, and then removes from Redis what nobody needs there. Mounts of the source do
so by themselves, when records are five minutes old. It can be run at any time.`,
		Example: "  mirrorfs log archive redis://10.0.0.5/0",
		Args:    exactArgs("META"),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.logArchive(cmd.Context(), args[0]) },
	}
}

// logArchiveResult is what log archive prints.
type logArchiveResult struct {
	segments.Report
	Archived meta.Position `json:"archived"` // up to where the log is in segments
	Trimmed  int64         `json:"trimmed"`  // records that left Redis
}

func (c *cli) logArchive(ctx context.Context, addr string) (err error) {
	e, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	state, err := e.State(ctx)
	if err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	if state.Role != meta.RoleSource {
		return usagef("%s is not the source of the volume: give the source's metadata address", redis.Redact(addr))
	}
	k := &logKeeper{c: c, engine: e}
	defer func() { err = errors.Join(err, k.close()) }()
	var r logArchiveResult
	if r.Report, err = k.archive(ctx, (*segments.Archiver).Flush); err != nil {
		return err
	}
	at, err := e.Archived(ctx)
	if err != nil {
		return err
	}
	r.Archived = at.Position
	if r.Trimmed, err = e.TrimLog(ctx, keptRecords); err != nil {
		return err
	}
	return c.print(r, func(w io.Writer) {
		if r.Busy {
			fmt.Fprintln(w, "another client is writing segments just now")
		}
		fmt.Fprintf(w, "%d records in %d new segments, %s; the log is in segments up to %s\n", r.Records, r.Segments, formatBytes(r.Bytes), r.Archived)
	})
}
