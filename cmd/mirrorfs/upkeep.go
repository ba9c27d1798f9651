package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	upkeepInterval = time.Minute
	// upkeepTimeout bounds one trim of a log.
	upkeepTimeout = 30 * time.Second
	// keptRecords is how much of its log a source keeps beyond what its mirrors
	// need: for a mirror that is added by hand from an old state, and for people
	// who look. About 200 bytes each.
	keptRecords = 10_000
)

// upkeep keeps the log of a source short until ctx ends: it archives records and removes
// those that are not needed. Every client of the source does it, for a volume without a
// mirror has no runner that could; several at once are harmless, and a failure is tried
// again. At a mirror it does nothing.
func (c *cli) upkeep(ctx context.Context, v *volume, interval time.Duration, reg prometheus.Registerer) {
	k := &logKeeper{c: c, engine: v.near, reg: reg}
	defer func() { c.warn(ctx, k.close()) }()
	if interval == 0 {
		interval = upkeepInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := k.round(ctx, keptRecords); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "the log was not archived or trimmed", slog.Any("error", err))
		}
	}
}
