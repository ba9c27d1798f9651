package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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
	if opts.DryRun {
		return p.res, nil
	}
	return p.res, p.takeOver(ctx)
}

// promotion is one under way.
type promotion struct {
	site Site
	opts *PromoteOptions

	info   Info
	volume meta.Volume
	note   note // what the runner left
	last   meta.State
	res    PromoteResult
}

// begin looks at this site.
func (p *promotion) begin(ctx context.Context) error {
	v, err := p.site.Volume(ctx)
	if err != nil {
		return err
	}
	local, err := p.site.Local(ctx)
	if err != nil {
		return err
	}
	if p.last, err = p.site.State(ctx); err != nil {
		return err
	}
	p.volume, p.res.DryRun = v, p.opts.DryRun
	p.res.Volume, p.res.OldSource = v.Name, v.Sites[v.SourceSite()].Name
	if p.last.Role == meta.RoleSource {
		p.res.Already, p.res.Site, p.res.Last, p.res.Position = true, p.res.OldSource, p.last.Position, p.last.Position
		return nil
	}
	if p.info, err = infoFrom(local); err != nil {
		return err
	}
	p.res.Site = p.info.Name
	switch {
	case p.info.Removed:
		return ErrRemoved
	case p.last.Role == meta.RoleFenced:
		return errors.New("this site is a source that was fenced itself: make it a mirror first (mirrorfs mirror rejoin)")
	case p.last.Role != meta.RoleMirror:
		return errors.New("the first copy of this mirror is not complete: it holds only a part of the volume and cannot be promoted")
	}
	p.note, err = noteFrom(local)
	return err
}

