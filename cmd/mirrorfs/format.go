package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/object"
	"mirrorfs/object/bucket"
	"mirrorfs/vfs/reclaim"
)

// probeTime is how long format goes on trying a bucket: somebody waits for the
// answer, and a mistyped address does not pass.
const probeTime = 5 * time.Second

// formatOptions are the flags of format.
type formatOptions struct {
	bucket   string
	site     string
	block    byteSize
	compress string
	trash    time.Duration
	grace    time.Duration
	log      logLimits
}

func newFormatCommand(c *cli) *cobra.Command {
	opts := formatOptions{block: 4 << 20, log: logLimits{memory: defaultLogMemory}}
	cmd := &cobra.Command{
		Use:   "format META NAME --bucket BUCKET",
		Short: "Make a volume: its metadata in Redis, its data in a bucket",
		Long: `format makes the volume NAME with its metadata at META and its data in BUCKET,
which is made if it does not exist. It writes, reads and deletes an object there
first, and claims the bucket for the volume, so that no second volume can be
formatted into it. It looks at the settings of Redis: one that evicts keys is
refused, one without an append-only file is warned about.`,
		Example: `  mirrorfs format local:/var/lib/mirrorfs/meta photos --bucket file:///var/lib/mirrorfs/data
  mirrorfs format redis://10.0.0.5/0 models --bucket "s3://models/v1?region=eu-central-1"
  mirrorfs format redis://10.0.0.5/0 lab --bucket "s3://lab?endpoint=http://10.0.0.9:9000&path_style=true" --block-size 1MiB
  mirrorfs format redis://10.0.0.5/0 hz --bucket "oss://models/v1?region=cn-hangzhou&internal=true"
  mirrorfs format redis://10.0.0.5/0 gz --bucket "cos://models-1250000000/v1?region=ap-guangzhou"`,
		Args: exactArgs("META", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.format(cmd.Context(), args[0], args[1], opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.bucket, "bucket", "", "data address: file:///dir, s3://bucket/prefix?endpoint=..., oss://bucket?region=..., cos://bucket-appid?region=... (required)")
	f.StringVar(&opts.site, "site", "source", "name of this site")
	f.Var(&opts.block, "block-size", "size of a full block, a power of two from 64KiB to 64MiB")
	f.StringVar(&opts.compress, "compress", "none", "compression of blocks; only none in this version")
	f.DurationVar(&opts.trash, "trash", 24*time.Hour, "how long what was deleted is kept")
	f.DurationVar(&opts.grace, "grace", reclaim.DefaultGrace, "how long freed blocks are kept beyond that, for those who are reading them")
	f.DurationVar(&opts.log.keep, "log-keep", defaultLogKeep, "how long the log is kept in segments in the bucket: so long may a mirror be away, and so far back reaches restore (0: none are kept)")
	f.Var(&opts.log.memory, "log-memory", "how much of Redis's memory the log may take before records that are in segments leave it although a mirror lacks them (0: no limit)")
	return cmd
}

// formatResult is what format prints.
type formatResult struct {
	Volume   meta.Volume `json:"volume"`
	Warnings []string    `json:"warnings,omitempty"`
}

func (c *cli) format(ctx context.Context, addr, name string, opts formatOptions) error {
	v, err := newVolume(name, opts)
	if err != nil {
		return err
	}
	store, err := c.openProbed(ctx, opts.bucket)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	warnings, err := c.checkAddress(ctx, addr, name)
	if err != nil {
		return err
	}
	if err := probeBucket(ctx, store); err != nil {
		return err
	}
	release, err := claimBucket(ctx, store, v, opts.site)
	if err != nil {
		return err
	}
	e, err := redis.Format(ctx, addr, v, redis.Options{Password: c.getenv(envMetaPassword), Logger: c.log})
	if err != nil {
		return errors.Join(explainFormat(err, addr, name), release(context.WithoutCancel(ctx)))
	}
	if err := e.Close(); err != nil {
		return err
	}
	return c.print(formatResult{Volume: v, Warnings: warnings}, func(w io.Writer) {
		fmt.Fprintf(w, "formatted volume %s: metadata at %s, data at %s\n", name, redis.Redact(addr), store)
		fmt.Fprintf(w, "mount it with: mirrorfs mount %s DIR\n", redis.Redact(addr))
	})
}

// newVolume checks what the user wants and makes the volume's settings.
func newVolume(name string, opts formatOptions) (meta.Volume, error) {
	var none meta.Volume
	if err := validName("volume", name); err != nil {
		return none, err
	}
	if err := validName("site", opts.site); err != nil {
		return none, err
	}
	if opts.bucket == "" {
		return none, usagef("--bucket is missing: where the data goes, for example --bucket file:///var/lib/mirrorfs/data")
	}
	if strings.HasPrefix(opts.bucket, "mem:") {
		return none, usagef("--bucket %s: what is in memory is gone when this command ends; use file:///dir", opts.bucket)
	}
	if opts.compress != "none" {
		return none, usagef("--compress %s: this version stores blocks as they are; only none is possible", opts.compress)
	}
	if err := (chunk.Options{BlockBytes: int(opts.block)}).Validate(); err != nil || opts.block == 0 {
		return none, usagef("--block-size %s: want a power of two from 64KiB to 64MiB", &opts.block)
	}
	if opts.trash < 0 {
		return none, usagef("--trash %v: want a time of 0 or more", opts.trash)
	}
	if opts.grace <= 0 {
		return none, usagef("--grace %v: want a time of more than 0", opts.grace)
	}
	if err := opts.log.validate(); err != nil {
		return none, err
	}
	return meta.Volume{
		Name: name, ID: rand.Text(), BlockBytes: int(opts.block), Compress: opts.compress, Trash: opts.trash, Grace: opts.grace,
		LogKeep: opts.log.keep, LogBytes: int64(opts.log.memory),
		Created: time.Now().UTC().Truncate(time.Second),
		Sites:   map[uint8]meta.Site{firstSite: {ID: firstSite, Name: opts.site, Bucket: opts.bucket}},
	}, nil
}

// validName refuses what could not be part of keys, paths and lists of mounts.
func validName(what, name string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`).MatchString(name) {
		return usagef("%s name %q: want 1 to 63 letters, digits, - _ and ., beginning with a letter or digit", what, name)
	}
	return nil
}

// checkAddress looks whether metadata would be safe at an address, before anything
// is written anywhere. A volume of that name there is an error.
func (c *cli) checkAddress(ctx context.Context, addr, name string) (_ []string, err error) {
	e, err := redis.OpenReplica(ctx, addr, name, redis.Options{Password: c.getenv(envMetaPassword), Logger: c.log})
	if err != nil {
		return nil, explainMeta(err, addr, envMetaPassword)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	_, err = e.State(ctx)
	switch {
	case err == nil:
		return nil, explainFormat(fmt.Errorf("%w: %s at %s", meta.ErrVolumeExists, name, e.Address()), addr, name)
	case !errors.Is(err, meta.ErrNoVolume):
		return nil, explainMeta(err, addr, envMetaPassword)
	}
	return c.checkServer(ctx, e)
}

func explainFormat(err error, addr, name string) error {
	if errors.Is(err, meta.ErrVolumeExists) {
		return hintf(err, "another NAME, another META, or mirrorfs mount %s DIR to use volume %s", redis.Redact(addr), name)
	}
	return explainMeta(err, addr, envMetaPassword)
}

// probeBucket makes the bucket if it can, and finds out whether it can be used.
func probeBucket(ctx context.Context, s object.Store) error {
	if creator, ok := object.As[object.Creator](s); ok {
		if err := creator.Create(ctx); err != nil {
			return hintf(fmt.Errorf("make bucket %s: %w", s, err), "%s", bucket.Advice(err))
		}
	}
	if err := object.Probe(ctx, s); err != nil {
		return hintf(err, "%s", bucket.Advice(err))
	}
	return nil
}

// claimKey names the object that says which volume a bucket belongs to.
const claimKey = "volume.json"

// bucketClaim is what is in a bucket's object claimKey.
type bucketClaim struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Site    string    `json:"site"`
}

// claimBucket writes down that a bucket is that of a volume's site, or fails when it is
// another's: the blocks of two volumes would have the same names, and two sites are to
// have a copy each. release undoes it.
func claimBucket(ctx context.Context, s object.Store, v meta.Volume, site string) (release func(context.Context) error, err error) {
	mine := bucketClaim{v.Name, v.ID, v.Created, site}
	claim, err := json.Marshal(mine)
	if err != nil {
		return nil, err
	}
	err = s.PutIfAbsent(ctx, claimKey, claim)
	if errors.Is(err, object.ErrExist) {
		return func(context.Context) error { return nil }, sameClaim(ctx, s, &mine)
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", s, err)
	}
	return func(ctx context.Context) error { return s.Delete(ctx, claimKey) }, nil
}

// sameClaim refuses a bucket that somebody else has claimed.
func sameClaim(ctx context.Context, s object.Store, mine *bucketClaim) error {
	r, err := s.Get(ctx, claimKey, 0, -1)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", s, err)
	}
	var held bucketClaim
	err = json.NewDecoder(r).Decode(&held)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("bucket %s, %s: %w", s, claimKey, err)
	}
	switch {
	case held.ID != mine.ID:
		return hintf(fmt.Errorf("bucket %s belongs to another volume (it has an object %s)", s, claimKey),
			"another bucket, or a prefix in it: s3://bucket/prefix, file:///dir/prefix")
	case held.Site != mine.Site:
		return hintf(fmt.Errorf("bucket %s is that of site %s of this volume", s, held.Site),
			"each site needs a bucket of its own: another bucket, or a prefix in it")
	}
	return nil
}
