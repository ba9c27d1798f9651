package mirror

import (
	"context"
	"errors"
	"fmt"

	"mirrorfs/meta"
)

// chainAt gives a record's position and the checksum over all up to it, at a site that stands at a state
// and knows of promotions; meta.ErrGap when its log does not hold the record.
func chainAt(ctx context.Context, log meta.Source, promotions []meta.Promotion, state meta.State, seq uint64) (meta.State, error) {
	switch seq {
	case state.Position.Seq:
		return state, nil
	case 0:
		return meta.State{Chain: meta.EmptyChain}, nil
	}
	epoch := state.Position.Epoch
	for i := len(promotions) - 1; i >= 0; i-- {
		if p := &promotions[i]; p.Epoch <= epoch && seq <= p.After.Seq {
			epoch = p.After.Epoch
		}
	}
	entries, err := log.Tail(ctx, meta.Position{Epoch: epoch, Seq: seq - 1}, 1, 0)
	if err != nil {
		return meta.State{}, err
	}
	if len(entries) != 1 || entries[0].Position.Seq != seq || len(entries[0].Raw) < len(meta.EmptyChain) {
		return meta.State{}, fmt.Errorf("%w: the log does not hold record %d", meta.ErrGap, seq)
	}
	raw := entries[0].Raw
	return meta.State{Position: entries[0].Position, Chain: string(raw[len(raw)-len(meta.EmptyChain):])}, nil
}

// parted finds the last record that both sites have. Checksums are over all records up to one: so where
// they are equal all before is, and it is found by halving. meta.ErrDiverged when what the logs still
// hold does not tell.
func (r *rejoining) parted(ctx context.Context) (meta.State, error) {
	high := min(r.at.Position.Seq, r.step.After.Seq)
	old, same, err := r.same(ctx, high)
	if errors.Is(err, meta.ErrDiverged) {
		return r.beforeLogs(ctx, high+1)
	}
	if err != nil || same {
		return old, err
	}
	low := uint64(0) // where both are the same; found is that state
	found := meta.State{Chain: meta.EmptyChain}
	for _, log := range []meta.Source{r.old, r.source} {
		first, err := log.LogStart(ctx)
		if err != nil {
			return old, r.cannotTell(err)
		}
		low = max(low, first.Position.Seq)
	}
	if low > 1 {
		if low >= high {
			return r.beforeLogs(ctx, low)
		}
		if found, same, err = r.same(ctx, low); err != nil {
			return old, err
		}
		if !same {
			return r.beforeLogs(ctx, low)
		}
	} else {
		low = 0
	}
	for low+1 < high {
		middle := low + (high-low)/2
		at, same, err := r.same(ctx, middle)
		if err != nil {
			return old, err
		}
		if same {
			low, found = middle, at
		} else {
			high = middle
		}
	}
	return found, nil
}

// beforeLogs is for sites that differ from the first record on that both logs hold: they may have parted
// right before it, where one of them was copied.
func (r *rejoining) beforeLogs(ctx context.Context, first uint64) (meta.State, error) {
	promotions := r.volume.Promotions
	for _, try := range []struct {
		log, other meta.Source
		state      meta.State
	}{{r.old, r.source, r.from}, {r.source, r.old, r.at}} {
		at, err := chainAt(ctx, try.other, promotions, try.state, first-1)
		if err == nil && beginsAfter(ctx, try.log, at) {
			return at, nil
		}
	}
	return meta.State{}, r.cannotTell(nil)
}

// beginsAfter reports whether a log's first record is the one that follows a state.
func beginsAfter(ctx context.Context, log meta.Source, at meta.State) bool {
	first, err := log.LogStart(ctx)
	if err != nil || first.Position.Seq != at.Position.Seq+1 {
		return false
	}
	_, ok := meta.CheckChain(at.Chain, first.Raw)
	return ok
}

// same compares the two sites at a record, and gives the old source's state there.
func (r *rejoining) same(ctx context.Context, seq uint64) (meta.State, bool, error) {
	promotions := r.volume.Promotions
	old, err := chainAt(ctx, r.old, promotions, r.at, seq)
	if err != nil {
		return old, false, r.cannotTell(err)
	}
	if seq == r.step.After.Seq {
		return old, old.Chain == r.step.Chain, nil
	}
	now, err := chainAt(ctx, r.source, promotions, r.from, seq)
	if err != nil {
		return old, false, r.cannotTell(err)
	}
	return old, old.Chain == now.Chain, nil
}

// cannotTell is for logs that do not reach back to where the sites parted.
func (r *rejoining) cannotTell(cause error) error {
	if cause != nil && !errors.Is(cause, meta.ErrGap) {
		return cause
	}
	return fmt.Errorf("%w: the old source stands at %s and site %s was promoted at %s; their logs do not tell any more from where on they differ, and so not what is lost",
		meta.ErrDiverged, r.at.Position, r.volume.Sites[r.step.Site].Name, r.step.After)
}

// checkHistory refuses a source that stands where this site does or before, and has made other changes: it
// lost the end of its log and went on.
func (p *promotion) checkHistory(ctx context.Context, head meta.State) error {
	here, err := p.site.State(ctx)
	if err != nil {
		return err
	}
	if here.Position.Seq < head.Position.Seq {
		return nil // what follows is checked when it is applied
	}
	at, err := chainAt(ctx, p.site, p.volume.Promotions, here, head.Position.Seq)
	switch {
	case errors.Is(err, meta.ErrGap) && beginsAfter(ctx, p.site, head):
		return nil
	case errors.Is(err, meta.ErrGap):
		p.refuse("the source stands at %s, so far behind the %s that was applied here that nobody can tell whether it went on with other changes", head.Position, here.Position)
	case err != nil:
		return err
	case at.Chain != head.Chain:
		p.refuse("the source lost the end of its log and went on: up to %s it has made changes that are not here", head.Position)
	default:
		return nil
	}
	p.differs = true
	return nil
}
