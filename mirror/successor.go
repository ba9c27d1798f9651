package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mirrorfs/meta"
)

// replaced is what becomes of a mirror whose source was fenced: it follows the successor
// that the source names, once that is the source.
func (r *runner) replaced(ctx context.Context, src Upstream) error {
	bad := &stallError{state: StateFenced, err: meta.ErrFenced, reason: "the source was fenced because another site is promoted: point this mirror there (mirrorfs mirror set --source)"}
	facts, ok := src.(localReader)
	if !ok {
		return bad
	}
	_, f, err := FenceOf(ctx, facts)
	if err != nil || f.Name == "" {
		return bad
	}
	bad.reason = "the source is " + f.String()
	if f.Site == r.info.Site || f.Address == "" {
		bad.reason += ": this mirror waits for that"
		return bad
	}
	if err := r.adopt(ctx, f.Address, r.info.unfed()); err != nil {
		bad.reason += ": it is not the source yet, or cannot be reached from here: " + err.Error()
		return bad
	}
	return errMoved
}

// rejoined follows the source of a site that was the source and is a mirror now; nil when it
// is not so, or cannot be done yet.
func (r *runner) rejoined(ctx context.Context, src Upstream) error {
	facts, ok := src.(localReader)
	if !ok {
		return nil
	}
	info, err := Of(ctx, facts)
	if err != nil || !info.WasSource || info.SourceSite == r.info.Site {
		return nil
	}
	if err := r.adopt(ctx, info.Source, r.info); err != nil {
		r.cfg.Logger.DebugContext(ctx, "the new source cannot be followed yet", slog.String("address", info.Source), slog.Any("error", err))
		return nil
	}
	return errMoved
}

// withoutLost leaves out of archived records those that a source wrote before another was
// promoted, which that one never saw: they continue the log as well as the right ones do.
func (r *runner) withoutLost(entries []meta.LogEntry) ([]meta.LogEntry, error) {
	if promotions := r.promotions.Load(); promotions != nil {
		return withoutLost(entries, *promotions)
	}
	return entries, nil
}

func withoutLost(entries []meta.LogEntry, promotions []meta.Promotion) ([]meta.LogEntry, error) {
	for i := range entries {
		at := entries[i].Position
		lost := meta.Lost(promotions, at)
		if lost && i == 0 {
			return nil, fmt.Errorf("%w: what is archived as %s was lost in a promotion", meta.ErrGap, at)
		}
		if lost {
			return entries[:i], nil
		}
	}
	return entries, nil
}

// errMoved: the source is elsewhere now, and this site knows where.
var errMoved = errors.New("another site is the source now")

// adopt makes the metadata at an address the source of this mirror, if it is the source of
// the volume. was is what the mirror knows of itself.
func (r *runner) adopt(ctx context.Context, address string, was Info) error {
	if r.cfg.DialAt == nil {
		return errors.New("not tried")
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.DialTimeout)
	defer cancel()
	next, err := r.cfg.DialAt(ctx, address)
	if err != nil {
		return err
	}
	info, err := pointAt(ctx, next, was, address)
	if err = errors.Join(err, next.Close()); err != nil {
		return err
	}
	if err := setLocal(ctx, r.cfg.Replica, localInfo, info); err != nil {
		return err
	}
	r.cfg.Logger.WarnContext(ctx, "this mirror follows another source now", slog.String("was", r.info.Source), slog.String("now", info.Source))
	return nil
}

// pointAt is what a mirror knows of itself when its source is at an address: it must be the
// source of the same volume, and know of the mirror.
func pointAt(ctx context.Context, source meta.Source, info Info, address string) (Info, error) {
	v, err := source.Volume(ctx)
	if err != nil {
		return info, err
	}
	s, err := source.State(ctx)
	switch {
	case err != nil:
		return info, err
	case v.ID != info.VolumeID:
		return info, errors.New("it holds another volume")
	case s.Role != meta.RoleSource:
		return info, errors.New("it is not the source of the volume")
	case v.Sites[info.Site].Name != info.Name:
		return info, ErrRemoved
	}
	if at := withoutPassword(address); at != info.Source {
		info.Source, info.Relay = at, "" // which leads to the old one
	}
	info.SourceSite = v.SourceSite()
	if info.FeedSite == info.SourceSite {
		info = info.unfed()
	}
	return info, nil
}

// SetSource points a mirror at another address of its source, or at a site that was promoted.
func SetSource(ctx context.Context, source meta.Source, site Site, address string) (Info, error) {
	info, err := Of(ctx, site)
	if err != nil {
		return info, err
	}
	if info, err = pointAt(ctx, source, info, address); err != nil {
		return info, err
	}
	return info, setLocal(ctx, site, localInfo, info)
}
