package vfs

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// Position gives the position from which on everything is visible, at any site, that was
// read through this FS before, or changed and acknowledged: by a flush, fsync or close where
// data is concerned. Whoever waits for it (WaitFor, here or at another client) sees all of that, or
// what came later. At the source it is one round trip, at a mirror usually none.
func (fs *FS) Position(ctx context.Context) (meta.Position, error) {
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	if f, ok := fs.engine.(meta.Follower); ok {
		return f.Seen(ctx)
	}
	s, err := fs.engine.State(ctx)
	return s.Position, err
}

// LastChange gives the position of the latest change that was made through this FS, zero when
// there was none: enough for who wants others to see what it wrote. No round trip.
func (fs *FS) LastChange() meta.Position {
	if at := fs.changed.Load(); at != nil {
		return *at
	}
	return meta.Position{}
}

// noteChange notes the position of a change, which is zero when there was nothing to do.
func (fs *FS) noteChange(at meta.Position) {
	for {
		old := fs.changed.Load()
		if old != nil && !old.Before(at) || old == nil && at.IsZero() || fs.changed.CompareAndSwap(old, &at) {
			return
		}
	}
}

// Pauses between looks at where the metadata stands.
const (
	waitPauseMin = 2 * time.Millisecond
	waitPauseMax = 50 * time.Millisecond
)

// WaitFor returns when whatever is asked of this FS afterwards is answered as of a position
// or a later one: names, attributes, what is opened then and what is listed from its start.
// It ends with the context, and after Options.MetaTimeout when that has no deadline: ETIMEDOUT,
// or EINTR when the caller gave up. ESTALE when the position was lost with a source that another
// site took the place of.
func (fs *FS) WaitFor(ctx context.Context, at meta.Position) error {
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	if err := fs.reach(ctx, at); err != nil {
		return err
	}
	fs.waitedAt.Store(fs.now())
	s, err := fs.engine.State(ctx)
	if err != nil || s.Position.Epoch <= at.Epoch {
		return err
	}
	v, err := fs.engine.Volume(ctx)
	if err == nil && meta.Lost(v.Promotions, at) {
		return refuse("wait", 0, "", fmt.Errorf("%s was lost in a promotion: %w", at, syscall.ESTALE))
	}
	return err
}

// reach waits until the engine answers as of a position.
func (fs *FS) reach(ctx context.Context, at meta.Position) error {
	if f, ok := fs.engine.(meta.Follower); ok {
		return f.Reach(ctx, at)
	}
	for wait := waitPauseMin; ; wait = min(2*wait, waitPauseMax) {
		s, err := fs.engine.State(ctx)
		if err == nil && !s.Position.Before(at) {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		if !pause(ctx, wait) {
			return meta.NotReached(ctx, at)
		}
	}
}

// fresh is the time (ns) before which nothing that is remembered may be told where exact
// answers are not promised: Options.AttrAge ago, or when the last wait for a position ended.
func (fs *FS) fresh() int64 { return max(fs.now()-int64(fs.opts.AttrAge), fs.waitedAt.Load()) }
