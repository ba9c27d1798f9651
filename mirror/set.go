package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mirrorfs/meta"
	"mirrorfs/mirror/replicate"
)

// SetOptions say what is to change; what is nil or empty stays.
type SetOptions struct {
	Mode string
	// Bucket is for a mirror that has none yet. As of Add, the caller has looked at it.
	Bucket    string
	Subtree   *string
	Relay     *string // leads to the source; empty is none
	Bandwidth *int64  // bytes a second; 0 is no limit
}

// Set changes how a mirror holds data. Its runner takes that up by itself, mounts when
// they are mounted again. A mirror that leaves ModeFull keeps its bucket registered,
// for what was written to it is read there, and by mounts that know nothing of the change
// is written there still. Before, Set waits until the source's bucket has everything
// that was written here; when ctx ends first, nothing has changed.
func Set(ctx context.Context, source, site Site, opts SetOptions) (Info, error) {
	info, err := Of(ctx, site)
	if err != nil {
		return info, err
	}
	if info.Removed {
		return info, ErrRemoved
	}
	v, err := source.Volume(ctx)
	if err != nil {
		return info, fmt.Errorf("source: %w", err)
	}
	own, ok := v.Sites[info.Site]
	if v.ID != info.VolumeID || !ok || own.Name != info.Name {
		return info, ErrRemoved
	}
	next, bucket, err := opts.apply(info, own.Bucket)
	if err != nil {
		return info, err
	}
	if info.Mode == ModeFull && next.Mode != ModeFull {
		if err := copiedBack(ctx, source, site, &info); err != nil {
			return info, err
		}
	}
	if err := freeBucket(&v, info.Name, bucket); err != nil {
		return info, err
	}
	own.Bucket = bucket
	if err := setSite(ctx, source, v, own); err != nil {
		return info, err
	}
	if err := setLocal(ctx, site, localInfo, next); err != nil {
		return info, fmt.Errorf("mirror: %w", err)
	}
	return next, nil
}

// apply gives what a mirror is to be, and its bucket.
func (o *SetOptions) apply(info Info, bucket string) (Info, string, error) {
	if o.Bucket != "" && bucket != "" && o.Bucket != bucket {
		return info, "", fmt.Errorf("the mirror has a bucket, %s, which may hold data that is nowhere else: remove the mirror and add it with the other one", bucket)
	}
	if o.Mode != "" {
		info.Mode = o.Mode
	}
	if o.Bandwidth != nil {
		info.Bandwidth = *o.Bandwidth
	}
	if o.Relay != nil {
		info.Relay = *o.Relay
	}
	if info.Mode != ModeFull {
		info.Subtree = ""
	}
	if o.Subtree != nil {
		info.Subtree = *o.Subtree
	}
	if o.Bucket != "" {
		bucket = o.Bucket
	}
	used := bucket
	if !needsBucket(info.Mode) {
		used = o.Bucket // the old one may stay, another is a mistake
	}
	if info.Subtree != "" && !strings.HasPrefix(info.Subtree, "/") {
		return info, "", fmt.Errorf("subtree %q: want a path in the volume that begins with /", info.Subtree)
	}
	return info, bucket, checkMode(info.Mode, used, info.Subtree)
}

// ErrNotCopiedBack says that data written at a mirror is not in the source's bucket yet.
var ErrNotCopiedBack = errors.New("data that was written at the mirror is not in the source's bucket yet")

// copiedBack waits until the source's bucket has all that was written at a mirror before
// the call.
func copiedBack(ctx context.Context, source meta.Source, site meta.Replica, info *Info) error {
	head, err := source.State(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	var s replicate.State
	for next := waitMin; ; next = min(next*3/2, waitMax) {
		local, err := site.Local(ctx)
		if err == nil {
			s, _, err = replicate.StateOf(local, factBack(info.Site))
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("mirror: %w", err)
		}
		if err == nil && !s.Position.Before(head.Position) {
			return nil
		}
		if pause(ctx, next) != nil {
			why := "is its runner running?"
			if s.Reason != "" {
				why = s.Reason
			}
			return fmt.Errorf("%w: copied to %s of %s, %d objects known to be missing; %s", ErrNotCopiedBack, s.Position, head.Position, s.PendingObjects, why)
		}
	}
}
