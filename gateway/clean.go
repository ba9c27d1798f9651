package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"mirrorfs/meta"
)

// endedPrefix begins the names of uploads that are over, beside the bodies that are coming in.
const endedPrefix = "ended-"

// cleaners is how many files are removed at a time.
const cleaners = 8

// Run removes what was left behind, now and then, until ctx ends: parts of uploads that are over at once,
// bodies and uploads that nobody goes on with when they are old. Several gateways may do so.
func (g *Gateway) Run(ctx context.Context) error {
	tick := time.NewTicker(g.opts.CleanInterval)
	defer tick.Stop()
	for {
		if err := g.Clean(ctx); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "cleaning up failed", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-g.kick:
		case <-tick.C:
		}
	}
}

// wake has Run look at once.
func (g *Gateway) wake() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// Clean looks once.
func (g *Gateway) Clean(ctx context.Context) error {
	now := g.opts.Now()
	err := g.eachUpload(ctx, func(u *upload) error {
		if now.Sub(u.Started) < g.opts.UploadAge {
			return nil
		}
		g.log.InfoContext(ctx, "removing an old upload", slog.String("bucket", u.Bucket), slog.String("key", u.Key), slog.Time("started", u.Started))
		if err := g.end(ctx, u); KindOf(err) != NoSuchUpload {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	tmp, err := g.tmp.look(ctx, g)
	if err != nil || tmp == 0 {
		return err
	}
	old := now.Add(-g.opts.TempAge).UnixNano()
	err = g.each(ctx, tmp, func(e *meta.Entry) error {
		switch {
		case e.Node.Attr.IsDir() && strings.HasPrefix(e.Name, endedPrefix):
			return g.removeTree(ctx, tmp, e)
		case e.Node.Attr.IsFile() && e.Node.Attr.Mtime < old:
			return g.fs.Unlink(ctx, meta.Unlink{Parent: tmp, Name: e.Name})
		}
		return nil
	})
	if errors.Is(err, syscall.ENOENT) {
		g.tmp.lost()
		return nil
	}
	return err
}

// removeTree removes a directory of files.
func (g *Gateway) removeTree(ctx context.Context, parent meta.Ino, d *meta.Entry) error {
	err := g.each(ctx, d.Node.Ino, func(e *meta.Entry) error {
		return g.fs.Unlink(ctx, meta.Unlink{Parent: d.Node.Ino, Name: e.Name})
	})
	if err != nil {
		return err
	}
	return g.fs.Rmdir(ctx, meta.Rmdir{Parent: parent, Name: d.Name})
}

// each calls f for the names of a directory, several at a time. That one is gone already is no error.
func (g *Gateway) each(ctx context.Context, dir meta.Ino, f func(*meta.Entry) error) error {
	for after := ""; ; {
		page, err := g.fs.ReadDir(ctx, dir, after, meta.MaxPageEntries)
		if err != nil {
			return err
		}
		var group errgroup.Group
		group.SetLimit(cleaners)
		for i := range page.Entries {
			e := &page.Entries[i]
			after = e.Name
			group.Go(func() error {
				if err := f(e); !errors.Is(err, syscall.ENOENT) {
					return err
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil || !page.More {
			return err
		}
	}
}
