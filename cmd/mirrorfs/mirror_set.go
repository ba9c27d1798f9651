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
	"mirrorfs/mirror"
)

// drainTimeout is how long commands wait for data that is being copied.
const drainTimeout = 5 * time.Minute

// mirrorSetOptions are the flags of mirror set.
type mirrorSetOptions struct {
	mode, bucket, subtree string
	source, relay, feed   string
	bandwidth             byteSize
	timeout               time.Duration
}

func newMirrorSetCommand(c *cli) *cobra.Command {
	opts := mirrorSetOptions{timeout: drainTimeout}
	cmd := &cobra.Command{
		Use:   "set MIRROR_META",
		Short: "Change which data a mirror holds, or what it follows",
		Long: `set changes the data mode of the mirror at MIRROR_META, the subtree that it copies, or
how fast. What is not given stays. The mirror's runner takes it up by itself and copies
what is missing; mounts take it up when they are mounted again.

From full to another mode it waits, for --timeout, until everything that was written
at the mirror is in the source's bucket: the runner must be running. The mirror's
bucket stays registered, and what mounts still write there is copied.

--source points the mirror to another address of its source, or to the site that was
promoted in its place. Its runner and its mounts go there by themselves.

--feed lets the mirror follow another mirror that is nearer than the source, or, with
none, the source again: when the other one is gone, say. Its runner takes that up by
itself and copies nothing anew. It waits until the other mirror has heard of it.

--relay lets the runner reach the source through a relay, which compresses (see mirror
relay). When that does not answer it goes to the source directly.`,
		Example: `  mirrorfs mirror set redis://redis.b.example/0 --data full --bucket "s3://models-b?region=us-east-1"
  mirrorfs mirror set redis://redis.b.example/0 --bandwidth 100MiB
  mirrorfs mirror set redis://redis.b.example/0 --data demand
  mirrorfs mirror set redis://redis.c.example/0 --source redis://redis.b.example/0
  mirrorfs mirror set redis://redis.c.example/0 --feed none`,
		Args: exactArgs("MIRROR_META"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.mirrorSetAll(cmd, args[0], opts) },
	}
	f := cmd.Flags()
	f.StringVar(&opts.source, "source", "", "metadata address of the source, as the mirror's site reaches it")
	f.StringVar(&opts.relay, "relay", "", "address of a relay (mirror relay) that leads to the source, host:port or tls://host:port, or none")
	f.StringVar(&opts.feed, "feed", "", "metadata address of another mirror, as this one reaches it, to follow; none is the source")
	f.StringVar(&opts.mode, "data", "", "which data the mirror holds: demand, keep or full")
	f.StringVar(&opts.bucket, "bucket", "", "the mirror's own bucket, if it has none yet")
	f.StringVar(&opts.subtree, "subtree", "", "with full: copy only data below this directory; empty is everything")
	f.Var(&opts.bandwidth, "bandwidth", "most bytes of data a second that the runner copies; 0 is no limit")
	f.DurationVar(&opts.timeout, "timeout", opts.timeout, "longest wait for data that is being copied, and for --feed")
	return cmd
}

// mirrorSetAll sets what was given.
func (c *cli) mirrorSetAll(cmd *cobra.Command, addr string, opts mirrorSetOptions) error {
	ctx, given := cmd.Context(), cmd.Flags().Changed
	set := mirror.SetOptions{Mode: opts.mode, Bucket: opts.bucket}
	if given("subtree") {
		set.Subtree = &opts.subtree
	}
	if given("bandwidth") {
		bandwidth := int64(opts.bandwidth)
		set.Bandwidth = &bandwidth
	}
	if given("relay") {
		if opts.relay == noAddress {
			opts.relay = ""
		}
		set.Relay = &opts.relay
	}
	if opts.source != "" {
		if err := c.mirrorSetSource(ctx, addr, opts.source); err != nil {
			return err
		}
	}
	if opts.feed != "" {
		if err := c.mirrorSetFeed(ctx, addr, feedOptions{address: opts.feed, timeout: opts.timeout}); err != nil {
			return err
		}
	}
	switch {
	case set != (mirror.SetOptions{}):
		return c.mirrorSet(ctx, addr, set, opts.timeout)
	case opts.source == "" && opts.feed == "":
		return usagef("%s: nothing to set: give --data, --bucket, --subtree, --bandwidth, --relay, --source or --feed", cmd.CommandPath())
	}
	return nil
}

func (c *cli) mirrorSet(ctx context.Context, addr string, opts mirror.SetOptions, timeout time.Duration) (err error) {
	site, source, err := c.openMirrorAndSource(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close(), source.Close()) }()
	before, err := mirror.Of(ctx, site)
	if err != nil {
		return err
	}
	v, err := source.Volume(ctx)
	if err != nil {
		return err
	}
	release, err := c.bucketFor(ctx, opts.Bucket, v, before.Name)
	if err != nil {
		return err
	}
	draining, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if opts.Relay != nil {
		if err := checkRelay(*opts.Relay, before.Source); err != nil {
			return errors.Join(&usageError{err}, release(context.WithoutCancel(ctx)))
		}
	}
	info, err := mirror.Set(draining, source, site, opts)
	if err != nil {
		return errors.Join(explainDrain(err, addr), release(context.WithoutCancel(ctx)))
	}
	return c.print(info, func(w io.Writer) {
		fmt.Fprintf(w, "mirror %s: data mode %s", info.Name, info.Mode)
		if info.Subtree != "" {
			fmt.Fprintf(w, " of %s", info.Subtree)
		}
		fmt.Fprintln(w)
		if info.Mode != before.Mode {
			fmt.Fprintln(w, "mounts of the mirror take that up when they are mounted again")
		}
	})
}

// bucketFor takes a bucket for a mirror, if one is given.
func (c *cli) bucketFor(ctx context.Context, addr string, v meta.Volume, site string) (release func(context.Context) error, err error) {
	if addr == "" {
		return func(context.Context) error { return nil }, nil
	}
	return c.takeBucket(ctx, addr, v, site)
}

// explainDrain says what to do when data is only at a mirror.
func explainDrain(err error, addr string) error {
	if errors.Is(err, mirror.ErrNotCopiedBack) {
		return hintf(err, "mirrorfs mirror run %s copies it; --timeout waits longer", redis.Redact(addr))
	}
	return err
}
