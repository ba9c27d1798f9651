package segments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mirrorfs/meta"
)

// Target is a replica that a log is replayed into.
type Target interface {
	Apply(ctx context.Context, from meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error)
}

// Records gives records that follow a state, in order: meta.ErrGap when it does not have
// them, or there are none. An Archive is one, and so is a log (LogOf).
type Records interface {
	Tail(ctx context.Context, after meta.State) ([]meta.LogEntry, error)
}

// Limit is where a replay ends. The zero value is the end of the log.
type Limit struct {
	// Position, if not zero, is the last record that is replayed.
	Position meta.Position
	// Time, if not zero, ends the replay before the first record that was made later, by the
	// clock of the client that made it.
	Time time.Time
}

// Replayed tells what a replay did.
type Replayed struct {
	State meta.State // of the target
	// Time is when the last record that was replayed was made, zero when there was none.
	Time    time.Time
	Records int64
	// AtEnd says that the replay came to the end of the records that there are, not to the limit.
	AtEnd bool
}

// ErrNotReached says that the log ends before the limit.
var ErrNotReached = errors.New("the log does not reach so far")

// Replay applies what follows a state up to a limit, taking records from wherever they are,
// the first that has them. Each is checked against the chain. ErrNotReached when a position is
// wanted that is not there; of a time, AtEnd says that more may have happened before it.
func Replay(ctx context.Context, to Target, from meta.State, limit Limit, sources ...Records) (Replayed, error) {
	r := Replayed{State: from}
	for limit.Position.IsZero() || r.State.Position.Before(limit.Position) {
		entries, err := next(ctx, r.State, sources)
		if errors.Is(err, meta.ErrGap) {
			r.AtEnd = true
			break
		}
		if err != nil {
			return r, err
		}
		entries, last := limit.cut(entries)
		for len(entries) > 0 {
			n := min(len(entries), applyRecords)
			if r.State, err = to.Apply(ctx, r.State, entries[:n], meta.Position{}); err != nil {
				return r, err
			}
			ns, _ := meta.RecordTime(entries[n-1].Raw)
			r.Time, r.Records, entries = time.Unix(0, ns), r.Records+int64(n), entries[n:]
		}
		if last {
			break
		}
	}
	if !limit.Position.IsZero() && r.State.Position != limit.Position {
		return r, fmt.Errorf("%w: it was replayed up to %s, and %s is wanted", ErrNotReached, r.State.Position, limit.Position)
	}
	return r, nil
}

// applyRecords is how many records are applied at a time.
const applyRecords = 1000

// next asks one source after the other for what follows a state.
func next(ctx context.Context, after meta.State, sources []Records) ([]meta.LogEntry, error) {
	var diverged error
	for _, s := range sources {
		entries, err := s.Tail(ctx, after)
		switch {
		case err == nil && len(entries) > 0:
			return entries, nil
		case errors.Is(err, meta.ErrDiverged):
			diverged = err
		case err != nil && !errors.Is(err, meta.ErrGap):
			return nil, err
		}
	}
	if diverged != nil {
		return nil, diverged
	}
	return nil, meta.ErrGap
}

// cut takes away what is beyond the limit, and reports whether something was.
func (l *Limit) cut(entries []meta.LogEntry) ([]meta.LogEntry, bool) {
	for i := range entries {
		ns, _ := meta.RecordTime(entries[i].Raw)
		beyond := !l.Position.IsZero() && l.Position.Before(entries[i].Position)
		if beyond || !l.Time.IsZero() && time.Unix(0, ns).After(l.Time) {
			return entries[:i], true
		}
	}
	return entries, false
}

// LogOf gives the records that a log still holds.
func LogOf(log interface {
	Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error)
},
) Records {
	return logRecords{log.Tail}
}

type logRecords struct {
	tail func(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error)
}

// Tail implements Records.
func (l logRecords) Tail(ctx context.Context, after meta.State) ([]meta.LogEntry, error) {
	entries, err := l.tail(ctx, after.Position, maxLimit, 0)
	if err == nil && len(entries) > 0 {
		if _, ok := meta.CheckChain(after.Chain, entries[0].Raw); !ok {
			return nil, fmt.Errorf("%w: the log has other records after %s", meta.ErrDiverged, after.Position)
		}
	}
	return entries, err
}
