package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/vfs"
	"mirrorfs/vfs/fuse"
)

// infoOptions are the flags of info.
type infoOptions struct{ held bool }

func newInfoCommand(c *cli) *cobra.Command {
	opts := infoOptions{held: true}
	cmd := &cobra.Command{
		Use:   "info PATH | META /path",
		Short: "Show what a file is made of: inode, extents, slices, blocks, and where each is",
		Long: `info shows the inode of a file or directory and, of a file, its extents, the slices
that they are in, and the blocks of those: the object's name, and in which sites'
buckets it is. PATH is on a mount on this machine; then it tells too how much of the
file is in the mount's cache, and the mount's position: from there on all that it has read
and done is visible at other sites, which can wait for it (mirror wait --position). META /path names a file by its path in the volume. What a
mount has not flushed yet is not shown.`,
		Example: "  mirrorfs info /mnt/models/llama/weights.bin\n  mirrorfs info redis://10.0.0.5/0 /llama/weights.bin --json",
		Args:    someArgs(1, "PATH or META", "/path"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return c.infoOfVolume(cmd.Context(), args[0], args[1], opts)
			}
			return c.infoOfMount(cmd.Context(), args[0], opts)
		},
	}
	cmd.Flags().BoolVar(&opts.held, "held", opts.held, "ask the buckets which blocks they hold")
	return cmd
}

// infoResult is what info prints.
type infoResult struct {
	Volume   string        `json:"volume"`
	Site     string        `json:"site"`
	Position meta.Position `json:"position"` // where the site stood
	Path     string        `json:"path"`
	Inode    meta.Ino      `json:"inode"`
	Type     string        `json:"type"`
	Mode     string        `json:"mode"`
	Links    uint32        `json:"links"`
	UID      uint32        `json:"uid"`
	GID      uint32        `json:"gid"`
	Size     uint64        `json:"size"`
	Parent   meta.Ino      `json:"parent"`
	Atime    time.Time     `json:"atime"`
	Mtime    time.Time     `json:"mtime"`
	Ctime    time.Time     `json:"ctime"`
	Version  uint64        `json:"version,omitempty"`
	Target   string        `json:"target,omitempty"`
	Xattrs   []string      `json:"xattrs,omitempty"`

	Chunks []infoChunk `json:"chunks,omitempty"`
	Blocks []infoBlock `json:"blocks,omitempty"`
	// Cached is how much of the file's data the mount has in its cache, Seen the position of
	// the mount: who waits for it sees all that the mount read and did. Only of a PATH.
	Cached *infoCached    `json:"cached,omitempty"`
	Seen   *meta.Position `json:"seen,omitempty"`
}

// infoChunk is the list of extents of a chunk.
type infoChunk struct {
	Index   uint32       `json:"index"`
	Extents []infoExtent `json:"extents"`
}

type infoExtent struct {
	Position uint64 `json:"position"` // first byte in the file
	Bytes    uint32 `json:"bytes"`
	Slice    uint64 `json:"slice"` // 0: a hole
	Home     uint8  `json:"home"`
	Offset   uint32 `json:"offset"` // first byte in the slice
	Size     uint32 `json:"size"`   // of the slice
}

// infoBlock is an object that holds bytes of the file.
type infoBlock struct {
	Object string   `json:"object"`
	Slice  uint64   `json:"slice"`
	Bytes  int64    `json:"bytes"`           // of the object
	Sites  []string `json:"sites"`           // whose buckets have it whole
	Wrong  []string `json:"wrong,omitempty"` // whose buckets have it with another length
}

type infoCached struct {
	Mount string `json:"mount"`
	Bytes int64  `json:"bytes"` // of data
	In    int64  `json:"cached"`
}

