package compare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mirrorfs/meta"
)

// Log is where a site stands, and the records after a position.
type Log interface {
	State(ctx context.Context) (meta.State, error)
	Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error)
}

// Site is one side of a comparison.
type Site interface {
	meta.Comparer
	Log
}

// Pair is a source and a mirror of it that follows.
type Pair struct {
	Source, Near Site
	// Patience is how long the mirror may take to reach a position of the source; default 30 s.
	Patience time.Duration
}

// ErrLate says that the mirror did not reach a position of the source in time.
var ErrLate = errors.New("the mirror does not keep up with its source")

// Await waits until the mirror has reached a position, and returns its state.
func (p *Pair) Await(ctx context.Context, at meta.Position) (meta.State, error) {
	patience := p.Patience
	if patience == 0 {
		patience = 30 * time.Second
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := p.Near.State(ctx)
		if err != nil {
			return s, fmt.Errorf("mirror: %w", err)
		}
		if s.Role != meta.RoleMirror {
			return s, fmt.Errorf("%w: its copy is not complete", ErrLate)
		}
		if !s.Position.Before(at) {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			return s, fmt.Errorf("%w: it is at %s, and has not reached %s in %v", ErrLate, s.Position, at, patience)
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// Advance brings a state of the source to a later position of the mirror by the mirror's
// log, which must be the continuation of the source's: meta.ErrDiverged otherwise. meta.ErrGap
// when the mirror's log does not reach back that far; then the state is to be taken anew.
func (p *Pair) Advance(ctx context.Context, from meta.State, to meta.State) (meta.State, error) {
	at, err := follow(ctx, p.Near, from, to.Position, func(*meta.LogEntry, *meta.Record) {})
	if err != nil {
		return at, err
	}
	return at, sameChain(at, to)
}

func sameChain(expected, found meta.State) error {
	if expected.Position == found.Position && expected.Chain != found.Chain {
		return fmt.Errorf("%w: at %s the sums over all records are %s and, at the mirror, %s", meta.ErrDiverged, found.Position, expected.Chain, found.Chain)
	}
	return nil
}

// settleTries bounds how often a range is read again because it changed in a way that its rows
// do not tell of, or because the mirror's log was trimmed meanwhile.
const settleTries = 10

// Settle reads the rows of a range at both sites, brings both to one position by the log, and
// returns how they differ there. A range of marks that changes all the time is taken
// for equal: unsettled is true.
func (p *Pair) Settle(ctx context.Context, from, to meta.Place) (differences []Difference, unsettled bool, err error) {
	for try := 1; ; try++ {
		want, got, moved, err := p.settle(ctx, from, to)
		if errors.Is(err, meta.ErrGap) && try < settleTries {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		differences = Differ(want, got)
		marks := false
		for i := range differences {
			marks = marks || differences[i].Kind == KindMarks
		}
		if !marks || !moved {
			return differences, false, nil
		}
		if try == settleTries {
			return nil, true, nil
		}
	}
}

// settle reads both sides at one position. moved says that slices became known, or were forgotten,
// meanwhile.
func (p *Pair) settle(ctx context.Context, from, to meta.Place) (want, got *Rows, moved bool, err error) {
	watch := func(rec *meta.Record) {
		for i := range rec.Effects {
			switch rec.Effects[i].Kind {
			case meta.EffectSliceWritten, meta.EffectFreed, meta.EffectFreedGone:
				moved = true
			default:
			}
		}
	}
	want, at, err := readAt(ctx, p.Source, from, to, watch)
	if err != nil {
		return nil, nil, moved, fmt.Errorf("source: %w", err)
	}
	if _, err := p.Await(ctx, at.Position); err != nil {
		return nil, nil, moved, err
	}
	got, here, err := readAt(ctx, p.Near, from, to, watch)
	if err != nil {
		return nil, nil, moved, fmt.Errorf("mirror: %w", err)
	}
	at, err = follow(ctx, p.Near, at, here.Position, func(entry *meta.LogEntry, rec *meta.Record) {
		watch(rec)
		want.play(entry, rec)
	})
	if err != nil {
		return nil, nil, moved, err
	}
	return want, got, moved, sameChain(at, here)
}

// readAt reads the rows of a range at one position: records that are made while they are read
// are added after each part. What is read is newer than the records before it, so in the end all
// are as the last record left them.
func readAt(ctx context.Context, site Site, from, to meta.Place, watch func(*meta.Record)) (*Rows, meta.State, error) {
	at, err := site.State(ctx)
	if err != nil {
		return nil, at, err
	}
	rows, err := read(ctx, site, from, to, func(rows *Rows) error {
		head, err := site.State(ctx)
		if err != nil {
			return err
		}
		at, err = follow(ctx, site, at, head.Position, func(entry *meta.LogEntry, rec *meta.Record) {
			watch(rec)
			rows.play(entry, rec)
		})
		return err
	})
	return rows, at, err
}
