package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
	"mirrorfs/vfs"
	"mirrorfs/vfs/fuse"
)

// mountOptions are the flags of mount.
type mountOptions struct {
	clientOptions
	background      bool
	logFile         string
	atime           string
	attrTimeout     time.Duration
	entryTimeout    time.Duration
	negativeTimeout time.Duration
	readAhead       byteSize
	onlyOwner       bool
	localLocks      bool
	nonEmpty        bool
	grace           time.Duration
	debugKernel     bool
}

func newMountCommand(c *cli) *cobra.Command {
	opts := mountOptions{clientOptions: clientOptions{cacheSize: 10 << 30, bufferSize: 256 << 20}, readAhead: 1 << 20}
	cmd := &cobra.Command{
		Use:   "mount META DIR",
		Short: "Mount a volume on a directory",
		Long: `mount shows the volume at META, a source or a mirror, in the directory DIR, and
serves it until DIR is unmounted or the command is told to end (Ctrl-C, SIGTERM).
With --background it returns as soon as the mount answers.

Blocks that were read or written are kept in --cache-dir, which stays when the
mount ends and serves the next one. The kernel keeps attributes and names for a
second, so changes by other clients are seen after that time, or at once by
opening the file.`,
		Example: `  mirrorfs mount local:/var/lib/mirrorfs/meta /mnt/photos --background
  mirrorfs mount redis://10.0.0.5/0 /mnt/models --cache-dir /nvme/mirrorfs --cache-size 200GiB
  mirrorfs mount redis://10.8.0.5/0 /mnt/models --read-only --subdir /llama --metrics :9567`,
		Args: exactArgs("META", "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.validate(); err != nil {
				return err
			}
			if report := c.backgroundReport(); report != nil {
				return c.mountReporting(cmd.Context(), args[0], args[1], opts, report)
			}
			if opts.background {
				return c.mountInBackground(cmd.Context(), args[1], opts)
			}
			return c.mount(cmd.Context(), args[0], args[1], opts, func() error { return nil })
		},
	}
	f := cmd.Flags()
	opts.addFlags(f, "directory of this mount's own for the cache (default: one named after DIR below /var/cache/mirrorfs, or the user's cache)")
	f.BoolVar(&opts.background, "background", false, "return as soon as the mount answers")
	f.StringVar(&opts.logFile, "log-file", "", "where a background mount writes its log (default: mount.log beside its cache)")
	f.StringVar(&opts.atime, "atime", "off", "when reading changes access times: off, or relatime (after a change, and once a day)")
	f.DurationVar(&opts.attrTimeout, "attr-timeout", time.Second, "for how long the kernel may keep attributes (0: not at all)")
	f.DurationVar(&opts.entryTimeout, "entry-timeout", time.Second, "for how long the kernel may keep names (0: not at all)")
	f.DurationVar(&opts.negativeTimeout, "negative-timeout", 0, "for how long the kernel may believe that a name does not exist")
	f.Var(&opts.readAhead, "read-ahead", "how far the kernel reads ahead of a sequential reader")
	f.BoolVar(&opts.onlyOwner, "only-owner", false, "give access to nobody but the user who mounts")
	f.BoolVar(&opts.localLocks, "local-locks", false, "leave fcntl and flock locks to the kernel: faster, and unknown to other clients")
	f.BoolVar(&opts.nonEmpty, "non-empty", false, "mount over a directory that holds files")
	f.DurationVar(&opts.grace, "grace", 3*time.Second, "when told to end: how long to wait for programs to leave the mount")
	f.BoolVar(&opts.debugKernel, "debug-kernel", false, "log every request of the kernel (with --log-level debug)")
	return cmd
}

