package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// watchInterval is how often status --watch looks again.
const watchInterval = time.Second

func newMirrorStatusCommand(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status META",
		Short: "Show how far a mirror is, or all mirrors of a source",
		Long: `status tells of the site at META: its role, its state and the reason for it, the
position of the source and how much of that is applied, and the lag in records and
seconds, and the process that does the mirror's work. At the source it tells of every
mirror, a line each, and below what is the matter with which. It works at a mirror that
is cut off.`,
		Example: "  mirrorfs mirror status redis://redis.b.example/0 --watch\n  mirrorfs mirror status redis://redis.a.example/0 --json",
		Args:    exactArgs("META"),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.mirrorStatus(cmd.Context(), args[0], watch) },
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every second until interrupted")
	return cmd
}

func (c *cli) mirrorStatus(ctx context.Context, addr string, watch bool) (err error) {
	site, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	var source sourceOnce
	defer func() { err = errors.Join(err, source.close()) }()
	opts := mirror.StatusOptions{Dial: func(ctx context.Context, info mirror.Info) (mirror.Upstream, error) {
		return source.open(ctx, c, info.Source)
	}}
	for {
		st, err := mirror.GetStatus(ctx, site, opts)
		if watch && ctx.Err() != nil {
			return nil // interrupted meanwhile
		}
		if err != nil {
			return explainMeta(err, addr, envMetaPassword)
		}
		if watch && !c.json {
			fmt.Fprintf(c.stdout, "\x1b[H\x1b[2J%s\n", time.Now().Format(time.TimeOnly))
		}
		if err := c.print(st, func(w io.Writer) { writeMirrorStatus(w, &st) }); err != nil || !watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchInterval):
		}
	}
}

// sourceOnce keeps the connection to a source between two looks at its status.
type sourceOnce struct{ e *redis.Engine }

// keptOpen is a source that outlives who looks at it.
type keptOpen struct{ *redis.Engine }

// Close leaves the connection open.
func (keptOpen) Close() error { return nil }

func (s *sourceOnce) open(ctx context.Context, c *cli, addr string) (mirror.Upstream, error) {
	if s.e == nil {
		e, err := c.openSource(ctx, addr, sourceTimeout)
		if err != nil {
			return nil, err
		}
		s.e = e
	}
	return keptOpen{s.e}, nil
}

func (s *sourceOnce) close() error {
	if s.e == nil {
		return nil
	}
	return s.e.Close()
}

func writeMirrorStatus(out io.Writer, st *mirror.Status) {
	fmt.Fprintf(out, "volume %s, %s %s, position %s\n", st.Volume, st.Role, st.Site, st.Position)
	if st.Reason != "" && st.Role == "source" {
		fmt.Fprintf(out, "%s: %s\n", st.State, st.Reason)
	}
	sites := st.Mirrors
	if st.Role != "source" {
		sites = []mirror.Status{*st}
	} else if len(sites) == 0 {
		fmt.Fprintln(out, "no mirrors")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MIRROR\tSTATE\tAPPLIED\tLAG RECORDS\tLAG\tDATA\tCOMPLETE TO\tPENDING\tRUNNER")
	for i := range sites {
		m := &sites[i]
		lag := time.Duration(m.LagSeconds * float64(time.Second)).Round(time.Millisecond)
		name := m.Site
		if m.FedBy != "" {
			name += " (fed by " + m.FedBy + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%v\t%s\t%s\t%s\t%s\n", name, m.State, m.Applied, m.LagRecords, lag,
			m.Data.Mode, m.Data.CompleteTo, pendingData(&m.Data), runnerOf(m))
	}
	_ = w.Flush()
	for i := range sites {
		if m := &sites[i]; m.Reason != "" {
			fmt.Fprintf(out, "%s: %s\n", m.Site, m.Reason)
		}
	}
	if v := st.Verified; v != nil {
		fmt.Fprintf(out, "verified %s at position %s: %d rows, %d differ\n", v.Finished.Format(time.RFC3339), v.Position, v.Rows, v.Differences)
	}
}

// runnerOf tells which process does a mirror's work.
func runnerOf(m *mirror.Status) string {
	if m.Runner == nil {
		return "-"
	}
	return m.Runner.String()
}

// pendingData tells what is to be copied, both ways.
func pendingData(d *mirror.DataStatus) string {
	objects := d.PendingObjects + d.BackObjects
	if objects == 0 {
		return "-"
	}
	return fmt.Sprintf("%d objects, %s", objects, formatBytes(int64(d.PendingBytes+d.BackBytes)))
}
