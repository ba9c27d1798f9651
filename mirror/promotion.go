package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"mirrorfs/meta"
)

// promotion is one under way.
type promotion struct {
	site Site
	opts *PromoteOptions

	info   Info
	volume meta.Volume
	note   note // what the runner left
	last   meta.State
	// couldReach is to where segments would bring the site, of a dry run.
	couldReach meta.Position
	// differs: the source has made changes that do not continue what is here.
	differs bool
	res     PromoteResult
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
		return notWhole(local)
	}
	p.note, err = noteFrom(local)
	return err
}

// notWhole says why a site whose rows are of no one position cannot be promoted.
func notWhole(local map[string]string) error {
	var c claim
	if text := local[localCopy]; text != "" && json.Unmarshal([]byte(text), &c) == nil && c.Mending.On {
		return errors.New("a repair of this mirror is under way: its rows are of no one position, and it cannot be promoted until the repair is over (mirrorfs mirror repair goes on with it)")
	}
	return errors.New("the first copy of this mirror is not complete: it holds only a part of the volume and cannot be promoted")
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
	if err := p.checkHistory(ctx, head); err != nil {
		return err
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
	if _, err := drain(catchUp, source, p.opts.Archive, p.site, head.Position); err != nil {
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
	if len(p.res.Refused) == 0 || p.opts.Force || p.opts.DryRun {
		if err := p.salvage(ctx); err != nil {
			return err
		}
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
	at := later(p.last.Position, p.couldReach)
	p.res.Last, p.res.LastTime = at, lastChange(ctx, p.site, at)
	if !p.res.LastTime.IsZero() {
		p.res.AgeSeconds = max(p.opts.Now().Sub(p.res.LastTime).Seconds(), 0)
	}
	p.res.Loss = Loss{Head: later(head, at), Possible: p.differs}
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
		if here.Role == meta.RoleSource { // another promotion of this site came first
			p.res.Already, p.res.Position = true, here.Position
			return nil
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
	own.Feed = 0 // who orders the changes is fed by nobody
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
