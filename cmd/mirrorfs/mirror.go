package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

func newMirrorCommand(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "mirror",
		Short: "Set up, run and watch the mirrors of a volume",
		Long: `A mirror carries a volume's metadata to another site, whose clients read it there
and send their changes to the source. add registers it, run carries, status
and wait tell how far it is, set changes what it follows and how it holds data, verify
compares it with its source, repair mends it, remove ends it. switch and promote make a
mirror the source, rejoin makes an old source a mirror.`,
		Example: `  mirrorfs mirror add redis://redis.a.example/0 redis://redis.b.example/0 --site b
  mirrorfs mirror run redis://redis.b.example/0
  mirrorfs mirror status redis://redis.b.example/0`,
	})
	cmd.AddCommand(
		newMirrorAddCommand(c),
		newMirrorRunCommand(c),
		newMirrorRelayCommand(c),
		newMirrorStatusCommand(c),
		newMirrorWaitCommand(c),
		newMirrorPromoteCommand(c),
		newMirrorSwitchCommand(c),
		newMirrorRejoinCommand(c),
		newMirrorSetCommand(c),
		newMirrorVerifyCommand(c),
		newMirrorRepairCommand(c),
		newMirrorRemoveCommand(c),
	)
	return cmd
}

func newMirrorAddCommand(c *cli) *cobra.Command {
	var opts mirror.AddOptions
	feed := feedOptions{timeout: feedTimeout}
	cmd := &cobra.Command{
		Use:   "add SOURCE_META MIRROR_META --site NAME",
		Short: "Register a mirror at the source and prepare its metadata",
		Long: `add registers a mirror of the volume at SOURCE_META, whose log is kept for it from
then on, and prepares MIRROR_META, a Redis that holds no volume of that name yet. Give
SOURCE_META as the mirror's site reaches it: its runner and clients use that
address. It can be repeated. mirror run then carries the metadata.

--data says which data the mirror holds:

  demand  none: clients read from the source's bucket, and cache what they read
  keep    what was read is kept in --bucket: it crosses the link once for all clients
  full    everything is copied into --bucket, or what is below --subtree; what is
          written at the mirror goes there too, and is copied to the source's bucket

The clients and runners of both sites must reach both buckets, by the same addresses.

--feed names another mirror of the volume that is nearer than the source: metadata is
copied and followed from there, and blocks are read from that mirror's bucket before the
source's. Changes still go to the source. add waits until that mirror has heard of the
new one, for --timeout.`,
		Example: `  mirrorfs mirror add redis://redis.a.example/0 redis://redis.b.example/0 --site b
  mirrorfs mirror add redis://redis.a.example/0 redis://redis.b.example/0 --site b --data full --bucket "s3://models-b?region=us-east-1&profile=b"
  mirrorfs mirror add redis://redis.a.example/0 redis://redis.c.example/0 --site c --feed redis://redis.b.example/0`,
		Args: exactArgs("SOURCE_META", "MIRROR_META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.Name == "" {
				return usagef("%s: --site NAME is missing", cmd.CommandPath())
			}
			if err := errors.Join(opts.Validate(), checkRelay(opts.Relay, args[0])); err != nil {
				return &usageError{err}
			}
			return c.mirrorAdd(cmd.Context(), args[0], args[1], opts, feed)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Name, "site", "", "name of the mirror's site")
	f.StringVar(&opts.Mode, "data", mirror.ModeDemand, "which data the mirror holds: demand, keep or full")
	f.StringVar(&opts.Bucket, "bucket", "", "the mirror's own bucket, for keep and full")
	f.StringVar(&opts.Subtree, "subtree", "", "with full: copy only data below this directory of the volume (metadata is always whole)")
	f.StringVar(&opts.Relay, "relay", "", "address of a relay (mirror relay) that leads to the source, host:port or tls://host:port")
	f.StringVar(&feed.address, "feed", "", "metadata address of another mirror, as this one reaches it, to follow instead of the source")
	f.DurationVar(&feed.timeout, "timeout", feed.timeout, "with --feed: longest wait for that mirror")
	return cmd
}