// reach opens the old source; nil when it does not answer.
func (p *promotion) reach(ctx context.Context) (Site, error) {
	dial, cancel := context.WithTimeout(ctx, p.opts.Timeout)
	defer cancel()
	source, err := p.opts.Dial(dial, p.info)
	if err == nil {
		var v meta.Volume
		if v, err = source.Volume(dial); err == nil && v.ID == p.info.VolumeID {
			return source, nil
		}
		if err == nil {
			err = errors.New("its address holds another volume")
		}
		err = errors.Join(err, source.Close())
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	p.opts.Logger.WarnContext(ctx, "the old source cannot be reached", slog.String("address", p.info.Source), slog.Any("error", err))
	return nil, nil //nolint:nilnil // that there is none is the answer
}

// withSource fences the source and fetches what is not here yet.
func (p *promotion) withSource(ctx context.Context, source Site) error {
	head, err := source.State(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	p.res.Source = SourceUnfenced
	switch head.Role {
	case meta.RoleSource, meta.RoleFenced:
		_, f, err := FenceOf(ctx, source)
		if err == nil && f.Name != "" && f.Site != p.info.Site {
			p.refuse("the source is %s: that site may be the source now", &f)
		}
	default:
		p.refuse("the source's address holds a mirror: another site is the source, point this mirror there first")
		return p.lossUpTo(ctx, head.Position)
	}
	if p.opts.DryRun || len(p.res.Refused) > 0 && !p.opts.Force {
		p.res.Source = SourceFenced
		if err := p.lossUpTo(ctx, head.Position); err != nil {
			return err
		}
		p.res.Loss.Possible = len(p.res.Refused) > 0 // else all of it is fetched
		return nil
	}
	noteText, head, err := fence(ctx, source, p.fence(), p.opts.Force)
	if err != nil {
		p.refuse("the source answers and could not be fenced: %v", err)
		return p.lossUpTo(ctx, head.Position)
	}
	p.res.Source = SourceFenced
	p.opts.Logger.InfoContext(ctx, "the old source is fenced", slog.String("position", head.Position.String()))
	catchUp, cancel := context.WithTimeout(ctx, p.opts.CatchUp)
	defer cancel()
	if _, err := drain(catchUp, source, p.site, head.Position); err != nil {
		p.refuse("the rest of the source's log could not be fetched: %v", err)
		if !p.opts.Force {
			err = errors.Join(err, source.Unfence(context.WithoutCancel(ctx), head, noteText))
			return fmt.Errorf("%w, and the source goes on: %w", ErrRefused, err)
		}
	}
	return p.lossUpTo(ctx, head.Position)
}

func (p *promotion) fence() Fence {
	return Fence{Site: p.info.Site, Name: p.info.Name, Address: p.opts.Address, Reason: p.opts.Reason, Time: p.opts.Now().UTC().Round(0)}
}

// withoutSource finds out what may be lost of a source that does not answer.
func (p *promotion) withoutSource(ctx context.Context) error {
	p.res.Source = SourceUnreachable
	n := &p.note
	if now := p.opts.Now(); n.LinkDown.IsZero() && n.State == StateFollowing && now.Sub(n.Seen) < aliveNote && now.Sub(n.Fresh) < aliveNote {
		p.refuse("the runner of this mirror heard of the source %v ago: it lives, but does not answer here, and cannot be fenced", now.Sub(n.Fresh).Round(time.Second))
	}
	if err := p.lossUpTo(ctx, n.Head); err != nil {
		return err
	}
	p.res.Loss.Possible, p.res.Loss.Since = true, n.Fresh
	return nil
}

// lossUpTo says what is lost if the old source's log goes up to a position.
func (p *promotion) lossUpTo(ctx context.Context, head meta.Position) error {
	var err error
	if p.last, err = p.site.State(ctx); err != nil {
		return err
	}
	at := p.last.Position
	p.res.Last, p.res.LastTime = at, lastChange(ctx, p.site, at)
	if !p.res.LastTime.IsZero() {
		p.res.AgeSeconds = max(p.opts.Now().Sub(p.res.LastTime).Seconds(), 0)
	}
	p.res.Loss = Loss{Head: later(head, at)}
	if at.Seq < p.res.Loss.Head.Seq {
		p.res.Loss.Records, p.res.Loss.Possible = p.res.Loss.Head.Seq-at.Seq, true
	}
	return nil
}

func (p *promotion) refuse(format string, args ...any) {
	p.res.Refused = append(p.res.Refused, fmt.Sprintf(format, args...))
}

// takeOver makes this site the source. A runner that applies something meanwhile makes it
// look again.
func (p *promotion) takeOver(ctx context.Context) error {
	for {
		here, err := p.site.State(ctx)
		if err != nil {
			return err
		}
		v, err := p.site.Volume(ctx)
		if err != nil {
			return err
		}
		var skip meta.Skip
		if p.res.Loss.Possible {
			skip = meta.SkipOf(p.res.Loss.Records)
		}
		next, err := p.site.Promote(ctx, here, p.promoted(&v, here, skip), skip)
		if errors.Is(err, meta.ErrMoved) {
			continue
		}
		if err != nil {
			return fmt.Errorf("mirror: %w", err)
		}
		if here.Position != p.last.Position {
			if err := p.lossUpTo(ctx, p.res.Loss.Head); err != nil {
				return err
			}
			p.res.Loss.Possible = skip.Slices > 0
		}
		p.res.Last, p.res.Position = here.Position, next.Position
		p.opts.Logger.InfoContext(ctx, "this site is the source now", slog.String("site", p.info.Name), slog.String("position", next.Position.String()))
		return nil
	}
}

// promoted is the volume's settings from the promotion on.
func (p *promotion) promoted(v *meta.Volume, here meta.State, skip meta.Skip) meta.Volume {
	next, from := *v, v.SourceSite()
	next.Sites = maps.Clone(v.Sites)
	old := next.Sites[from]
	old.Detached = true
	next.Sites[from] = old
	own := next.Sites[p.info.Site]
	own.ID, own.Name, own.Address, own.Detached = p.info.Site, p.info.Name, p.opts.Address, false
	next.Sites[p.info.Site] = own
	next.Source = p.info.Site
	step := meta.Promotion{
		Epoch: here.Position.Epoch + 1, Time: p.opts.Now().UTC().Round(0), Site: p.info.Site, From: from,
		After: here.Position, Chain: here.Chain,
	}
	if skip.Slices > 0 {
		step.NextSlice = here.NextSlice + skip.Slices
	}
	next.Promotions = append(slices.Clone(v.Promotions), step)
	return next
}
