package mirror

import (
	"context"
	"errors"
	"log/slog"

	"mirrorfs/meta"
)

// salvage fetches what a source that does not answer has left in segments in a bucket, as far as those go.
// What is in the way of that is in the way of no promotion: it goes without.
func (p *promotion) salvage(ctx context.Context) error {
	if p.opts.Archive == nil {
		return nil
	}
	from, err := p.site.State(ctx)
	if err != nil {
		return err
	}
	catchUp, cancel := context.WithTimeout(ctx, p.opts.CatchUp)
	defer cancel()
	to, err := p.fromSegments(catchUp, from)
	p.res.Salvaged = to.Position.Seq - from.Position.Seq
	if p.opts.DryRun {
		p.couldReach = to.Position
	}
	if err != nil && ctx.Err() == nil {
		p.opts.Logger.WarnContext(ctx, "what the source has left in segments cannot be had to the end", slog.String("up_to", to.Position.String()), slog.Any("error", err))
		err = nil
	}
	return err
}

// fromSegments applies what segments have, or, of a dry run, goes through it. It returns where that ends.
func (p *promotion) fromSegments(ctx context.Context, here meta.State) (meta.State, error) {
	for {
		entries, err := p.nextSegment(ctx, here)
		if errors.Is(err, meta.ErrGap) {
			return here, nil
		}
		if err != nil {
			return here, err
		}
		_, next, err := inspect(entries, here)
		if err != nil {
			return here, err
		}
		if p.opts.DryRun {
			here.Position, here.Chain = next.Position, next.Chain
			continue
		}
		if err := applyAll(ctx, p.site, here, entries); err != nil {
			return here, err
		}
		if here, err = p.site.State(ctx); err != nil { // a runner may be at it too
			return here, err
		}
	}
}

// nextSegment asks for what follows a state, without what was lost in promotions before. A bucket that does
// not answer holds up a promotion for as long as the source does.
func (p *promotion) nextSegment(ctx context.Context, after meta.State) ([]meta.LogEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, p.opts.Timeout)
	defer cancel()
	entries, err := p.opts.Archive.Tail(ctx, after)
	if err != nil {
		return nil, err
	}
	return withoutLost(entries, p.volume.Promotions)
}
