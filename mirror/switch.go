package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"mirrorfs/meta"
)

// SwitchOptions says how the parts of source and mirror are to be exchanged. Dial and
// Address are needed.
type SwitchOptions struct {
	// Dial opens the metadata of a mirror's source. Switch closes what it returns.
	Dial func(ctx context.Context, info Info) (Site, error)
	// Address is where others, the old source among them, reach the metadata of the mirror.
	Address string
	// Archive and Data are as in PromoteOptions.
	Archive Archive
	Data    *DataConfig
	// Wait bounds how long it takes the mirror to come near the source before that is
	// fenced, and again until it has everything after; default 30 s. While the source is
	// fenced no site takes changes.
	Wait time.Duration
	// Now is the clock; nil is time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

// SwitchResult tells what a switch did.
type SwitchResult struct {
	PromoteResult
	// FencedSeconds is how long no site took changes.
	FencedSeconds float64 `json:"fenced_seconds"`
	// Rejoined: the old source is a mirror of the new one now. Trouble says why not.
	Rejoined bool   `json:"rejoined"`
	Trouble  string `json:"trouble,omitempty"`
}

// nearEnough is how many records a mirror may lack when its source is fenced.
const nearEnough = 1000

// Switch makes a mirror the source without any loss, and the source its mirror: the mirror
// comes near, the source is fenced, the mirror fetches the rest and is promoted. When it
// does not get there within Wait, the source takes changes again and nothing has happened.
func Switch(ctx context.Context, site Site, opts SwitchOptions) (res SwitchResult, err error) {
	orDefault(&opts.Wait, 30*time.Second)
	if opts.Address == "" {
		return res, errors.New("switch: the address of this site as others reach it is needed")
	}
	po := PromoteOptions{
		Dial: opts.Dial, Address: opts.Address, Archive: opts.Archive, Data: opts.Data, CatchUp: opts.Wait, Reason: "planned switch", Now: opts.Now, Logger: opts.Logger,
	}
	if err := po.setDefaults(); err != nil {
		return res, err
	}
	p := promotion{site: site, opts: &po}
	err = p.begin(ctx)
	if res.PromoteResult = p.res; err != nil || p.res.Already {
		return res, err
	}
	source, err := p.reach(ctx)
	if err != nil {
		return res, err
	}
	if source == nil {
		return res, fmt.Errorf("%w: a switch needs it; mirrorfs mirror promote goes on without it", errNoAnswer)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := p.comeNear(ctx, source, opts.Wait); err != nil {
		return res, fmt.Errorf("nothing was changed: %w", err)
	}
	begin := po.Now()
	if err := p.withSource(ctx, source); err != nil {
		return res, err
	}
	if len(p.res.Refused) > 0 {
		return res, fmt.Errorf("%w: %s", ErrRefused, p.res.Refused[0])
	}
	if err := p.takeOverOrGiveBack(ctx, source); err != nil {
		return res, err
	}
	res.PromoteResult, res.FencedSeconds = p.res, po.Now().Sub(begin).Seconds()
	// The old source has nothing that is not here: it can follow as it is.
	_, err = Rejoin(ctx, source, site, RejoinOptions{SourceAddress: opts.Address, OldAddress: p.info.Source, Now: opts.Now, Logger: opts.Logger})
	if res.Rejoined = err == nil; err != nil {
		res.Trouble = err.Error()
	}
	return res, nil
}

// comeNear brings the mirror near a source that goes on.
func (p *promotion) comeNear(ctx context.Context, source Site, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		head, err := source.State(ctx)
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		here, err := p.site.State(ctx)
		if err != nil {
			return fmt.Errorf("mirror: %w", err)
		}
		if head.Position.Seq < here.Position.Seq+nearEnough {
			return nil
		}
		if _, err := drain(ctx, source, p.opts.Archive, p.site, head.Position); err != nil {
			return err
		}
	}
}

// takeOverOrGiveBack promotes the mirror, or lets the source go on when that surely was not
// done.
func (p *promotion) takeOverOrGiveBack(ctx context.Context, source Site) error {
	err := p.takeOver(ctx)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.Timeout)
	defer cancel()
	here, stateErr := p.site.State(ctx)
	switch {
	case stateErr != nil:
		return fmt.Errorf("the source stays fenced, for whether this mirror was promoted is not known (%w): run the switch again: %w", stateErr, err)
	case here.Role == meta.RoleSource:
		return nil
	default:
		return errors.Join(fmt.Errorf("the source goes on: %w", err), p.giveBack(ctx, source))
	}
}

// giveBack lets a source that was fenced for this site go on.
func (p *promotion) giveBack(ctx context.Context, source Site) error {
	note, f, err := FenceOf(ctx, source)
	if err != nil || note == "" {
		return err
	}
	if f.Site != p.info.Site {
		return fmt.Errorf("the source is %s: not for this site", &f)
	}
	at, err := source.State(ctx)
	if err != nil {
		return err
	}
	return source.Unfence(ctx, at, note)
}

// AbortSwitch lets a source go on that an interrupted Switch or Promote has left fenced for
// a mirror that was not promoted. It refuses when the mirror was.
func AbortSwitch(ctx context.Context, site Site, opts SwitchOptions) (res SwitchResult, err error) {
	po := PromoteOptions{Dial: opts.Dial, Address: opts.Address, Now: opts.Now, Logger: opts.Logger}
	if err := po.setDefaults(); err != nil {
		return res, err
	}
	p := promotion{site: site, opts: &po}
	err = p.begin(ctx)
	if res.PromoteResult = p.res; err != nil {
		return res, err
	}
	if p.res.Already {
		return res, errors.New("this site is the source already: there is nothing to abort")
	}
	source, err := p.reach(ctx)
	if err != nil {
		return res, err
	}
	if source == nil {
		return res, errNoAnswer
	}
	err = p.giveBack(ctx, source)
	return res, errors.Join(err, source.Close())
}
