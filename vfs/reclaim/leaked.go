package reclaim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/object"
)

// LeakReport counts the objects of buckets.
type LeakReport struct {
	Listed Amount `json:"listed"`
	// Leaked is what no metadata knows, Deleted what was deleted of it.
	Leaked  Amount `json:"leaked"`
	Deleted Amount `json:"deleted"`
	// Young is what no metadata knows yet: it may be just being written.
	Young Amount `json:"young"`
	// Ahead are blocks of slices whose numbers have not been given out: the
	// metadata is older than the bucket. They are not deleted.
	Ahead Amount `json:"ahead"`
	// Kept is what no metadata knows and a source that was replaced may have known: until
	// it has rejoined, and for the trash time from then on.
	Kept Amount `json:"kept"`
	// Foreign is what is no block, with a few names. It is never touched.
	Foreign      Amount   `json:"foreign"`
	ForeignNames []string `json:"foreign_names,omitempty"`
}

// DefaultLeakAge is after which time a block that no metadata knows is taken for
// leaked. A client commits what it writes within seconds, and goes on trying for as
// long as it runs: it would have to be cut off for that long.
const DefaultLeakAge = 24 * time.Hour

const maxForeignNames = 10

// Leaked looks through a bucket for blocks that no metadata knows and that are older than
// an age, and deletes them. It asks for a page of the bucket at a time.
func (r *Reclaimer) Leaked(ctx context.Context, bucket object.Store, age time.Duration) error {
	if err := r.onlyFollowers(ctx); err != nil {
		return err
	}
	v, err := r.opts.Meta.Volume(ctx)
	if err != nil {
		return err
	}
	limit := bounds{old: r.opts.Now().Add(-age), kept: keptBelow(&v, r.opts.Now())}
	after := ""
	for {
		page, err := bucket.List(ctx, "", after, object.MaxListed)
		if err != nil {
			return fmt.Errorf("list %s: %w", bucket, err)
		}
		if err := r.sift(ctx, bucket, page, limit); err != nil {
			return err
		}
		r.progress()
		if len(page) < object.MaxListed {
			return nil
		}
		after = page[len(page)-1].Key
	}
}

// bounds say which blocks that no metadata knows are not leaked: those that were written
// after old, and those of slice numbers below kept.
type bounds struct {
	old  time.Time
	kept uint64
}

// keptBelow is below which slice number a source that was replaced may have known data of
// which nothing else tells.
func keptBelow(v *meta.Volume, now time.Time) uint64 {
	kept := uint64(0)
	for i := range v.Promotions {
		if p := &v.Promotions[i]; p.Rejoined.IsZero() || now.Before(p.Rejoined.Add(v.Trash)) {
			kept = max(kept, p.NextSlice)
		}
	}
	return kept
}

// ErrMirrorAstray says that a mirror has changes that the source does not have.
var ErrMirrorAstray = errors.New("it may need blocks that are unknown here; mend or remove it first")

// onlyFollowers refuses to go by metadata that lost changes which a mirror has: it may
// read blocks that are unknown here.
func (r *Reclaimer) onlyFollowers(ctx context.Context) error {
	mirrors, err := r.opts.Meta.Mirrors(ctx)
	if err != nil {
		return err
	}
	state, err := r.opts.Meta.State(ctx)
	if err != nil {
		return err
	}
	for i := range mirrors {
		if m := &mirrors[i]; m.State == "stalled" || state.Position.Before(m.Applied) {
			return fmt.Errorf("mirror %s does not follow this source (state %s, at %s, the source at %s): %w", m.Name, m.State, m.Applied, state.Position, ErrMirrorAstray)
		}
	}
	return nil
}

// sift counts the objects of a page, and deletes what is leaked.
func (r *Reclaimer) sift(ctx context.Context, bucket object.Store, page []object.Info, limit bounds) error {
	var ids []uint64
	blocks := make([]uint64, len(page)) // their slices
	place := map[uint64]int{}
	for i := range page {
		_, slice, _, ok := chunk.ParseKey(page[i].Key)
		if !ok || slice == 0 || slice > meta.MaxSlice {
			continue
		}
		blocks[i] = slice
		if _, known := place[slice]; !known {
			place[slice], ids = len(ids), append(ids, slice)
		}
	}
	known, err := r.opts.Meta.Known(ctx, ids)
	if err != nil {
		return err
	}
	state, err := r.opts.Meta.State(ctx)
	if err != nil {
		return err
	}
	var doomed []*object.Info
	l := &r.report.Leaked
	for i := range page {
		info := &page[i]
		l.Listed.add(1, info.Size)
		switch slice := blocks[i]; {
		case slice == 0:
			r.foreign(info)
		case known[place[slice]]:
		case slice >= state.NextSlice:
			l.Ahead.add(1, info.Size)
		case slice < limit.kept:
			l.Kept.add(1, info.Size)
		case info.ModTime.After(limit.old):
			l.Young.add(1, info.Size)
		default:
			l.Leaked.add(1, info.Size)
			doomed = append(doomed, info)
		}
	}
	if r.opts.DryRun {
		return nil
	}
	return r.deleteLeaked(ctx, bucket, doomed)
}

func (r *Reclaimer) deleteLeaked(ctx context.Context, bucket object.Store, doomed []*object.Info) error {
	g, deleting := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Workers)
	for _, info := range doomed {
		if err := r.limiter.Wait(deleting); err != nil {
			return errors.Join(g.Wait(), err)
		}
		g.Go(func() error { return r.delete(deleting, bucket, info.Key) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, info := range doomed {
		r.report.Leaked.Deleted.add(1, info.Size)
	}
	return nil
}

// foreign counts what is no block, unless it is mirrorfs's own.
func (r *Reclaimer) foreign(info *object.Info) {
	if info.Key == "volume.json" || strings.HasPrefix(info.Key, "probe/") || strings.HasPrefix(info.Key, "log/") {
		return
	}
	l := &r.report.Leaked
	l.Foreign.add(1, info.Size)
	if len(l.ForeignNames) < maxForeignNames {
		l.ForeignNames = append(l.ForeignNames, info.Key)
	}
}