func (c *cli) mirrorAdd(ctx context.Context, sourceAddr, mirrorAddr string, opts mirror.AddOptions, feed feedOptions) (err error) {
	source, err := c.openSource(ctx, sourceAddr, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	v, err := source.Volume(ctx)
	if err != nil {
		return explainMeta(err, sourceAddr, envSourcePassword)
	}
	site, err := redis.OpenReplica(ctx, mirrorAddr, v.Name, redis.Options{Password: c.getenv(envMetaPassword), Logger: c.log})
	if err != nil {
		return explainMeta(err, mirrorAddr, envMetaPassword)
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	if _, err := c.checkServer(ctx, site); err != nil {
		return err
	}
	opts.SourceAddress = sourceAddr
	release, err := c.bucketFor(ctx, opts.Bucket, v, opts.Name)
	if err != nil {
		return err
	}
	closeFeeder, err := c.openFeeder(ctx, feed.address, &opts.Feeder)
	if err != nil {
		return errors.Join(err, release(context.WithoutCancel(ctx)))
	}
	defer func() { err = errors.Join(err, closeFeeder()) }()
	opts.FeedAddress = feed.address
	waiting, cancel := context.WithTimeout(ctx, feed.timeout)
	defer cancel()
	info, err := mirror.Add(waiting, source, site, opts)
	if err != nil {
		return errors.Join(err, release(context.WithoutCancel(ctx)))
	}
	return c.print(info, func(w io.Writer) {
		fmt.Fprintf(w, "added mirror %s (site %d) of volume %s, source %s, data mode %s\n", info.Name, info.Site, v.Name, info.Source, info.Mode)
		if info.Feed != "" {
			fmt.Fprintf(w, "it follows the mirror at %s\n", info.Feed)
		}
		fmt.Fprintf(w, "run it with: mirrorfs mirror run %s\n", redis.Redact(mirrorAddr))
	})
}

func newMirrorRemoveCommand(c *cli) *cobra.Command {
	timeout, site := drainTimeout, ""
	cmd := &cobra.Command{
		Use:   "remove MIRROR_META",
		Short: "End a mirror: the source keeps its log for it no longer",
		Long: `remove makes the source forget the mirror at MIRROR_META, so that its log can be
trimmed. What the mirror holds stays readable and changes no more; mirror add makes
a new copy. It can be repeated. The source must answer. Unmount the mirror's mounts
first. Of a mirror in data mode full it waits, for --timeout, until everything that
was written there is in the source's bucket: its runner must be running.

With --site it ends a site that shares the source's META and has a bucket of its own
(mount --near-bucket); give the source's META.`,
		Example: "  mirrorfs mirror remove redis://redis.b.example/0",
		Args:    exactArgs("MIRROR_META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if site != "" {
				return c.nearRemove(cmd.Context(), args[0], site, timeout)
			}
			return c.mirrorRemove(cmd.Context(), args[0], timeout)
		},
	}
	cmd.Flags().StringVar(&site, "site", "", "name of a site that shares the source's META")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "longest wait for data that is being copied")
	return cmd
}

func (c *cli) mirrorRemove(ctx context.Context, addr string, timeout time.Duration) (err error) {
	site, source, err := c.openMirrorAndSource(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close(), source.Close()) }()
	draining, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	info, err := mirror.Remove(draining, source, site)
	if err != nil {
		return explainDrain(err, addr)
	}
	return c.print(info, func(w io.Writer) {
		fmt.Fprintf(w, "removed mirror %s (site %d); stop its runner and mounts\n", info.Name, info.Site)
	})
}

// openMirror opens the metadata of a mirror, and tells of which.
func (c *cli) openMirror(ctx context.Context, addr string, reg prometheus.Registerer) (*redis.Engine, mirror.Info, error) {
	site, err := c.openMeta(ctx, addr, reg)
	if err != nil {
		return nil, mirror.Info{}, err
	}
	info, err := mirror.Of(ctx, site)
	if errors.Is(err, mirror.ErrNotMirror) {
		err = hintf(err, "give the metadata address of a mirror; mirrorfs mirror add SOURCE_META %s --site NAME makes one", redis.Redact(addr))
	}
	if err != nil {
		return nil, mirror.Info{}, errors.Join(err, site.Close())
	}
	return site, info, nil
}

// openMirrorAndSource opens a mirror's metadata and, over the link, its source's.
func (c *cli) openMirrorAndSource(ctx context.Context, addr string) (site, source *redis.Engine, err error) {
	site, info, err := c.openMirror(ctx, addr, nil)
	if err != nil {
		return nil, nil, err
	}
	source, err = c.openSource(ctx, info.Source, sourceTimeout)
	if err != nil {
		return nil, nil, errors.Join(err, site.Close())
	}
	return site, source, nil
}

// sourceTimeout bounds what a command asks of a mirror's source.
const sourceTimeout = 10 * time.Second
