package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"mirrorfs/meta"
)

// PromoteOptions says how a mirror is to become the source. Dial is needed.
type PromoteOptions struct {
	// Dial opens the metadata of a mirror's source. Promote closes what it returns.
	Dial func(ctx context.Context, info Info) (Site, error)
	// Address is where others reach the metadata of the mirror that is promoted; empty when
	// they are to be told by hand. A password in it is not stored.
	Address string
	// Archive has what the source's log does not hold any more, and what there is of it when the source
	// does not answer; nil when there is none.
	Archive Archive
	// Data, if not nil, says how to look which data is in this site's bucket.
	Data *DataConfig
	// LookForData bounds how long that takes; default 1 minute.
	LookForData time.Duration
	// Force goes on where it would be refused: see Promote.
	Force bool
	// DryRun finds out everything and changes nothing.
	DryRun bool
	// Timeout bounds what is asked of the source; default 5 s. CatchUp bounds how long the
	// rest of its log is fetched, once it is fenced; default 5 minutes.
	Timeout, CatchUp time.Duration
	// Reason is for people.
	Reason string
	// Now is the clock; nil is time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

func (o *PromoteOptions) setDefaults() error {
	if o.Dial == nil {
		return errors.New("promote: Dial is needed")
	}
	orDefault(&o.Timeout, 5*time.Second)
	orDefault(&o.CatchUp, 5*time.Minute)
	orDefault(&o.LookForData, time.Minute)
	orDefault(&o.Reason, "promoted by hand")
	o.Address = withoutPassword(o.Address)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// What became of the old source in a promotion.
const (
	SourceFenced      = "fenced"      // it answers, and takes no changes any more
	SourceUnreachable = "unreachable" // it does not answer, so it could not be fenced
	SourceUnfenced    = "unfenced"    // it answers, but could not be fenced
)

// PromoteResult tells what a promotion did, or would do.
type PromoteResult struct {
	Volume string `json:"volume"`
	Site   string `json:"site"`
	DryRun bool   `json:"dry_run,omitempty"`
	// Already: the site was the source before.
	Already bool `json:"already,omitempty"`
	// Source is what became of the old source: SourceFenced...; OldSource is its site.
	// With DryRun, SourceFenced says that it answers and can be fenced.
	Source    string `json:"source"`
	OldSource string `json:"old_source"`
	// Last is the last position of the old epoch that is here, LastTime when that change
	// was made, by its client's clock, and AgeSeconds how long ago that is.
	Last       meta.Position `json:"last"`
	LastTime   time.Time     `json:"last_time,omitzero"`
	AgeSeconds float64       `json:"age_seconds"`
	// Position is the first of the new epoch; zero with DryRun.
	Position meta.Position `json:"position,omitzero"`
	Loss     Loss          `json:"loss"`
	// Salvaged is how many records came from segments in a bucket, because the source does not
	// answer. With DryRun, would come.
	Salvaged uint64 `json:"salvaged_records,omitempty"`
	// Data tells what data the bucket of this site has; nil when nobody looked.
	Data *DataElsewhere `json:"data,omitempty"`
	// Refused says why it needs Force; empty when it does not.
	Refused []string `json:"refused,omitempty"`
}

// Loss is what the old source may have acknowledged that is not here.
type Loss struct {
	// Possible is false when it is certain that nothing is lost.
	Possible bool `json:"possible"`
	// Head is the last position of the old source that is known of here, and Records how many
	// records up to there are not here: at least so many are lost.
	Head    meta.Position `json:"head"`
	Records uint64        `json:"records"`
	// Since is when the source last had nothing that is not here: whatever it acknowledged
	// later than Since and after Last is lost. Zero when that is not known.
	Since time.Time `json:"since,omitzero"`
}

// ErrRefused says that a promotion needs Force. The result says why.
var ErrRefused = errors.New("promotion refused")

// aliveNote is how recent a runner's note must be to tell that the source lives although it
// does not answer here.
const aliveNote = 10 * time.Second

// Promote makes a mirror the source of its volume. The old source is fenced first if it
// answers, and then everything that it has is fetched. If it does not answer, what it has
// acknowledged and this mirror has not applied is lost to the volume, until Rejoin writes it
// down.
//
// It is refused, unless forced, when the old source lives and cannot be fenced, or somebody
// else is promoting another site. A mirror whose first copy is not complete cannot be
// promoted at all. It can be repeated, also when it was interrupted.
func Promote(ctx context.Context, site Site, opts PromoteOptions) (PromoteResult, error) {
	if err := opts.setDefaults(); err != nil {
		return PromoteResult{}, err
	}
	p := promotion{site: site, opts: &opts}
	if err := p.begin(ctx); err != nil || p.res.Already {
		return p.res, err
	}
	source, err := p.reach(ctx)
	if err != nil {
		return p.res, err
	}
	if source != nil {
		err = p.withSource(ctx, source)
		err = errors.Join(err, source.Close())
	} else {
		err = p.withoutSource(ctx)
	}
	if err != nil {
		return p.res, err
	}
	if len(p.res.Refused) > 0 && !opts.Force && !opts.DryRun {
		return p.res, fmt.Errorf("%w: %s", ErrRefused, p.res.Refused[0])
	}
	if !opts.DryRun {
		if err := p.takeOver(ctx); err != nil {
			return p.res, err
		}
	}
	if opts.Data != nil { // last, for it takes its time, and clients go on already
		p.res.Data, err = p.lookForData(ctx)
	}
	return p.res, err
}
