package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
	"mirrorfs/meta/dump"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror/segments"
)

// restoreOptions are the flags of restore.
type restoreOptions struct {
	to     string
	bucket string
	site   string
	from   string
}

func newRestoreCommand(c *cli) *cobra.Command {
	var opts restoreOptions
	cmd := &cobra.Command{
		Use:   "restore FILE META NAME --bucket BUCKET [--to POSITION|TIME]",
		Short: "Make a new volume of what a volume was at a past position or time",
		Long: `restore makes the volume NAME at META of a dump of another one, and of the changes that
were made to that one since then, up to --to: the answer to a mistaken rm -rf. The
changes come from the segments of the log in the other volume's bucket, and with
--from from its Redis, if that still answers. Without --to it is as late as they go.

The new volume reads what it was restored with from the other one's bucket, and never
writes or deletes there; what is written to it goes to BUCKET, which must be a new one.
Both volumes can be used side by side. With --from META of the other volume's source, that
one keeps everything that the new one refers to, until mirrorfs gc META --drop-hold HOLD.
Without, it deletes from its bucket what it does not need any more: what was deleted
there stays for its trash time.`,
		Example: `  mirrorfs restore models.dump redis://10.0.0.5/1 rescued --to 2026-03-01T09:55:00Z --bucket s3://rescued
  mirrorfs restore models.dump redis://10.0.0.5/1 rescued --to 1-104200 --bucket s3://rescued --from redis://10.0.0.5/0`,
		Args: exactArgs("FILE", "META", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.restore(cmd.Context(), args[0], args[1], args[2], opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.to, "to", "", "the last position, as status prints it, or time (2026-03-01T09:55:00Z) that is restored; the end of the log if not given")
	f.StringVar(&opts.bucket, "bucket", "", "where the new volume's data goes; not the other one's (required)")
	f.StringVar(&opts.site, "site", "source", "name of the new volume's site")
	f.StringVar(&opts.from, "from", "", "metadata address of the other volume: for changes that are in no segment yet, and so that it keeps the data")
	return cmd
}

// restoreResult is what restore prints.
type restoreResult struct {
	Volume   meta.Volume   `json:"volume"`
	Position meta.Position `json:"position"`
	// Time is when the last change was made that is in it, of those after the dump.
	Time    time.Time `json:"time,omitzero"`
	Records int64     `json:"records"` // made after the dump
	// AtEnd says that the log that there is ends there.
	AtEnd bool `json:"at_end"`
	// Hold is the name under which the other volume keeps what this one refers to, until it is dropped;
	// empty when that volume does not know.
	Hold string `json:"hold,omitempty"`
}

func (c *cli) restore(ctx context.Context, file, addr, name string, opts restoreOptions) (err error) {
	limit, err := parseLimit(opts.to)
	if err != nil {
		return err
	}
	if err := errors.Join(validName("volume", name), validName("site", opts.site)); err != nil {
		return err
	}
	if opts.bucket == "" {
		return usagef("restore: --bucket is missing: where the new volume's data goes")
	}
	if file == standardStream {
		return usagef("restore: it reads the dump twice: give a FILE")
	}
	var s dump.Summary
	err = c.readFile(file, func(r io.Reader) (err error) {
		s, err = dump.Verify(ctx, r, dump.Options{})
		return err
	})
	if err != nil {
		return err
	}
	if err := checkLimit(&s, limit); err != nil {
		return err
	}
	if err := c.tryBucket(ctx, opts.bucket); err != nil {
		return err
	}
	r := &restoring{loading: loading{c: c, addr: addr, name: name}, opts: opts, limit: limit, id: s.ID}
	r.kept = name + "-" + strings.ToLower(rand.Text()[:6]) // several may be restored under one name
	defer func() { err = errors.Join(err, r.close()) }()
	held, err := r.hold(ctx, s.Position)
	if err != nil {
		return err
	}
	if err := r.run(ctx, file); err != nil {
		if held {
			err = errors.Join(err, r.dropHold(ctx))
		}
		return explainMeta(err, addr, envMetaPassword)
	}
	if held { // what was freed up to there is not needed after all
		r.result.Hold = r.kept
		_, err := r.hold(ctx, r.result.Position)
		c.warn(ctx, err)
	}
	return c.print(r.result, func(w io.Writer) {
		did := &r.result
		fmt.Fprintf(w, "restored volume %s as %s, at position %s", s.Volume, name, did.Position)
		if !did.Time.IsZero() {
			fmt.Fprintf(w, ", last changed %s", did.Time.UTC().Format(time.RFC3339Nano))
		}
		fmt.Fprintln(w)
		if did.AtEnd && opts.to != "" {
			fmt.Fprintln(w, "the log that is there ends here; what was changed later, before the time given, is not in it")
		}
		switch {
		case did.Hold != "":
			fmt.Fprintf(w, "volume %s keeps what this one refers to, until: mirrorfs gc %s --drop-hold %s\n", s.Volume, redis.Redact(opts.from), did.Hold)
		default:
			fmt.Fprintf(w, "volume %s does not know of it and deletes what it frees itself, after its trash time\n", s.Volume)
		}
		fmt.Fprintf(w, "mount it with: mirrorfs mount %s DIR\n", redis.Redact(addr))
	})
}

// parseLimit reads a position or a time.
func parseLimit(to string) (segments.Limit, error) {
	var l segments.Limit
	if to == "" {
		return l, nil
	}
	var err error
	if l.Position, err = meta.ParsePosition(to); err == nil {
		return l, nil
	}
	if l.Time, err = time.Parse(time.RFC3339Nano, to); err != nil {
		return l, usagef("restore: --to %q: want a position like 1-4200 or a time like 2026-03-01T09:55:00Z", to)
	}
	return l, nil
}

// checkLimit refuses a dump that holds changes which are not wanted.
func checkLimit(s *dump.Summary, l segments.Limit) error {
	late := !l.Position.IsZero() && l.Position.Before(s.Position)
	late = late || !l.Time.IsZero() && (l.Time.Before(s.Created) || l.Time.Before(s.Latest))
	if late {
		return hintf(fmt.Errorf("the dump is of position %s, made at %s: later than what is wanted", s.Position, s.Created.Format(time.RFC3339)),
			"a dump that was made before; the log is replayed from there")
	}
	return nil
}
