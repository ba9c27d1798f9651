package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"mirrorfs/meta"
)

// Site is one site's metadata with all that mirroring needs of it.
type Site interface {
	meta.Engine
	meta.Source
	meta.Replica
	meta.Failover
}

// Upstream is the source's metadata as a mirror's runner uses it.
type Upstream interface {
	meta.Source
	Close() error
}

// Names of what a mirror keeps among the facts of its site (meta.Replica.Local).
const (
	localInfo   = "mirror" // JSON of Info
	localRunner = "runner" // JSON of note
	localCopy   = "copy"   // JSON of claim

	localVerifying = "verifying" // JSON of verifying
	localVerified  = "verified"  // JSON of Verified
)

// The data modes of a mirror.
const (
	// ModeDemand has metadata only: blocks are read from the source's bucket and kept in
	// caches; what is written goes to the source's bucket.
	ModeDemand = "demand"
	// ModeKeep is ModeDemand with a bucket at the mirror, which takes what is read: a
	// block is fetched once for all clients of the site.
	ModeKeep = "keep"
	// ModeFull has all data in the mirror's bucket: what is written at the source is
	// copied there, and what is written at the mirror goes there and is copied to the
	// source's bucket.
	ModeFull = "full"
)

// Home is the site whose bucket takes what is written at a mirror.
func (i *Info) Home() uint8 {
	if i.Mode == ModeFull {
		return i.Site
	}
	return i.SourceSite
}

// needsBucket reports whether a data mode keeps data at the mirror.
func needsBucket(mode string) bool { return mode == ModeKeep || mode == ModeFull }

// checkMode says what is wrong with a data mode and what goes with it.
func checkMode(mode, bucket, subtree string) error {
	switch {
	case mode != ModeDemand && mode != ModeKeep && mode != ModeFull:
		return fmt.Errorf("data mode %q: want %s, %s or %s", mode, ModeDemand, ModeKeep, ModeFull)
	case !needsBucket(mode) && bucket != "":
		return fmt.Errorf("a mirror in data mode %q has no bucket of its own: leave it out", mode)
	case needsBucket(mode) && bucket == "":
		return fmt.Errorf("a mirror in data mode %q needs a bucket of its own", mode)
	case mode != ModeFull && subtree != "":
		return fmt.Errorf("a subtree limits what is copied, which data mode %q does not", mode)
	}
	return nil
}

// Info says of which mirror a site is.
type Info struct {
	// Source is the address of the source's metadata, without password.
	Source string `json:"source"`
	// SourceSite is the number of the source's site.
	SourceSite uint8 `json:"source_site_id"`
	// Relay is the address of a relay (package relay) that leads to Source; empty is none.
	Relay string `json:"relay,omitempty"`
	// Feed is the address of the metadata of another mirror, without password, when the log
	// is read there; empty when it is read at the source. FeedSite is that site's number.
	Feed     string `json:"feed,omitempty"`
	FeedSite uint8  `json:"feed_site_id,omitempty"`
	// Site and Name are this site's number and name.
	Site uint8  `json:"site_id"`
	Name string `json:"site"`
	Mode string `json:"mode"`
	// Subtree is the directory below which a mirror in ModeFull holds all data; empty is
	// all of the volume.
	Subtree string `json:"subtree,omitempty"`
	// Bandwidth is the most bytes of data a second that its runner copies; 0 is no limit.
	Bandwidth int64 `json:"bandwidth,omitempty"`
	// VolumeID tells two volumes of one name apart.
	VolumeID string `json:"volume_id"`
	// WasSource says that the site was the source before, and rejoined: mirrors that follow it
	// still are to follow its source.
	WasSource bool `json:"was_source,omitempty"`
	// Removed says that the source does not keep its log for this mirror any more.
	Removed bool `json:"removed,omitempty"`
}

// ErrNotMirror says that a site is not a mirror's.
var ErrNotMirror = errors.New("this site is not a mirror")

// Of tells of which mirror a site is; ErrNotMirror when it is none. It is what a
// mount asks to find the source.
func Of(ctx context.Context, site interface {
	Local(context.Context) (map[string]string, error)
},
) (Info, error) {
	local, err := site.Local(ctx)
	if err != nil {
		return Info{}, err
	}
	return infoFrom(local)
}

func infoFrom(local map[string]string) (Info, error) {
	var info Info
	text, ok := local[localInfo]
	if !ok || text == "" {
		return info, ErrNotMirror
	}
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return info, fmt.Errorf("facts of this mirror: %w", err)
	}
	return info, nil
}

// setLocal stores one fact of a site as JSON.
func setLocal(ctx context.Context, r meta.Replica, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return r.SetLocal(ctx, map[string]string{name: string(text)})
}

// withoutPassword removes a password from an address.
func withoutPassword(addr string) string {
	u, err := url.Parse(addr)
	if err != nil || u.User == nil {
		return addr
	}
	if _, has := u.User.Password(); !has {
		return addr
	}
	u.User = url.User(u.User.Username())
	return u.String()
}
