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
// runner is doing the same. It returns where the site stands.
func drain(ctx context.Context, source meta.Source, site meta.Replica, to meta.Position) (meta.State, error) {
	for {
		here, err := site.State(ctx)
		if err != nil {
			return here, fmt.Errorf("mirror: %w", err)
		}
		if !here.Position.Before(to) {
			return here, nil
		}
		entries, err := source.Tail(ctx, here.Position, drainRecords, 0)
		if err != nil {
			return here, fmt.Errorf("source: %w", err)
		}
		if len(entries) == 0 {
			return here, fmt.Errorf("%w: the source's log ends at %s, before %s", meta.ErrGap, here.Position, to)
		}
		_, err = site.Apply(ctx, here, entries, meta.Position{})
		if err != nil && !errors.Is(err, meta.ErrMoved) {
			return here, fmt.Errorf("mirror: %w", err)
		}
	}
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
