package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"mirrorfs/meta"
)

// AddOptions says which mirror to add.
type AddOptions struct {
	// SourceAddress is where the mirror's runner and clients find the source. A
	// password in it is not stored.
	SourceAddress string
	// Name is the new site's name.
	Name string
	// Mode is the data mode; empty is ModeDemand.
	Mode string
	// Bucket is the address of the mirror's own bucket, for the modes that keep data. It
	// is not looked at: the caller has made sure that it can be used, and is no other
	// volume's.
	Bucket string
	// Subtree limits what a mirror in ModeFull copies to what is below a directory; empty
	// is everything.
	Subtree string
	// Feeder is a mirror near the new one, at FeedAddress as the new one reaches it, whose log
	// is to be followed instead of the source's; nil is the source's. Add waits until it has
	// heard of the new site.
	Feeder      Site
	FeedAddress string
	// Relay is the address of a relay that leads to the source; empty is none.
	Relay string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Validate says what is wrong with the options, but for SourceAddress, and sets defaults.
func (o *AddOptions) Validate() error {
	if o.Now == nil {
		o.Now = time.Now
	}
	orDefault(&o.Mode, ModeDemand)
	switch {
	case o.Name == "":
		return errors.New("a mirror needs a site name")
	case o.Subtree != "" && !strings.HasPrefix(o.Subtree, "/"):
		return fmt.Errorf("subtree %q: want a path in the volume that begins with /", o.Subtree)
	}
	return checkMode(o.Mode, o.Bucket, o.Subtree)
}

// ExtraSites is the setting (meta.Volume.Extra) that holds the highest site number ever
// given. No number is given twice: it is part of the names of objects.
const ExtraSites = "sites_given"

// Add registers a mirror at the source, from where on the source keeps its log
// for it, and prepares the mirror's metadata for Run. It can be repeated: what
// is done already stays as it is.
func Add(ctx context.Context, source, site Site, opts AddOptions) (Info, error) {
	if err := opts.Validate(); err != nil {
		return Info{}, err
	}
	if opts.SourceAddress == "" {
		return Info{}, errors.New("a mirror needs the address of its source")
	}
	v, err := source.Volume(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("source: %w", err)
	}
	from, err := source.State(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("source: %w", err)
	}
	if from.Role != meta.RoleSource {
		return Info{}, errors.New("the first address is not the source of the volume but a mirror or a fenced source: give the source's")
	}
	info := Info{
		Source: withoutPassword(opts.SourceAddress), SourceSite: ownSite(ctx, source, &v),
		Name: opts.Name, Mode: opts.Mode, Subtree: opts.Subtree, VolumeID: v.ID, Relay: opts.Relay,
	}
	if opts.Feeder != nil {
		info.Feed = withoutPassword(opts.FeedAddress)
		if info.FeedSite, err = canFeed(ctx, opts.Feeder, &v); err != nil {
			return Info{}, err
		}
	}
	old, err := occupied(ctx, site, &v, &info)
	if err != nil {
		return Info{}, err
	}
	if info.Site, err = registerSite(ctx, source, v, &info, old, opts.Bucket); err != nil {
		return Info{}, err
	}
	if info.Bandwidth = old.Bandwidth; old == info {
		return info, nil
	}
	// The log is kept from here on, before the copy that needs it is prepared.
	begin := meta.MirrorState{
		Site: info.Site, Name: info.Name, State: StateBootstrapping, Reason: "no runner was seen yet",
		Applied: from.Position, Seen: opts.Now(), Mode: info.Mode,
	}
	if err = source.Acknowledge(ctx, begin); err != nil {
		return Info{}, fmt.Errorf("source: %w", err)
	}
	if opts.Feeder != nil {
		if err := beFed(ctx, source, opts.Feeder, begin); err != nil {
			return Info{}, err
		}
	}
	if v, err = source.Volume(ctx); err != nil {
		return Info{}, fmt.Errorf("source: %w", err)
	}
	if err := site.Reset(ctx, v, from); err != nil {
		return Info{}, fmt.Errorf("mirror: %w", err)
	}
	err = site.SetLocal(ctx, map[string]string{localCopy: "", localRunner: "", factIn(info.Site): "", factBack(info.Site): ""})
	if err = errors.Join(err, setLocal(ctx, site, localInfo, info)); err != nil {
		return Info{}, fmt.Errorf("mirror: %w", err)
	}
	return info, nil
}

// ownSite is the number of a source's own site.
func ownSite(ctx context.Context, source Site, v *meta.Volume) uint8 {
	if info, err := Of(ctx, source); err == nil {
		return info.Site // it was a mirror once
	}
	return v.FirstSite()
}

// occupied looks at what the mirror's address holds: nothing, or the same
// mirror. Anything else is not to be overwritten.
func occupied(ctx context.Context, site Site, v *meta.Volume, want *Info) (Info, error) {
	held, err := site.Volume(ctx)
	if errors.Is(err, meta.ErrNoVolume) {
		return Info{}, nil
	}
	if err != nil {
		return Info{}, fmt.Errorf("mirror: %w", err)
	}
	s, err := site.State(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("mirror: %w", err)
	}
	if held.ID != v.ID {
		return Info{}, fmt.Errorf("the mirror's address holds another volume (%s, formatted %s): give an empty one", held.Name, held.Created.Format(time.RFC3339))
	}
	if s.Role == meta.RoleSource || s.Role == meta.RoleFenced {
		return Info{}, errors.New("the mirror's address holds the source itself: give an empty one")
	}
	old, err := Of(ctx, site)
	switch {
	case errors.Is(err, ErrNotMirror): // an Add that was interrupted
		return Info{}, nil
	case err != nil:
		return Info{}, fmt.Errorf("mirror: %w", err)
	case old.Removed:
		return Info{}, nil
	case old.Source != want.Source:
		return Info{}, fmt.Errorf("the mirror's address holds a mirror of the source at %s: remove that first (mirrorfs mirror remove)", old.Source)
	case old.Name != want.Name:
		return Info{}, fmt.Errorf("the mirror's address holds the mirror %q of this volume: remove that first (mirrorfs mirror remove)", old.Name)
	case old.Feed != want.Feed || old.Relay != want.Relay:
		return Info{}, fmt.Errorf("the mirror %q is there, and follows another log, or by another way: change that with mirrorfs mirror set", old.Name)
	case old.Mode != want.Mode || old.Subtree != want.Subtree:
		return Info{}, fmt.Errorf("the mirror %q is there, in data mode %s: change that with mirrorfs mirror set", old.Name, old.Mode)
	}
	return old, nil
}

// registerSite puts the mirror among the volume's sites and returns its number.
func registerSite(ctx context.Context, source Site, v meta.Volume, info *Info, old Info, bucket string) (uint8, error) {
	acknowledged, err := source.Mirrors(ctx)
	if err != nil {
		return 0, fmt.Errorf("source: %w", err)
	}
	if err := freeBucket(&v, info.Name, bucket); err != nil {
		return 0, err
	}
	highest, _ := strconv.Atoi(v.Extra[ExtraSites])
	for number, s := range v.Sites {
		highest = max(highest, int(number))
		if s.Name != info.Name {
			continue
		}
		if number == old.Site {
			if s.Bucket != bucket {
				return 0, fmt.Errorf("the mirror %q is there, with another bucket (%s): change that with mirrorfs mirror set", s.Name, s.Bucket)
			}
			return number, nil
		}
		for _, m := range acknowledged {
			if m.Site == number {
				return 0, fmt.Errorf("the volume has a site %q already: choose another name, or remove that mirror first (mirrorfs mirror remove)", info.Name)
			}
		}
		if number == info.SourceSite || s.Shares {
			return 0, fmt.Errorf("site %q is the source, or uses its metadata: choose another name", info.Name)
		}
		return number, setSite(ctx, source, v, meta.Site{ID: number, Name: info.Name, Bucket: bucket, Feed: info.FeedSite}) // of an Add that was interrupted
	}
	if highest >= 255 {
		return 0, errors.New("the volume has given away all 255 site numbers")
	}
	number := uint8(highest + 1)
	if v.Extra = maps.Clone(v.Extra); v.Extra == nil {
		v.Extra = map[string]string{}
	}
	v.Extra[ExtraSites] = strconv.Itoa(int(number))
	return number, setSite(ctx, source, v, meta.Site{ID: number, Name: info.Name, Bucket: bucket, Feed: info.FeedSite})
}

// setSite writes one site into the volume's settings.
func setSite(ctx context.Context, source Site, v meta.Volume, s meta.Site) error {
	if v.Sites[s.ID] == s {
		return nil
	}
	if v.Sites = maps.Clone(v.Sites); v.Sites == nil {
		v.Sites = map[uint8]meta.Site{}
	}
	v.Sites[s.ID] = s
	if _, err := source.Change(ctx, meta.Settings{Volume: v}); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	return nil
}

// freeBucket refuses a bucket that another site has.
func freeBucket(v *meta.Volume, name, bucket string) error {
	for _, s := range v.Sites {
		if bucket != "" && s.Bucket == bucket && s.Name != name {
			return fmt.Errorf("bucket %s is that of site %q: each site needs its own", bucket, s.Name)
		}
	}
	return nil
}

// Remove ends a mirror: the source forgets it and may trim its log, and the
// mirror's site is marked. Its metadata stays, readable and frozen, until it is
// given to Add again or emptied. It can be repeated. The source must answer.
//
// Of a mirror whose bucket takes what is written there, it waits first until the source's
// bucket has all of that; ErrNotCopiedBack when ctx ends before.
func Remove(ctx context.Context, source, site Site) (Info, error) {
	info, err := Of(ctx, site)
	if err != nil {
		return Info{}, err
	}
	v, err := source.Volume(ctx)
	if err != nil {
		return info, fmt.Errorf("source: %w", err)
	}
	if v.ID != info.VolumeID {
		return info, errors.New("the source holds another volume than this mirror")
	}
	if s, ok := v.Sites[info.Site]; ok && s.Name == info.Name {
		if err := feedsNobody(&v, &info); err != nil {
			return info, err
		}
		if err := leaves(ctx, source, site, &info); err != nil {
			return info, err
		}
		v.Sites = maps.Clone(v.Sites)
		delete(v.Sites, info.Site)
		if _, err := source.Change(ctx, meta.Settings{Volume: v}); err != nil {
			return info, fmt.Errorf("source: %w", err)
		}
	}
	if err := source.ForgetMirror(ctx, info.Site); err != nil {
		return info, fmt.Errorf("source: %w", err)
	}
	info.Removed = true
	if err := setLocal(ctx, site, localInfo, info); err != nil {
		return info, fmt.Errorf("mirror: %w", err)
	}
	if _, err := source.TrimLog(ctx, keptRecords); err != nil {
		return info, fmt.Errorf("source: %w", err)
	}
	return info, nil
}

// leaves makes sure that nothing of the volume is in a mirror's bucket alone.
func leaves(ctx context.Context, source, site Site, info *Info) error {
	local, err := site.Local(ctx)
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	if info.Mode != ModeFull && local[factBack(info.Site)] == "" {
		return nil
	}
	return copiedBack(ctx, source, site, info)
}
