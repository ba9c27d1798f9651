package mirror

import (
	"context"
	"errors"
	"fmt"

	"mirrorfs/meta"
)

// SetFeed makes a mirror follow the log of another one, at an address as this one reaches it, or
// the source's again when that is nil. Nothing is copied anew: the records are the same. It
// waits until the feeder has heard of it, so that its log is kept from there on.
func SetFeed(ctx context.Context, source, site, from Site, address string) (Info, error) {
	info, err := Of(ctx, site)
	if err != nil {
		return info, err
	}
	v, err := source.Volume(ctx)
	if err != nil {
		return info, fmt.Errorf("source: %w", err)
	}
	own, ok := v.Sites[info.Site]
	if info.Removed || v.ID != info.VolumeID || !ok || own.Name != info.Name {
		return info, ErrRemoved
	}
	next := info.unfed()
	if from != nil {
		next.Feed = withoutPassword(address)
		if next.FeedSite, err = canFeed(ctx, from, &v); err != nil {
			return info, err
		}
		if err := noCircle(&v, info.Site, next.FeedSite); err != nil {
			return info, err
		}
	}
	own.Feed = next.FeedSite
	if err := setSite(ctx, source, v, own); err != nil {
		return info, err
	}
	if from != nil {
		here, err := site.State(ctx)
		if err != nil {
			return info, fmt.Errorf("mirror: %w", err)
		}
		err = beFed(ctx, source, from, meta.MirrorState{
			Site: info.Site, Name: info.Name, State: StateFollowing, Reason: "to be fed from here",
			Applied: here.Position, Mode: info.Mode,
		})
		if err != nil {
			return info, err
		}
	}
	if err := setLocal(ctx, site, localInfo, next); err != nil {
		return info, fmt.Errorf("mirror: %w", err)
	}
	return next, nil
}

// canFeed gives the number of a site that is to feed a mirror of a volume.
func canFeed(ctx context.Context, from Site, v *meta.Volume) (uint8, error) {
	held, err := from.Volume(ctx)
	if err != nil {
		return 0, fmt.Errorf("feeding site: %w", err)
	}
	s, err := from.State(ctx)
	if err != nil {
		return 0, fmt.Errorf("feeding site: %w", err)
	}
	if held.ID != v.ID {
		return 0, errors.New("the address of the feeding site holds another volume")
	}
	if s.Role == meta.RoleSource || s.Role == meta.RoleFenced {
		return 0, errors.New("the address of the feeding site holds the source: a mirror follows that without being told to")
	}
	info, err := Of(ctx, from)
	switch {
	case err != nil:
		return 0, fmt.Errorf("feeding site: %w", err)
	case info.Removed || v.Sites[info.Site].Name != info.Name:
		return 0, fmt.Errorf("feeding site %q: %w", info.Name, ErrRemoved)
	}
	return info.Site, nil
}

// noCircle refuses that a site is fed by one which it feeds, directly or through others.
func noCircle(v *meta.Volume, site, from uint8) error {
	for range v.Sites {
		if from == site {
			return errors.New("the feeding site follows this mirror, directly or through others: choose another one")
		}
		if from == v.SourceSite() || from == 0 {
			return nil
		}
		from = v.Sites[from].Feed
	}
	return errors.New("the feeding site is fed in a circle")
}

// beFed makes a feeder keep its log for a mirror: it must know of the mirror first, else it
// would forget it.
func beFed(ctx context.Context, source, from Site, s meta.MirrorState) error {
	if _, err := Wait(ctx, source, from); err != nil {
		return fmt.Errorf("feeding site: %w", err)
	}
	if err := from.Acknowledge(ctx, s); err != nil {
		return fmt.Errorf("feeding site: %w", err)
	}
	return nil
}

// feedsNobody refuses to end a mirror that feeds others.
func feedsNobody(v *meta.Volume, info *Info) error {
	for _, number := range sortedSites(v) {
		if s := v.Sites[number]; s.Feed == info.Site && number != v.SourceSite() {
			return fmt.Errorf("this mirror feeds site %q: let that follow another log first (mirrorfs mirror set --feed)", s.Name)
		}
	}
	return nil
}
