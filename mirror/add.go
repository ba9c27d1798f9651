package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
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
	// Mode is the data mode; empty is ModeDemand, the only one of this version.
	Mode string
	// Bucket is for the modes that keep data; it must be empty.
	Bucket string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (o *AddOptions) validate() error {
	if o.Now == nil {
		o.Now = time.Now
	}
	orDefault(&o.Mode, ModeDemand)
	switch {
	case o.Name == "":
		return errors.New("a mirror needs a site name")
	case o.SourceAddress == "":
		return errors.New("a mirror needs the address of its source")
	case o.Mode != ModeDemand:
		return fmt.Errorf("data mode %q: only %q exists in this version", o.Mode, ModeDemand)
	case o.Bucket != "":
		return fmt.Errorf("a mirror in data mode %q has no bucket of its own: leave it out", ModeDemand)
	}
	return nil
}

// extraSites is the setting that holds the highest site number ever given. No
// number is given twice: it is part of the names of objects.
const extraSites = "sites_given"

// Add registers a mirror at the source, from where on the source keeps its log
// for it, and prepares the mirror's metadata for Run. It can be repeated: what
// is done already stays as it is.
func Add(ctx context.Context, source, site Site, opts AddOptions) (Info, error) {
	if err := opts.validate(); err != nil {
		return Info{}, err
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
		Source: withoutPassword(opts.SourceAddress), SourceSite: ownSite(ctx, source),
		Name: opts.Name, Mode: opts.Mode, VolumeID: v.ID,
	}
	old, err := occupied(ctx, site, &v, &info)
	if err != nil {
		return Info{}, err
	}
	if info.Site, err = registerSite(ctx, source, v, &info, old); err != nil {
		return Info{}, err
	}
	if old == info {
		return info, nil
	}
	// The log is kept from here on, before the copy that needs it is prepared.
	err = source.Acknowledge(ctx, meta.MirrorState{
		Site: info.Site, Name: info.Name, State: StateBootstrapping, Reason: "no runner was seen yet",
		Applied: from.Position, Seen: opts.Now(), Mode: info.Mode,
	})
	if err != nil {
		return Info{}, fmt.Errorf("source: %w", err)
	}
	if v, err = source.Volume(ctx); err != nil {
		return Info{}, fmt.Errorf("source: %w", err)
	}
	if err := site.Reset(ctx, v, from); err != nil {
		return Info{}, fmt.Errorf("mirror: %w", err)
	}
	err = site.SetLocal(ctx, map[string]string{localCopy: "", localRunner: ""})
	if err = errors.Join(err, setLocal(ctx, site, localInfo, info)); err != nil {
		return Info{}, fmt.Errorf("mirror: %w", err)
	}
	return info, nil
}

// ownSite is the number of a source's own site.
func ownSite(ctx context.Context, source Site) uint8 {
	if info, err := Of(ctx, source); err == nil {
		return info.Site // it was a mirror once
	}
	return 1
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
	}
	return old, nil
}

// registerSite puts the mirror among the volume's sites and returns its number.
func registerSite(ctx context.Context, source Site, v meta.Volume, info *Info, old Info) (uint8, error) {
	acknowledged, err := source.Mirrors(ctx)
	if err != nil {
		return 0, fmt.Errorf("source: %w", err)
	}
	highest, _ := strconv.Atoi(v.Extra[extraSites])
	for number, s := range v.Sites {
		highest = max(highest, int(number))
		if s.Name != info.Name {
			continue
		}
		if number == old.Site {
			return number, nil
		}
		for _, m := range acknowledged {
			if m.Site == number {
				return 0, fmt.Errorf("the volume has a site %q already: choose another name, or remove that mirror first (mirrorfs mirror remove)", info.Name)
			}
		}
		if number == info.SourceSite {
			return 0, fmt.Errorf("site %q is the source: choose another name", info.Name)
		}
		return number, nil // of an Add that was interrupted
	}
	if highest >= 255 {
		return 0, errors.New("the volume has given away all 255 site numbers")
	}
	number := uint8(highest + 1)
	v.Sites, v.Extra = maps.Clone(v.Sites), maps.Clone(v.Extra)
	if v.Sites == nil {
		v.Sites = map[uint8]meta.Site{}
	}
	if v.Extra == nil {
		v.Extra = map[string]string{}
	}
	v.Sites[number] = meta.Site{ID: number, Name: info.Name}
	v.Extra[extraSites] = strconv.Itoa(int(number))
	if _, err := source.Change(ctx, meta.Settings{Volume: v}); err != nil {
		return 0, fmt.Errorf("source: %w", err)
	}
	return number, nil
}

// Remove ends a mirror: the source forgets it and may trim its log, and the
// mirror's site is marked. Its metadata stays, readable and frozen, until it is
// given to Add again or emptied. It can be repeated. The source must answer.
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
