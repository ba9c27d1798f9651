package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/vfs/fuse"
)

// mountOptions are the flags of mount.
type mountOptions struct {
	background      bool
	logFile         string
	cacheDir        string
	cacheSize       byteSize
	bufferSize      byteSize
	readOnly        bool
	subdir          string
	atime           string
	metrics         string
	maxLag          time.Duration
	sourceTimeout   time.Duration
	bucketTimeout   time.Duration
	nearBucket      string
	site            string
	attrTimeout     time.Duration
	entryTimeout    time.Duration
	negativeTimeout time.Duration
	readAhead       byteSize
	onlyOwner       bool
	localLocks      bool
	nonEmpty        bool
	grace           time.Duration
	upkeep          time.Duration
	debugKernel     bool
}

func newMountCommand(c *cli) *cobra.Command {
	opts := mountOptions{cacheSize: 10 << 30, bufferSize: 256 << 20, readAhead: 1 << 20}
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
	f.BoolVar(&opts.background, "background", false, "return as soon as the mount answers")
	f.StringVar(&opts.logFile, "log-file", "", "where a background mount writes its log (default: mount.log beside its cache)")
	f.StringVar(&opts.cacheDir, "cache-dir", "", "directory of this mount's own for the cache (default: one named after DIR below /var/cache/mirrorfs, or the user's cache)")
	f.Var(&opts.cacheSize, "cache-size", "limit of the cache")
	f.Var(&opts.bufferSize, "buffer-size", "limit of written data in memory that is not in the bucket yet")
	f.BoolVar(&opts.readOnly, "read-only", false, "refuse every change")
	f.StringVar(&opts.atime, "atime", "off", "when reading changes access times: off, or relatime (after a change, and once a day)")
	f.StringVar(&opts.subdir, "subdir", "", "show this directory of the volume as the root")
	f.StringVar(&opts.metrics, "metrics", "", "serve Prometheus metrics and profiles on this address, for example :9567")
	f.DurationVar(&opts.maxLag, "max-lag", 0, "at a mirror: read from the source while the mirror is further behind (0: never)")
	f.DurationVar(&opts.sourceTimeout, "source-timeout", sourceTimeout, "at a mirror: how long a change may wait for the source before it fails with EIO; a question waits half as long")
	f.DurationVar(&opts.bucketTimeout, "bucket-timeout", time.Minute, "how long a request to a bucket is repeated before a read fails with EIO, or a write is kept for later")
	f.StringVar(&opts.nearBucket, "near-bucket", "", "at a site that uses the source's META: a bucket of its own, which is read first and takes what is written here; mirrorfs mirror run META copies")
	f.StringVar(&opts.site, "site", "", "name of that site")
	f.DurationVar(&opts.attrTimeout, "attr-timeout", time.Second, "for how long the kernel may keep attributes (0: not at all)")
	f.DurationVar(&opts.entryTimeout, "entry-timeout", time.Second, "for how long the kernel may keep names (0: not at all)")
	f.DurationVar(&opts.negativeTimeout, "negative-timeout", 0, "for how long the kernel may believe that a name does not exist")
	f.Var(&opts.readAhead, "read-ahead", "how far the kernel reads ahead of a sequential reader")
	f.BoolVar(&opts.onlyOwner, "only-owner", false, "give access to nobody but the user who mounts")
	f.BoolVar(&opts.localLocks, "local-locks", false, "leave fcntl and flock locks to the kernel: faster, and unknown to other clients")
	f.BoolVar(&opts.nonEmpty, "non-empty", false, "mount over a directory that holds files")
	f.DurationVar(&opts.grace, "grace", 3*time.Second, "when told to end: how long to wait for programs to leave the mount")
	f.DurationVar(&opts.upkeep, "upkeep-interval", time.Minute, "how often to look for what can be cleaned up: clients that are gone, deleted files, freed blocks, the log")
	f.BoolVar(&opts.debugKernel, "debug-kernel", false, "log every request of the kernel (with --log-level debug)")
	return cmd
}

func (o *mountOptions) validate() error {
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"max-lag", o.maxLag},
		{"attr-timeout", o.attrTimeout},
		{"entry-timeout", o.entryTimeout},
		{"negative-timeout", o.negativeTimeout},
		{"grace", o.grace},
		{"upkeep-interval", o.upkeep},
	} {
		if d.value < 0 {
			return usagef("--%s %v: want a time of 0 or more", d.flag, d.value)
		}
	}
	if o.sourceTimeout < minTimeout || o.bucketTimeout < minTimeout {
		return usagef("--source-timeout and --bucket-timeout: want %v or more", minTimeout)
	}
	if (o.nearBucket == "") != (o.site == "") {
		return usagef("--near-bucket BUCKET and --site NAME go together")
	}
	if o.atime != "off" && o.atime != "relatime" {
		return usagef("--atime %s: want off or relatime", o.atime)
	}
	for _, s := range []struct {
		flag  string
		value *byteSize
	}{{"cache-size", &o.cacheSize}, {"buffer-size", &o.bufferSize}, {"read-ahead", &o.readAhead}} {
		if *s.value <= 0 {
			return usagef("--%s %s: want more than 0", s.flag, s.value)
		}
	}
	return nil
}

// minTimeout is the least time in which a network may answer.
const minTimeout = 100 * time.Millisecond

// metaTimeout bounds a question or a change of metadata, whoever is to answer it.
func (o *mountOptions) metaTimeout() time.Duration {
	const metaTimeout = 30 * time.Second // here, where the source's time says nothing
	return max(metaTimeout, o.sourceTimeout)
}

// cacheOf is the directory of the cache of a mount at dir. Each mount has its
// own, and the same when it is mounted there again.
func (o *mountOptions) cacheOf(dir string) (string, error) {
	if o.cacheDir != "" {
		return filepath.Abs(o.cacheDir)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cache of %s: %w", dir, err)
	}
	top := "/var/cache"
	if os.Geteuid() != 0 {
		if top, err = os.UserCacheDir(); err != nil {
			return "", hintf(fmt.Errorf("cache of %s: %w", dir, err), "name one: --cache-dir DIR")
		}
	}
	return filepath.Join(top, "mirrorfs", strings.ReplaceAll(strings.Trim(abs, "/"), "/", "-")), nil
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
	reg := newRegistry()
	v, err := c.openVolume(ctx, addr, volumeOptions{MaxLag: opts.maxLag, NearBucket: opts.nearBucket, NearSite: opts.site, ChangeTimeout: opts.sourceTimeout, BucketTimeout: opts.bucketTimeout, Metrics: reg})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	data, err := c.openData(v, dir, opts, reg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	m, err := c.newMounted(ctx, v, data, dir, opts, reg)
	if err != nil {
		return err
	}
	return m.serve(ctx, opts, ready)
}
