package main

import (
	"context"
	"log/slog"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
)

const (
	upkeepInterval = time.Minute
	// upkeepTimeout bounds one round of upkeep.
	upkeepTimeout = 30 * time.Second
	// keptRecords is how much of its log a source keeps beyond what its mirrors
	// need: for a mirror that is added by hand from an old state, and for people
	// who look. About 200 bytes each.
	keptRecords = 10_000
)

// upkeep keeps the log of a source short until ctx ends. Every client of the source
// does it, for a volume without a mirror has no runner that could; several at
// once are harmless, and a failure is tried again. At a mirror it does nothing.
func (c *cli) upkeep(ctx context.Context, v *volume) {
	tick := time.NewTicker(upkeepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := trimSource(ctx, v.near, keptRecords); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "the log was not trimmed", slog.Any("error", err))
		}
	}
}

// trimSource removes records that no mirror needs, but for the last keep.
func trimSource(ctx context.Context, e *redis.Engine, keep int) error {
	ctx, cancel := context.WithTimeout(ctx, upkeepTimeout)
	defer cancel()
	state, err := e.State(ctx)
	if err != nil || state.Role != meta.RoleSource {
		return err
	}
	_, err = e.TrimLog(ctx, keep)
	return err
}
