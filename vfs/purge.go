package vfs

import (
	"context"
	"errors"
	"syscall"
	"time"

	"mirrorfs/meta"
)

const (
	// purgeBatch is how many orphans are asked for at once.
	purgeBatch = 256
	// maxPurged is how many are purged in one go at most.
	maxPurged = 4096
	// sessionGrace is how long after its last heartbeat ran out a session is
	// ended by others: long enough for a client that was cut off to come back and
	// find its kept replies.
	sessionGrace = 10 * time.Minute
)

// purge ends dead sessions and removes orphans whose time is up. Several
// clients may do so at once: each orphan goes once.
func (fs *FS) purge(ctx context.Context, purger meta.Purger) error {
	if err := fs.endSessions(ctx, purger); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fs.opts.PurgeInterval+fs.opts.MetaTimeout)
	defer cancel()
	v, err := fs.engine.Volume(ctx)
	if err != nil {
		return err
	}
	before := fs.opts.Now().Add(-max(v.Trash, 2*meta.HeartbeatInterval))
	var after meta.Orphan
	for purged := 0; purged < maxPurged; {
		orphans, err := purger.Orphans(ctx, after, before, purgeBatch)
		if err != nil || len(orphans) == 0 {
			return err
		}
		gone := 0
		for _, o := range orphans {
			_, err := fs.send(ctx, meta.Purge{Orphan: o})
			switch {
			case err == nil, errors.Is(err, syscall.ENOENT):
				gone++
			case !errors.Is(err, syscall.EBUSY):
				return err
			}
		}
		purged += gone
		after = orphans[len(orphans)-1]
	}
	return nil
}

// endSessions ends the sessions of clients that are gone for good.
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
	return nil
}
