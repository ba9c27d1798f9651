package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"mirrorfs/meta"
)

// record is an entry of the log with what the runner wants to know of it.
type record struct {
	entry meta.LogEntry
	time  int64 // ns
	op    meta.Op
}

// fetched is what one look at the source's log gave.
type fetched struct {
	records []record
	// sent is when the source was asked; drained, that it had no more.
	sent    time.Time
	drained bool
	err     error // what is in the way after the records
}

// checkIdle is how often, while nothing happens, the source is asked whether it
// still stands where this site does.
const checkIdle = 5 * time.Second

// follow applies the source's log from a state on: the next batch is fetched
// while one is applied. It returns only with an error.
func (r *runner) follow(ctx context.Context, src Upstream, state meta.State, target meta.Position, backoff *backoff) error {
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan fetched, 1)
	var fetching sync.WaitGroup
	defer func() { cancel(); fetching.Wait() }()
	from := state
	fetching.Go(func() { r.fetch(ctx, src, from, batches) })

	if !target.IsZero() && !state.Position.Before(target) { // nothing happened during the copy
		next, err := r.apply(ctx, state, nil, target)
		if err != nil {
			return err
		}
		state = next
	}
	checked := r.cfg.Now()
	for f := range batches {
		next, err := r.apply(ctx, state, f.records, target)
		if err != nil {
			return err
		}
		state = next
		if f.err != nil {
			return f.err
		}
		backoff.reset()
		r.progress.following(state, f)
		for _, rec := range f.records {
			if rec.op == meta.OpSettings || rec.op == meta.OpFailover { // it may be this mirror's removal
				return errAgain
			}
		}
		if now := r.cfg.Now(); len(f.records) == 0 && now.Sub(checked) > checkIdle {
			checked = now
			if err := r.check(ctx, src, state); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// fetch reads the log and sends it on, up to what is in the way.
func (r *runner) fetch(ctx context.Context, src Upstream, after meta.State, out chan<- fetched) {
	defer close(out)
	limit, archived := r.cfg.TailRecords, false
	for {
		f := fetched{sent: r.cfg.Now()}
		var entries []meta.LogEntry
		entries, archived, f.err = r.next(ctx, src, after, limit, archived)
		if f.err == nil {
			f.drained = len(entries) < limit && !archived && !r.info.fed() // of the feeder's log the source may have more
			f.records, after, f.err = inspect(entries, after)
			limit = r.nextLimit(limit, entries)
		}
		select {
		case out <- f:
		case <-ctx.Done():
			return
		}
		if f.err != nil {
			return
		}
	}
}

// next gives the records that follow a state, from the source's log, or from its segments
// when the log does not hold them any more. Once it reads segments it does so to their end:
// archived says that it does.
func (r *runner) next(ctx context.Context, src Upstream, after meta.State, limit int, archived bool) ([]meta.LogEntry, bool, error) {
	if archived {
		entries, err := r.fromArchive(ctx, after)
		if !errors.Is(err, meta.ErrGap) && !errors.Is(err, meta.ErrDiverged) {
			return entries, true, r.explainArchive(after, err)
		}
	}
	entries, err := r.tail(ctx, src, after.Position, limit)
	if !errors.Is(err, meta.ErrGap) || r.cfg.Archive == nil {
		return entries, false, r.explainTail(ctx, src, after, err)
	}
	if worse := r.checkHead(ctx, src, after); worse != nil {
		return nil, false, worse
	}
	r.cfg.Logger.InfoContext(ctx, "the source's log does not reach back so far: reading its segments", slog.String("after", after.Position.String()))
	entries, err = r.fromArchive(ctx, after)
	return entries, true, r.explainArchive(after, err)
}

// fromArchive asks for the records of a segment.
func (r *runner) fromArchive(ctx context.Context, after meta.State) ([]meta.LogEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.ArchiveTimeout)
	defer cancel()
	entries, err := r.cfg.Archive.Tail(ctx, after)
	if err == nil {
		entries, err = r.withoutLost(entries)
	}
	if err == nil {
		r.metrics.segment(len(entries))
	}
	return entries, err
}

// tail asks for records, and for a limited time: a cable that was pulled tells
// nobody.
func (r *runner) tail(ctx context.Context, src Upstream, after meta.Position, limit int) ([]meta.LogEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.TailWait+r.cfg.CallTimeout)
	defer cancel()
	return src.Tail(ctx, after, limit, r.cfg.TailWait)
}

// nextLimit is how many records make about TailBytes, going by the last ones.
func (r *runner) nextLimit(limit int, last []meta.LogEntry) int {
	size := 0
	for i := range last {
		size += len(last[i].Raw)
	}
	if size == 0 {
		return limit
	}
	return min(max(r.cfg.TailBytes*len(last)/size, 1), r.cfg.TailRecords)
}

// apply applies records in steps of bounded size.
func (r *runner) apply(ctx context.Context, state meta.State, records []record, target meta.Position) (meta.State, error) {
	if state.Role != meta.RoleBootstrapping {
		target = meta.Position{} // if the site is made anew, the target of its last copy means nothing
	}
	for first := true; first && !target.IsZero() || len(records) > 0; first = false {
		var step []meta.LogEntry
		size := 0
		for len(records) > 0 && len(step) < r.cfg.ApplyRecords && (size == 0 || size+len(records[0].entry.Raw) <= r.cfg.ApplyBytes) {
			step = append(step, records[0].entry)
			size += len(records[0].entry.Raw)
			r.progress.applying(records[0].time)
			records = records[1:]
		}
		next, err := r.cfg.Replica.Apply(ctx, state, step, target)
		if err != nil {
			return state, explainApply(state, err)
		}
		if state.Role == meta.RoleBootstrapping && next.Role == meta.RoleMirror {
			r.cfg.Logger.InfoContext(ctx, "the first copy is complete", slog.String("position", next.Position.String()))
		}
		state = next
		r.progress.stands(state)
		r.metrics.applied(len(step), size)
	}
	return state, nil
}

func explainApply(state meta.State, err error) error {
	if errors.Is(err, meta.ErrGap) || errors.Is(err, meta.ErrDiverged) {
		return stall(err, "this site refuses what the source's log has after %s: %v; %s", state.Position, err, mendIt)
	}
	return err
}
