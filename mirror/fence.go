package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mirrorfs/meta"
)

// Fence says why a source takes no changes, and who takes its place. It is kept at the
// source, for its clients and its other mirrors to read.
type Fence struct {
	// Site and Name are the site that takes over.
	Site uint8  `json:"site_id"`
	Name string `json:"site"`
	// Address is where others find its metadata; empty when nobody said.
	Address string    `json:"address,omitempty"`
	Reason  string    `json:"reason"`
	Time    time.Time `json:"time"`
}

// String is for people.
func (f *Fence) String() string {
	text := fmt.Sprintf("fenced %s for site %s (%s)", f.Time.UTC().Format(time.RFC3339), f.Name, f.Reason)
	if f.Address != "" {
		text += " at " + f.Address
	}
	return text
}

// FenceOf tells why a site is fenced: its note as it stands there, and what that says.
// Both are empty when there is none.
func FenceOf(ctx context.Context, site localReader) (string, Fence, error) {
	local, err := site.Local(ctx)
	if err != nil {
		return "", Fence{}, err
	}
	var f Fence
	note := local[meta.LocalFence]
	if note == "" {
		return "", f, nil
	}
	if err := json.Unmarshal([]byte(note), &f); err != nil {
		return note, f, fmt.Errorf("note of the fence: %w", err)
	}
	return note, f, nil
}

// localReader is a site whose facts can be read.
type localReader interface {
	Local(ctx context.Context) (map[string]string, error)
}

// fenceTries is how often a fence is tried against others who are fencing the same source.
const fenceTries = 3

// fence makes a source refuse changes in favour of a site. A fence of the same site stays
// as it is; another's only gives way to force.
func fence(ctx context.Context, source Site, f Fence, force bool) (note string, at meta.State, err error) {
	for tries := 1; ; tries++ {
		seen, old, err := FenceOf(ctx, source)
		if err != nil && !force {
			return "", at, err
		}
		switch {
		case seen == "":
		case err == nil && old.Site == f.Site && old.Name == f.Name && old.Address == f.Address:
			at, err = source.Fence(ctx, seen, seen)
			return seen, at, err
		case !force:
			return "", at, fmt.Errorf("the source is %s already", &old)
		}
		text, err := json.Marshal(f)
		if err != nil {
			return "", at, err
		}
		at, err = source.Fence(ctx, string(text), seen)
		if !errors.Is(err, meta.ErrFenced) || tries == fenceTries {
			return string(text), at, err
		}
		// Somebody fenced it since the look, perhaps for the same site.
	}
}

// Whereabouts tells where the source of a volume is, as a site knows.
type Whereabouts struct {
	// Here: this site is the source.
	Here bool
	// Address is that of the source's metadata when it is not here.
	Address string
}

// Where tells where the source is, going by what a site knows: two round trips to it.
// ErrNotMirror when the site was formatted and is fenced, and knows of no other.
func Where(ctx context.Context, site interface {
	localReader
	State(ctx context.Context) (meta.State, error)
},
) (Whereabouts, error) {
	s, err := site.State(ctx)
	if err != nil {
		return Whereabouts{}, err
	}
	if s.Role == meta.RoleSource {
		return Whereabouts{Here: true}, nil
	}
	if s.Role == meta.RoleFenced {
		_, f, err := FenceOf(ctx, site)
		return Whereabouts{Address: f.Address}, err
	}
	info, err := Of(ctx, site)
	return Whereabouts{Address: info.Source}, err
}

// Home is the site whose bucket takes the data that is written at a site: its own, if it
// has a bucket, else the source's, else the first one that has.
func Home(v *meta.Volume, own uint8) uint8 {
	for _, site := range []uint8{own, v.SourceSite()} {
		if v.Sites[site].Bucket != "" {
			return site
		}
	}
	for _, site := range sortedSites(v) {
		if v.Sites[site].Bucket != "" {
			return site
		}
	}
	return own
}

var errNoAnswer = errors.New("the source does not answer")
