package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
)

func newQuotaCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quota",
		Short: "Limit what directories and the volume may hold",
		Long: `quota limits, in bytes and in inodes, what is below a directory of the volume at
META, a source or a mirror; the quota of / limits the volume. A program that
would take more gets EDQUOT, or ENOSPC when the volume is full. df below the
directory shows the limit and what is used of it.

Sizes are rounded up to 4 KiB; holes count; a file
with several names counts once. A directory with something in it cannot be
renamed to where another quota counts: mv copies it.`,
		Example: "  mirrorfs quota set redis://10.0.0.5/0 /projects/llama --size 10TiB --inodes 1000000\n  mirrorfs quota ls redis://10.0.0.5/0",
	}
	cmd.AddCommand(newQuotaSetCommand(c), newQuotaListCommand(c), newQuotaGetCommand(c), newQuotaRemoveCommand(c))
	return group(cmd)
}

func newQuotaSetCommand(c *cli) *cobra.Command {
	var size byteSize
	var inodes uint64
	cmd := &cobra.Command{
		Use:   "set META PATH",
		Short: "Give a directory limits",
		Long: `set gives the directory PATH of the volume at META limits, in place of those that it
had. What is left out is not limited. When the directory holds something already, set returns
once that is counted; until then nothing is refused. If it is interrupted, any
mount goes on with the count.`,
		Example: "  mirrorfs quota set redis://10.0.0.5/0 /projects/llama --size 10TiB\n  mirrorfs quota set redis://10.0.0.5/0 / --size 100TiB --inodes 50000000",
		Args:    exactArgs("META", "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if size <= 0 && inodes == 0 {
				return usagef("quota set: want --size, --inodes or both, more than 0; quota remove takes a quota away")
			}
			limit := meta.Usage{Bytes: uint64(size), Inodes: inodes} //nolint:gosec // not negative
			return c.withQuotas(cmd.Context(), args[0], args[1], func(ctx context.Context, e meta.Engine, dir meta.Ino) error {
				return c.setQuota(ctx, e, dir, args[1], limit)
			})
		},
	}
	cmd.Flags().Var(&size, "size", "most bytes that may be below the directory")
	cmd.Flags().Uint64Var(&inodes, "inodes", 0, "most files, directories and other inodes that may be below it")
	return cmd
}

func newQuotaGetCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "get META PATH",
		Short:   "Show the quota of a directory",
		Long:    "get shows the limits of the directory PATH of the volume at META, and what is used of them.",
		Example: "  mirrorfs quota get redis://10.0.0.5/0 /projects/llama --json",
		Args:    exactArgs("META", "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withQuotas(cmd.Context(), args[0], args[1], func(ctx context.Context, e meta.Engine, dir meta.Ino) error {
				return c.showQuota(ctx, e, dir, args[1])
			})
		},
	}
}

func newQuotaRemoveCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "remove META PATH",
		Short:   "Take the quota of a directory away",
		Long:    "remove takes the limits of the directory PATH of the volume at META away.",
		Example: "  mirrorfs quota remove redis://10.0.0.5/0 /projects/llama",
		Args:    exactArgs("META", "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withQuotas(cmd.Context(), args[0], args[1], func(ctx context.Context, e meta.Engine, dir meta.Ino) error {
				_, err := e.Change(ctx, meta.SetQuota{Dir: dir})
				return err
			})
		},
	}
}

func newQuotaListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "ls META",
		Short:   "List all quotas of a volume",
		Long:    "ls lists the directories with a quota of the volume at META, their limits and what is used of them.",
		Example: "  mirrorfs quota ls redis://10.0.0.5/0",
		Args:    exactArgs("META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withQuotas(cmd.Context(), args[0], "/", func(ctx context.Context, e meta.Engine, _ meta.Ino) error {
				all, err := e.Quotas(ctx)
				if err != nil {
					return err
				}
				rows := make([]quotaRow, len(all))
				for i := range all {
					if rows[i], err = newQuotaRow(ctx, e, all[i]); err != nil {
						return err
					}
				}
				return c.print(rows, func(w io.Writer) { writeQuotas(w, rows) })
			})
		},
	}
}

