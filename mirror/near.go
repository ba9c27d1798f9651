package mirror

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror/replicate"
)

// A near site is close to the source and uses its metadata, with a bucket of its own: what
// is written there goes into that, and everything else is copied into it, as with a
// mirror in ModeFull.

// registerClaim is the name of who changes which sites there are, and registerTTL how
// long it may take.
const (
	registerClaim = "sites"
	registerTTL   = 10 * time.Second
)

// AddNear registers a near site at the source, and returns it. It can be repeated, also by
// many clients at once. The bucket is not looked at.
func AddNear(ctx context.Context, source Site, name, bucket string) (meta.Site, error) {
	if name == "" || bucket == "" {
		return meta.Site{}, errors.New("a near site needs a name and a bucket")
	}
	if claims, ok := source.(meta.Claims); ok {
		owner := rand.Text()
		for has := false; !has; {
			var err error
			if has, err = claims.Claim(ctx, registerClaim, owner, registerTTL); err != nil {
				return meta.Site{}, err
			}
			if !has && pause(ctx, waitMax) != nil {
				return meta.Site{}, ctx.Err()
			}
		}
		defer func() { _ = claims.Unclaim(context.WithoutCancel(ctx), registerClaim, owner) }()
	}
	v, err := source.Volume(ctx)
	if err != nil {
		return meta.Site{}, err
	}
	highest, _ := strconv.Atoi(v.Extra[ExtraSites])
	for number, s := range v.Sites {
		highest = max(highest, int(number))
		switch {
		case s.Name == name && s.Shares && s.Bucket == bucket:
			return s, nil
		case s.Name == name && s.Shares:
			return s, fmt.Errorf("site %q has another bucket, %s", name, s.Bucket)
		case s.Name == name:
			return s, fmt.Errorf("site %q is the source or a mirror: choose another name", name)
		}
	}
	if err := freeBucket(&v, name, bucket); err != nil {
		return meta.Site{}, err
	}
	if highest >= 255 {
		return meta.Site{}, errors.New("the volume has given away all 255 site numbers")
	}
	s := meta.Site{ID: uint8(highest + 1), Name: name, Bucket: bucket, Shares: true}
	if v.Extra = maps.Clone(v.Extra); v.Extra == nil {
		v.Extra = map[string]string{}
	}
	v.Extra[ExtraSites] = strconv.Itoa(int(s.ID))
	return s, setSite(ctx, source, v, s)
}

// RemoveNear ends a near site, once the source's bucket has everything that was written
// there; ErrNotCopiedBack when ctx ends before.
func RemoveNear(ctx context.Context, source Site, name string) (meta.Site, error) {
	v, err := source.Volume(ctx)
	if err != nil {
		return meta.Site{}, err
	}
	for number, s := range v.Sites {
		if s.Name != name || !s.Shares {
			continue
		}
		if err := copiedBack(ctx, source, source, &Info{Site: number}); err != nil {
			return s, err
		}
		if v, err = source.Volume(ctx); err != nil {
			return s, err
		}
		v.Sites = maps.Clone(v.Sites)
		delete(v.Sites, number)
		_, err := source.Change(ctx, meta.Settings{Volume: v})
		return s, err
	}
	return meta.Site{}, fmt.Errorf("there is no site %q that uses the source's metadata", name)
}

// nearSites are those of a volume.
func nearSites(v *meta.Volume) []meta.Site {
	var list []meta.Site
	for _, number := range sortedSites(v) {
		if s := v.Sites[number]; s.Shares {
			list = append(list, s)
		}
	}
	return list
}

// HasNear reports whether a volume has near sites, which want RunNear.
func HasNear(v *meta.Volume) bool { return len(nearSites(v)) > 0 }

// RunNear copies data between the buckets of the source, whose site's number is given, and of
// all its near sites, until ctx ends, and then returns nil. Of several that run, one
// copies.
func RunNear(ctx context.Context, source uint8, cfg DataConfig) error {
	c, err := newCarrier(cfg, func(ctx context.Context) (dataPlan, error) {
		v, err := cfg.Site.Volume(ctx)
		p := dataPlan{Sites: v.Sites, Origins: v.Origins, Source: source, Block: v.BlockBytes}
		if v.Sites[source].Bucket == "" {
			return p, err
		}
		for _, s := range nearSites(&v) {
			p.Lanes = append(p.Lanes, lane{Site: s.ID}, lane{Site: s.ID, Back: true})
		}
		return p, err
	})
	if err != nil {
		return err
	}
	err = c.run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// nearStatus is how much of the data a near site has.
func nearStatus(v *meta.Volume, s *meta.Site, at meta.Position, local map[string]string) Status {
	st := Status{
		Volume: v.Name, Role: "near", Site: s.Name, State: StateFollowing, Position: at, Applied: at,
		Data: dataStatus(&Info{Site: s.ID, Mode: ModeFull}, local, at),
	}
	if _, ok, _ := replicate.StateOf(local, factIn(s.ID)); !ok {
		st.Reason = "no runner was seen yet: start it with `mirrorfs mirror run`"
	}
	if st.Reason == "" {
		st.Reason = st.Data.Reason
	}
	return st
}