func (o *mountOptions) validate() error {
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"attr-timeout", o.attrTimeout},
		{"entry-timeout", o.entryTimeout},
		{"negative-timeout", o.negativeTimeout},
		{"grace", o.grace},
	} {
		if d.value < 0 {
			return usagef("--%s %v: want a time of 0 or more", d.flag, d.value)
		}
	}
	if o.atime != "off" && o.atime != "relatime" {
		return usagef("--atime %s: want off or relatime", o.atime)
	}
	if o.readAhead <= 0 {
		return usagef("--read-ahead %s: want more than 0", &o.readAhead)
	}
	return o.clientOptions.validate()
}

// cacheOf is the directory of the cache of a mount at dir. Each mount has its
// own, and the same when it is mounted there again.
func (o *mountOptions) cacheOf(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cache of %s: %w", dir, err)
	}
	return o.cacheNamed(strings.ReplaceAll(strings.Trim(abs, "/"), "/", "-"))
}

// kernelTimeout gives a flag, where 0 is not at all, as fuse.Options wants it.
func kernelTimeout(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// explainFuse adds to an error of vfs/fuse its own hint.
func explainFuse(err error) error {
	var e *fuse.Error
	if errors.As(err, &e) && e.Hint != "" {
		return hintf(err, "%s", e.Hint)
	}
	return err
}

// mountResult is what a mount in the background prints.
type mountResult struct {
	Dir string `json:"dir"`
	PID int    `json:"pid"`
	Log string `json:"log"`
}

func (r *mountResult) write(w io.Writer) {
	fmt.Fprintf(w, "mounted on %s (process %d, log %s)\n", r.Dir, r.PID, r.Log)
}

// mount serves a volume at dir until it is unmounted or ctx ends. It calls ready
// when the mount answers.
func (c *cli) mount(ctx context.Context, addr, dir string, opts mountOptions, ready func() error) (err error) {
	cl, err := c.openClient(ctx, addr, &opts.clientOptions, func(*volume) (string, error) { return opts.cacheOf(dir) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.close()) }()
	atime := vfs.AtimeOff
	if opts.atime == "relatime" {
		atime = vfs.AtimeRelative
	}
	err = cl.newFS(ctx, vfs.Options{
		Atime: atime, Session: meta.SessionInfo{Kind: "mount", Mount: dir},
		AttrAge: max(1, min(opts.attrTimeout, time.Second)), // 0 would be the default
	})
	if err != nil {
		return err
	}
	return cl.run(ctx, func(ctx context.Context) error { return cl.serveKernel(ctx, dir, opts, ready) })
}

// serveKernel mounts, and returns when the mount is gone.
func (cl *client) serveKernel(ctx context.Context, dir string, opts mountOptions, ready func() error) error {
	server, err := fuse.Mount(ctx, fuse.Options{
		FS: cl.fs, Dir: dir, Volume: cl.v.Settings.Name, Source: reopenable(cl.v.near.Address()), ReadOnly: opts.readOnly, NonEmpty: opts.nonEmpty, OnlyOwner: opts.onlyOwner, LocalLocks: opts.localLocks,
		AttrTimeout: kernelTimeout(opts.attrTimeout), EntryTimeout: kernelTimeout(opts.entryTimeout), NegativeTimeout: opts.negativeTimeout,
		ReadAheadBytes: int(opts.readAhead), Grace: opts.grace, MetaTimeout: opts.metaTimeout(), Debug: opts.debugKernel, Logger: cl.c.log, Metrics: cl.reg,
	})
	if err != nil {
		return explainFuse(err)
	}
	cl.c.log.InfoContext(ctx, "mounted", slog.String("volume", cl.v.Settings.Name), slog.String("dir", server.Dir()),
		slog.String("site", cl.v.Site.Name), slog.Bool("mirror", cl.v.Mirror))
	if err := ready(); err != nil {
		cl.c.log.WarnContext(ctx, "nobody waits for the mount any more", slog.Any("error", err))
	}
	err = server.Run(ctx)
	if err == nil {
		cl.c.log.InfoContext(ctx, "unmounted", slog.String("dir", server.Dir()))
	}
	return explainFuse(err)
}