// withQuotas opens the volume and finds the directory at a path.
func (c *cli) withQuotas(ctx context.Context, addr, name string, do func(context.Context, meta.Engine, meta.Ino) error) (err error) {
	v, err := c.openVolume(ctx, addr, volumeOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	dir := meta.RootIno
	if name = path.Clean("/" + name); name != "/" {
		nodes, err := v.Engine.Resolve(ctx, meta.RootIno, name[1:])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		dir = nodes[len(nodes)-1].Ino
	}
	if err := do(ctx, v.Engine, dir); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// setQuota sets limits, counts what is there, and shows the outcome.
func (c *cli) setQuota(ctx context.Context, e meta.Engine, dir meta.Ino, name string, limit meta.Usage) error {
	if _, err := e.Change(ctx, meta.SetQuota{Dir: dir, Limit: limit}); err != nil {
		return err
	}
	p := c.newProgress()
	defer p.done()
	for {
		res, err := e.Change(ctx, meta.Count{Dir: dir})
		if err != nil {
			return err
		}
		if res.Position.IsZero() {
			break
		}
		for i := range res.Effects {
			if q := &res.Effects[i].Quota; q.IsCounting() {
				p.update("counting: %d of %d inodes", q.Next, q.End)
			}
		}
	}
	p.done()
	return c.showQuota(ctx, e, dir, name)
}

func (c *cli) showQuota(ctx context.Context, e meta.Engine, dir meta.Ino, name string) error {
	all, err := e.QuotasAt(ctx, dir)
	if err != nil {
		return err
	}
	if all[0].Dir != dir || all[0].Limit == (meta.Usage{}) {
		return hintf(errors.New("no quota is set"), "mirrorfs quota set META %s --size 10GiB sets one", name)
	}
	row := quotaRow{Path: path.Clean("/" + name), Quota: all[0], Counting: all[0].IsCounting()}
	return c.print(row, func(w io.Writer) { writeQuotas(w, []quotaRow{row}) })
}

// quotaRow is what is printed of a quota.
type quotaRow struct {
	Path string `json:"path"`
	meta.Quota
	// Counting: not all that is there is in Used yet, and nothing is refused.
	Counting bool `json:"counting,omitempty"`
}

func newQuotaRow(ctx context.Context, r meta.Reader, q meta.Quota) (quotaRow, error) {
	name, err := pathOf(ctx, r, q.Dir)
	return quotaRow{Path: name, Quota: q, Counting: q.IsCounting()}, err
}

func writeQuotas(out io.Writer, rows []quotaRow) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "path\tused\tof\tinodes\tof\t")
	for i := range rows {
		r := &rows[i]
		bytes, inodes, state := "no limit", "no limit", ""
		if r.Limit.Bytes > 0 {
			bytes = formatBytes(int64(r.Limit.Bytes)) //nolint:gosec // below 2^53
		}
		if r.Limit.Inodes > 0 {
			inodes = fmt.Sprint(r.Limit.Inodes)
		}
		if r.Counting {
			state = "being counted"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", r.Path, formatBytes(int64(r.Used.Bytes)), bytes, r.Used.Inodes, inodes, state) //nolint:gosec // below 2^56
	}
	_ = w.Flush()
}

// pathOf finds the path of a directory. A directory does not know its own name,
// so its parents are listed up to where it is found.
func pathOf(ctx context.Context, r meta.Reader, dir meta.Ino) (string, error) {
	name := "/"
	for dir != meta.RootIno {
		n, err := r.GetAttr(ctx, dir)
		if err != nil {
			return "", err
		}
		own, err := nameIn(ctx, r, n.Attr.Parent, dir)
		if err != nil {
			return "", err
		}
		name, dir = path.Join("/"+own, name), n.Attr.Parent
	}
	return name, nil
}

func nameIn(ctx context.Context, r meta.Reader, parent, dir meta.Ino) (string, error) {
	after := ""
	for {
		page, err := r.ReadDir(ctx, parent, after, meta.MaxPageEntries)
		if err != nil {
			return "", err
		}
		for i := range page.Entries {
			if page.Entries[i].Node.Ino == dir {
				return page.Entries[i].Name, nil
			}
		}
		if !page.More || len(page.Entries) == 0 {
			return "", fmt.Errorf("directory %d was moved while it was looked for", dir)
		}
		after = page.Entries[len(page.Entries)-1].Name
	}
}
