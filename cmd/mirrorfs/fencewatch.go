package main

import (
	"context"
	"log/slog"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror"
)

// fenceInterval is how often a mount of a source looks whether that is still one.
const fenceInterval = 10 * time.Second

// watchFence tells, when the site of a mount is not the source any more, which one is and what is to be
// done: programs only see that their changes fail. Mounts of mirrors follow by themselves.
func (c *cli) watchFence(ctx context.Context, v *volume, interval time.Duration) {
	if v.Mirror {
		return
	}
	if interval == 0 || interval > fenceInterval {
		interval = fenceInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	told := meta.RoleSource
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s, err := v.near.State(ctx)
		if err != nil || s.Role == told {
			continue
		}
		told = s.Role
		switch at, err := mirror.Where(ctx, v.near); {
		case s.Role == meta.RoleSource:
			c.log.InfoContext(ctx, "this site is the source again: changes are taken")
		case err != nil:
			c.log.ErrorContext(ctx, "this site is not the source of its volume any more: changes fail with EROFS", slog.Any("error", err))
		default:
			c.log.ErrorContext(ctx, "this site is not the source of its volume any more: changes fail with EROFS, reads go on",
				slog.String("site", sourceName(ctx, v)), slog.String("address", at.Address),
				slog.String("do", "run mirrorfs mirror rejoin for this site if it is not a mirror yet, then unmount and mount again"))
		}
	}
}

// sourceName is the name of the site that took over, as far as this one knows.
func sourceName(ctx context.Context, v *volume) string {
	if _, f, err := mirror.FenceOf(ctx, v.near); err == nil && f.Name != "" {
		return f.Name
	}
	info, err := mirror.Of(ctx, v.near) // it is a mirror by now
	if err != nil {
		return ""
	}
	settings, err := v.near.Volume(ctx)
	if err != nil {
		return ""
	}
	return settings.Sites[info.SourceSite].Name
}
