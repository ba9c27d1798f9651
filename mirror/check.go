package mirror

import (
	"context"
	"errors"
	"fmt"

	"mirrorfs/meta"
	"mirrorfs/mirror/segments"
)

const (
	newCopy = "for a new copy, run `mirrorfs mirror remove` and `mirrorfs mirror add`"
	mendIt  = "run `mirrorfs mirror repair`, which copies only what differs"
)

func (r *runner) noVolume(err error) *stallError {
	return &stallError{state: StateStalled, err: err, reason: "the address of " + r.info.upstreamName() + " answers, but holds no volume: its metadata was lost or it is another server; restore it, and this mirror goes on"}
}

// checkVolume makes sure that the source is the one that this mirror was made
// from and still counts it among its sites.
func (r *runner) checkVolume(ctx context.Context, src Upstream) (meta.Volume, error) {
	v, err := src.Volume(ctx)
	switch {
	case errors.Is(err, meta.ErrNoVolume):
		return v, r.noVolume(err)
	case err != nil:
		return v, atSource(err)
	case v.ID != r.info.VolumeID:
		return v, stall(nil, "the source's address holds another volume than the one that was mirrored (id %s, want %s): put the right one back, or, %s", v.ID, r.info.VolumeID, newCopy)
	case v.Sites[r.info.Site].Name != r.info.Name:
		return v, r.isRemoved(ctx, src)
	}
	r.promotions.Store(&v.Promotions)
	return v, nil
}

// check makes sure that the source is the right one and has not gone back behind
// what was applied here.
func (r *runner) check(ctx context.Context, src Upstream, here meta.State) error {
	v, err := r.checkVolume(ctx, src)
	if err != nil {
		return err
	}
	if err := r.sourceMoved(ctx, src, &v); err != nil {
		return err
	}
	if p, ok := v.PromotedAfter(here.Position); ok && p.After.Before(here.Position) {
		return stall(meta.ErrDiverged, "this mirror has applied up to %s, but site %s was promoted at %s: the changes between were lost to the volume; %s", here.Position, v.Sites[p.Site].Name, p.After, newCopy)
	}
	return r.checkHead(ctx, src, here)
}

// checkHead compares where the source stands with where this site stood before.
func (r *runner) checkHead(ctx context.Context, src Upstream, here meta.State) error {
	asked := r.cfg.Now()
	s, err := src.State(ctx)
	if err != nil {
		return atSource(err)
	}
	if !r.info.fed() {
		r.progress.sawHead(asked, s.Position)
	}
	if s.Role == meta.RoleMirror || s.Role == meta.RoleBootstrapping {
		if err := r.rejoined(ctx, src); err != nil {
			return err
		}
	}
	switch {
	case s.Role == meta.RoleFenced:
		return r.replaced(ctx, src)
	case s.Role == meta.RoleBootstrapping:
		return atSource(errors.New("its own first copy is not complete"))
	case s.Position.Before(here.Position) && r.info.fed() && s.Role == meta.RoleMirror:
		return &behindError{at: s.Position, here: here.Position}
	case s.Position.Before(here.Position):
		return stall(meta.ErrDiverged, "the source stands at %s, behind the %s that was applied here: it lost the end of its log or was restored from an older state; restore the newer state there, and this mirror goes on, or, %s", s.Position, here.Position, mendIt)
	case s.Position == here.Position && s.Chain != here.Chain:
		return stall(meta.ErrDiverged, "the source's log differs from what was applied here although both stand at %s: it lost the end of its log and went on; restore the right state there, or, %s", s.Position, mendIt)
	}
	return nil
}

// explainTail turns an error of Tail into what it means.
func (r *runner) explainTail(ctx context.Context, src Upstream, after meta.State, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, meta.ErrGap):
		if worse := r.checkHead(ctx, src, after); worse != nil {
			return worse
		}
		return stall(err, "the source's log does not continue after %s: the records that follow were trimmed or lost; %s", after.Position, mendIt)
	case errors.Is(err, meta.ErrNoVolume):
		return r.noVolume(err)
	default:
		return atSource(err)
	}
}

// explainArchive turns an error of Config.Archive into what it means. The log of the source
// was found not to reach back so far.
func (r *runner) explainArchive(after meta.State, err error) error {
	var damaged *segments.DamagedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, meta.ErrGap):
		return stall(err, "the source's log does not continue after %s: the records that follow were trimmed or lost, and no segment in its bucket has them: this mirror was away for longer than the log is kept, or segments were deleted; %s", after.Position, newCopy)
	case errors.Is(err, meta.ErrDiverged):
		return stall(err, "the source's log was archived with other records after %s than those applied here: the source lost the end of its log and went on; restore the right state there, or, %s", after.Position, newCopy)
	case errors.As(err, &damaged):
		return stall(err, "%v; put the right object back, and this mirror goes on, or, %s", damaged, newCopy)
	default:
		return atSource(fmt.Errorf("its segments: %w", err))
	}
}

// inspect takes entries as far as they follow the state given: contiguous,
// chained and readable. It returns how many those are, the state after them, and
// what is wrong with the next one.
func inspect(entries []meta.LogEntry, after meta.State) (good []record, end meta.State, err error) {
	good = make([]record, 0, len(entries))
	for _, e := range entries {
		if e.Position.Seq != after.Position.Seq+1 || e.Position.Epoch < after.Position.Epoch {
			return good, after, stall(meta.ErrGap, "the source's log goes from %s to %s: records between them are missing; %s", after.Position, e.Position, mendIt)
		}
		chain, ok := meta.CheckChain(after.Chain, e.Raw)
		if !ok {
			return good, after, stall(meta.ErrDiverged, "the record %s of the source fails its checksum: the log was damaged, or differs from what was applied here; restore the right record there, and this mirror goes on, or, %s", e.Position, mendIt)
		}
		decoded, err := meta.DecodeRecord(e.Raw)
		if err != nil {
			return good, after, stall(err, "the record %s of the source cannot be read: %v", e.Position, err)
		}
		good = append(good, record{entry: e, time: decoded.Time, op: decoded.Op})
		after.Position, after.Chain = e.Position, chain
	}
	return good, after, nil
}
