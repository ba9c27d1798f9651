package dump

import (
	"context"
	"fmt"

	"mirrorfs/meta"
)

// Sink takes a copy of a volume, part by part. It keeps nothing of what it is given.
type Sink interface {
	// Rows takes rows as they were when they were read.
	Rows(effects []meta.Effect) error
	// Records takes changes, in order and without a gap.
	Records(entries []meta.LogEntry, records []meta.Record) error
}

// Copy gives a sink all rows of a volume while it changes, from a state on, and after each
// part of them the records that were made since the one before. A sink that takes
// everything in order has the rows as they are at the state returned: a row that is
// newer than a record which follows it is made so again by later ones, for they are
// absolute; and a record never comes after rows that are older than itself, because it
// was read before them. meta.ErrGap when the log does not reach from one part to the
// next.
func Copy(ctx context.Context, src Source, from meta.State, to Sink, opts Options) (meta.State, error) {
	opts.setDefaults()
	at := from
	for cursor := meta.Cursor(nil); ; {
		batch, err := src.Scan(ctx, cursor, opts.Rows)
		if err != nil {
			return at, fmt.Errorf("scan: %w", err)
		}
		effects, err := meta.DecodeDamaged(batch.Effects, opts.Damaged)
		if err != nil {
			return at, fmt.Errorf("scan: %w", err)
		}
		if err := to.Rows(effects); err != nil {
			return at, err
		}
		head, err := src.State(ctx)
		if err != nil {
			return at, err
		}
		if at, err = Follow(ctx, src, at, head.Position, to, opts); err != nil {
			return at, err
		}
		opts.Progress(batch.Done, max(batch.Done, batch.Total))
		if cursor = batch.Next; cursor == nil {
			return at, nil
		}
	}
}

// Follow gives a sink the records from a state up to a position, and returns the state
// after the last.
func Follow(ctx context.Context, src Source, from meta.State, to meta.Position, sink Sink, opts Options) (meta.State, error) {
	opts.setDefaults()
	at := from
	for at.Position.Before(to) {
		entries, err := src.Tail(ctx, at.Position, opts.Records, 0)
		if err != nil {
			return at, fmt.Errorf("log: %w", err)
		}
		if len(entries) == 0 {
			return at, fmt.Errorf("log: nothing follows %s, and the state is at %s: %w", at.Position, to, meta.ErrGap)
		}
		records := make([]meta.Record, len(entries))
		for i := range entries {
			if records[i], err = advance(&at, &entries[i]); err != nil {
				return at, err
			}
		}
		if err := sink.Records(entries, records); err != nil {
			return at, err
		}
	}
	return at, nil
}

// advance moves a state over a record, which must follow it.
func advance(s *meta.State, e *meta.LogEntry) (meta.Record, error) {
	if e.Position.Seq != s.Position.Seq+1 || e.Position.Epoch < s.Position.Epoch {
		return meta.Record{}, fmt.Errorf("%w: %s follows %s", meta.ErrGap, e.Position, s.Position)
	}
	chain, ok := meta.CheckChain(s.Chain, e.Raw)
	if !ok {
		return meta.Record{}, fmt.Errorf("%w: checksum of record %s", meta.ErrDiverged, e.Position)
	}
	r, err := meta.DecodeRecord(e.Raw)
	if err != nil {
		return r, fmt.Errorf("record %s: %w", e.Position, err)
	}
	s.Position, s.Chain, s.Counters = e.Position, chain, r.After
	return r, nil
}