func (c *cli) infoOfVolume(ctx context.Context, addr, name string, opts infoOptions) (err error) {
	if !strings.HasPrefix(name, "/") {
		return usagef("info: %s: want a path in the volume, which begins with /", name)
	}
	v, err := c.openVolume(ctx, addr, volumeOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	ino := meta.RootIno
	if clean := path.Clean(name); clean != "/" {
		nodes, err := v.Engine.Resolve(ctx, ino, clean[1:])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		ino = nodes[len(nodes)-1].Ino
	}
	r, err := c.gatherInfo(ctx, v, ino, opts)
	if err != nil {
		return err
	}
	r.Path = path.Clean(name)
	return c.print(r, r.write)
}

func (c *cli) infoOfMount(ctx context.Context, name string, opts infoOptions) (err error) {
	parent, err := fuse.MountOf(filepath.Dir(name))
	m := parent
	if err != nil || filepath.Clean(name) == m.Dir {
		if m, err = fuse.MountOf(name); err != nil {
			return explainFuse(err)
		}
	}
	stat, err := os.Lstat(name)
	if err != nil {
		return err
	}
	sys, ok := stat.Sys().(*syscall.Stat_t)
	if !ok || m.Source == "" {
		return fmt.Errorf("%s: the mount does not tell of which volume it is", m.Dir)
	}
	v, err := c.openVolume(ctx, m.Source, volumeOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	r, err := c.gatherInfo(ctx, v, meta.Ino(sys.Ino), opts)
	if err != nil {
		return err
	}
	if r.Path, err = filepath.Abs(name); err != nil {
		return err
	}
	seen, err := fuse.PositionOf(m.Dir)
	if err != nil {
		return explainFuse(err)
	}
	r.Seen = &seen
	if stat.Mode().IsRegular() {
		if r.Cached, err = cachedOf(ctx, m.Dir, r.Path, r.Size); err != nil {
			return explainFuse(err)
		}
	}
	return c.print(r, r.write)
}

// cachedOf asks a mount, some of a file at a time.
func cachedOf(ctx context.Context, mount, name string, size uint64) (*infoCached, error) {
	var all chunk.Warmth
	for off := uint64(0); off < size; off += vfs.MaxWarmBytes {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		w, err := fuse.CachedRange(name, off, vfs.MaxWarmBytes)
		if err != nil {
			return nil, err
		}
		all.Add(w)
	}
	return &infoCached{Mount: mount, Bytes: all.Total, In: all.Cached}, nil
}

// gatherInfo asks the metadata.
func (c *cli) gatherInfo(ctx context.Context, v *volume, ino meta.Ino, opts infoOptions) (*infoResult, error) {
	r := &infoResult{Volume: v.Settings.Name, Site: v.Site.Name, Inode: ino}
	view := v.Engine.View(meta.ViewOptions{Observe: func(at meta.Position) { r.Position = at }})
	n, err := view.GetAttr(ctx, ino)
	if err != nil {
		return nil, err
	}
	a := &n.Attr
	r.Type, r.Mode = typeName(a.Type()), fs.FileMode(a.Mode & 0o777).String()[1:]
	if special := a.Mode & 0o7000; special != 0 {
		r.Mode += fmt.Sprintf(" (%04o)", a.Mode&0o7777)
	}
	r.Links, r.UID, r.GID, r.Size, r.Parent, r.Version = a.Nlink, a.UID, a.GID, a.Size, a.Parent, a.Version
	r.Atime, r.Mtime, r.Ctime = time.Unix(0, a.Atime), time.Unix(0, a.Mtime), time.Unix(0, a.Ctime)
	if a.HasXattrs {
		if r.Xattrs, err = view.ListXattr(ctx, ino); err != nil {
			return nil, err
		}
	}
	switch {
	case a.Type() == meta.TypeSymlink:
		r.Target, err = view.ReadLink(ctx, ino)
	case a.IsFile():
		err = c.infoData(ctx, v, view, a, r, opts)
	}
	return r, err
}

func typeName(kind uint32) string {
	switch kind {
	case meta.TypeDir:
		return "directory"
	case meta.TypeSymlink:
		return "symbolic link"
	case meta.TypeFifo:
		return "fifo"
	case meta.TypeSocket:
		return "socket"
	case meta.TypeChar:
		return "character device"
	case meta.TypeBlock:
		return "block device"
	default:
		return "file"
	}
}

func (r *infoResult) write(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("path", "%s", r.Path)
	row("volume", "%s, site %s, position %s", r.Volume, r.Site, r.Position)
	if r.Seen != nil {
		row("seen", "position %s, by the mount", *r.Seen)
	}
	row("inode", "%d, %s, mode %s, %d links, in inode %d", r.Inode, r.Type, r.Mode, r.Links, r.Parent)
	row("owner", "%d:%d", r.UID, r.GID)
	if r.Type == "directory" {
		row("size", "%d entries", r.Size)
	} else {
		row("size", "%d bytes", r.Size)
	}
	row("modified", "%s", r.Mtime.Format(time.RFC3339Nano))
	row("changed", "%s", r.Ctime.Format(time.RFC3339Nano))
	if r.Target != "" {
		row("target", "%s", r.Target)
	}
	if len(r.Xattrs) > 0 {
		row("attributes", "%s", strings.Join(r.Xattrs, ", "))
	}
	if r.Cached != nil {
		row("cached", "%s of %s, by the mount at %s", formatBytes(r.Cached.In), formatBytes(r.Cached.Bytes), r.Cached.Mount)
	}
	for _, k := range r.Chunks {
		for _, e := range k.Extents {
			if e.Slice == 0 {
				row("extent", "bytes %d to %d: a hole", e.Position, e.Position+uint64(e.Bytes))
				continue
			}
			row("extent", "bytes %d to %d: slice %d from byte %d", e.Position, e.Position+uint64(e.Bytes), e.Slice, e.Offset)
		}
	}
	for _, b := range r.Blocks {
		where := "held nowhere"
		switch {
		case b.Sites == nil:
			where = "not asked for"
		case len(b.Sites) > 0:
			where = "at " + strings.Join(b.Sites, ", ")
		}
		if len(b.Wrong) > 0 {
			where += "; with another length at " + strings.Join(b.Wrong, ", ")
		}
		row("block", "%s, %d bytes, %s", b.Object, b.Bytes, where)
	}
	_ = w.Flush()
}

// reopenable is an address that names the same place from everywhere on this machine. A
// password is not in it.
func reopenable(addr string) string {
	if rest, ok := strings.CutPrefix(addr, "local:"); ok {
		dir, query, has := strings.Cut(rest, "?")
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs
		}
		if has {
			dir += "?" + query
		}
		return "local:" + dir
	}
	return strings.Replace(strings.Replace(addr, ":***@", "@", 1), "//@", "//", 1)
}
