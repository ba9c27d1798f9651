package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mirrorfs/meta"
)

// drainRecords is how many records are fetched and applied at a time.
const drainRecords = 500

// drain applies what a site lacks of its source's log, up to a position, whether or not a
// runner is doing the same. What the log does not hold any more comes from archive, unless that is
// nil. It returns where the site stands.
func drain(ctx context.Context, source meta.Source, archive Archive, site meta.Replica, to meta.Position) (meta.State, error) {
	for {
		here, err := site.State(ctx)
		if err != nil {
			return here, fmt.Errorf("mirror: %w", err)
		}
		if !here.Position.Before(to) {
			return here, nil
		}
		entries, err := source.Tail(ctx, here.Position, drainRecords, 0)
		if errors.Is(err, meta.ErrGap) && archive != nil {
			entries, err = archive.Tail(ctx, here)
		}
		if err != nil {
			return here, fmt.Errorf("source: %w", err)
		}
		if len(entries) == 0 {
			return here, fmt.Errorf("%w: the source's log ends at %s, before %s", meta.ErrGap, here.Position, to)
		}
		if err := applyAll(ctx, site, here, entries); err != nil {
			return here, err
		}
	}
}

// applyAll applies entries in steps, until somebody else applies some.
func applyAll(ctx context.Context, site meta.Replica, here meta.State, entries []meta.LogEntry) error {
	for len(entries) > 0 {
		n := min(len(entries), drainRecords)
		var err error
		if here, err = site.Apply(ctx, here, entries[:n], meta.Position{}); errors.Is(err, meta.ErrMoved) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("mirror: %w", err)
		}
		entries = entries[n:]
	}
	return nil
}

// lastChange tells when the last record of a site was made, by its client's clock; zero when
// the log does not hold it any more.
func lastChange(ctx context.Context, site meta.Source, at meta.Position) time.Time {
	if at.Seq == 0 {
		return time.Time{}
	}
	// A position of the same epoch right before it is before the record whatever epoch the one
	// before it has.
	entries, err := site.Tail(ctx, meta.Position{Epoch: at.Epoch, Seq: at.Seq - 1}, 1, 0)
	if err != nil || len(entries) != 1 {
		return time.Time{}
	}
	r, err := meta.DecodeRecord(entries[0].Raw)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, r.Time).UTC()
}
