package vfs

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"time"

	"mirrorfs/meta"
	"mirrorfs/vfs/reclaim"
)

// sessionGrace is how long after its last heartbeat ran out a session is
// ended by others: long enough for a client that was cut off to come back and
// find its kept replies.
const sessionGrace = 10 * time.Minute

// sweepBatch is how many locks of ended sessions are removed at once.
const sweepBatch = 256

// reclaiming is what package reclaim asks of the metadata, under this client's session.
type reclaiming struct {
	meta.Engine
	meta.Purger
	meta.Reclaimer // nil when the engine has none: then only orphans are purged

	fs *FS
}

// Change implements reclaim.Meta.
func (m reclaiming) Change(ctx context.Context, c meta.Change) (meta.Result, error) {
	return m.fs.send(ctx, c)
}

// reclaim purges orphans whose time is up, and deletes the blocks of slices that
// nobody needs any more, as far as no other client is at it.
func (fs *FS) reclaim(ctx context.Context, purger meta.Purger, later *reclaim.Postponed) error {
	freed, ok := meta.AsReclaimer(fs.engine)
	later.Claims, _ = freed.(meta.Claims)
	r, err := reclaim.New(reclaim.Options{
		Meta: reclaiming{Engine: fs.engine, Purger: purger, Reclaimer: freed, fs: fs}, Blocks: fs.opts.Buckets,
		Yield: true, Postponed: later, Rate: fs.opts.ReclaimRate, Now: fs.opts.Now, Logger: fs.log,
	})
	if err != nil {
		return err
	}
	err = r.Orphans(ctx)
	if err == nil && ok && fs.opts.Buckets != nil {
		err = r.Freed(ctx)
	}
	did := r.Report()
	fs.metrics.purged.Add(float64(did.Orphans.Purged))
	fs.metrics.reclaimed.Add(float64(did.Freed.Deleted.Objects))
	fs.metrics.reclaimedBytes.Add(float64(did.Freed.Deleted.Bytes))
	if did.Orphans.Purged > 0 || did.Freed.Deleted.Objects > 0 {
		fs.log.DebugContext(ctx, "gave space back", slog.Int64("orphans", did.Orphans.Purged),
			slog.Int64("blocks", did.Freed.Deleted.Objects), slog.Int64("bytes", did.Freed.Deleted.Bytes))
	}
	return err
}

// reclaims calls reclaim until ctx ends, if the engine can tell what there is. The
// pauses differ, so that of many clients not all begin at once.
func (fs *FS) reclaims(ctx context.Context) {
	purger, ok := fs.engine.(meta.Purger)
	if !ok {
		return
	}
	later := &reclaim.Postponed{}
	for pause(ctx, fs.opts.PurgeInterval/2+rand.N(fs.opts.PurgeInterval)) {
		if fs.session.era.Load() == 0 {
			continue
		}
		if err := fs.reclaim(ctx, purger, later); err != nil && ctx.Err() == nil {
			fs.log.WarnContext(ctx, "space could not be given back", errAttr(err))
		}
	}
}

// endSessions ends the sessions of clients that are gone for good, and removes their locks.
func (fs *FS) endSessions(ctx context.Context, purger meta.Purger) error {
	ctx, cancel := context.WithTimeout(ctx, fs.opts.MetaTimeout)
	defer cancel()
	sessions, err := purger.Sessions(ctx)
	if err != nil {
		return err
	}
	limit := fs.opts.Now().Add(-sessionGrace)
	for _, s := range sessions {
		if s.Expires.After(limit) {
			continue
		}
		_, err := fs.send(ctx, meta.EndOtherSession{ID: s.ID})
		if err != nil && !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.ENOENT) {
			return err
		}
	}
	for {
		n, err := fs.engine.SweepLocks(ctx, sweepBatch)
		if err != nil || n < sweepBatch {
			return err
		}
	}
}
