package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

func newStatusCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "status META",
		Short: "Show a volume: what it holds, its sites, who uses it, how safe its metadata is",
		Long: `status shows the volume at META: how much it holds, its sites, the clients that
use it, its log and who follows that, what was deleted and still takes room, and the
state of its Redis and what that promises to keep in a crash. META may be a source or
a mirror. How far mirrors are is told by: mirrorfs mirror status META.`,
		Example: "  mirrorfs status local:/var/lib/mirrorfs/meta\n  mirrorfs status redis://10.0.0.5/0 --json",
		Args:    exactArgs("META"),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.status(cmd.Context(), args[0]) },
	}
}

// statusResult is what status prints.
type statusResult struct {
	Volume     meta.Volume   `json:"volume"`
	Role       string        `json:"role"` // source, mirror or fenced
	Site       string        `json:"site"`
	Source     string        `json:"source,omitempty"` // address, at a mirror
	Position   meta.Position `json:"position"`
	UsedBytes  uint64        `json:"used_bytes"`
	UsedInodes uint64        `json:"used_inodes"`
	redis.Summary
	Segments   *logSegments       `json:"log_segments,omitempty"` // of the log, where it is kept
	Mirrors    []meta.MirrorState `json:"mirrors,omitempty"`      // as they told, at the source
	Durability string             `json:"durability"`
	Warnings   []string           `json:"warnings,omitempty"`
	Sessions   []meta.Session     `json:"sessions"`
}

func (c *cli) status(ctx context.Context, addr string) (err error) {
	e, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	r, err := gatherStatus(ctx, e)
	if err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	r.Segments = c.logSegments(ctx, &r.Volume)
	return c.print(r, r.write)
}

func gatherStatus(ctx context.Context, e *redis.Engine) (*statusResult, error) {
	v, err := e.Volume(ctx)
	if err != nil {
		return nil, err
	}
	state, err := e.State(ctx)
	if err != nil {
		return nil, err
	}
	r := &statusResult{
		Volume: v, Position: state.Position, Site: v.Sites[v.FirstSite()].Name,
		UsedBytes: state.Usage.Bytes, UsedInodes: state.Usage.Inodes, Role: roleName(state.Role),
	}
	info, err := mirror.Of(ctx, e)
	switch {
	case err == nil:
		r.Site = info.Name
		if r.Role == "mirror" {
			r.Source = info.Source
		}
	case !errors.Is(err, mirror.ErrNotMirror):
		return nil, err
	}
	if r.Sessions, err = e.Sessions(ctx); err != nil {
		return nil, err
	}
	if r.Summary, err = e.Summary(ctx); err != nil {
		return nil, err
	}
	if r.Role != "mirror" {
		if r.Mirrors, err = e.Mirrors(ctx); err != nil {
			return nil, err
		}
	}
	r.Durability = e.Durability(ctx)
	// A server that would be refused is told of here, not refused.
	warnings, err := e.CheckServer(ctx)
	if err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	}
	for _, w := range warnings {
		r.Warnings = append(r.Warnings, w.String())
	}
	return r, nil
}

func roleName(r meta.Role) string {
	switch r {
	case meta.RoleSource:
		return "source"
	case meta.RoleFenced:
		return "fenced"
	default:
		return "mirror"
	}
}

func (r *statusResult) write(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("volume", "%s, formatted %s, id %s", r.Volume.Name, r.Volume.Created.Format(time.DateTime), r.Volume.ID)
	row("this site", "%s, %s", r.Site, r.Role)
	if r.Source != "" {
		row("source", "%s", r.Source)
	}
	row("position", "%s", r.Position)
	row("used", "%s in %d inodes", formatBytes(int64(r.UsedBytes)), r.UsedInodes)
	row("blocks", "%s, compression %s, trash %v", formatBytes(int64(r.Volume.BlockBytes)), r.Volume.Compress, r.Volume.Trash)
	r.writeKept(row)
	row("durability", "%s", r.Durability)
	for _, warning := range r.Warnings {
		row("warning", "%s", warning)
	}
	for _, id := range slices.Sorted(maps.Keys(r.Volume.Sites)) {
		site := r.Volume.Sites[id]
		bucket := site.Bucket
		if bucket == "" {
			bucket = "no bucket"
		}
		row(fmt.Sprintf("site %d", id), "%s, %s", site.Name, bucket)
	}
	for _, s := range r.Sessions {
		expires := ""
		if r.Role == "source" { // a mirror is not told of heartbeats
			expires = ", expires " + s.Expires.Format(time.TimeOnly)
		}
		row("client", "%s of %s, process %d, %s, since %s%s", s.Info.Kind, s.Info.Host, s.Info.PID, s.Info.Mount,
			s.Info.Started.Format(time.DateTime), expires)
	}
	_ = w.Flush()
}

// writeKept tells of what is kept beside the files, and where.
func (r *statusResult) writeKept(row func(name, format string, args ...any)) {
	switch {
	case r.LogRecords > 0:
		about := ""
		if r.LogGuessed {
			about = "about "
		}
		row("log", "%d records, from %s on, %s%s of memory", r.LogRecords, r.LogFirst, about, formatBytes(r.LogMemory))
	default:
		row("log", "empty")
	}
	if s := r.Segments; s != nil {
		row("", "%s", s)
	}
	for _, m := range r.Mirrors {
		row("mirror", "%s, %s, at %s, %d records behind, heard of at %s", m.Name, m.State, m.Applied,
			r.Position.Seq-min(m.Applied.Seq, r.Position.Seq), m.Seen.Format(time.DateTime))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Volume.Holds)) {
		h := r.Volume.Holds[name]
		row("hold "+name, "what was freed after %s is kept: %s", h.Position, h.Reason)
	}
	row("deleted", "%d files and directories%s", r.Orphans, sinceText(r.OrphansSince))
	row("freed", "data of %d changes, to be reclaimed%s", r.Freed, sinceText(r.FreedSince))
	s := &r.Server
	if s.Version == "" {
		row("redis", "does not tell of itself")
		return
	}
	limit := "no limit"
	if s.MaxBytes > 0 {
		limit = "of " + formatBytes(int64(s.MaxBytes)) //nolint:gosec // memory
	}
	row("redis", "version %s, %s of memory (%s), %d replicas, append-only file %s", s.Version, formatBytes(int64(s.UsedBytes)), limit, s.Replicas, s.AOF) //nolint:gosec // memory
	if s.LastAOFWrite != "" && s.LastAOFWrite != "ok" {
		row("warning", "the last write of the append-only file: %s", s.LastAOFWrite)
	}
}

func sinceText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", the oldest of " + t.Local().Format(time.DateTime)
}
