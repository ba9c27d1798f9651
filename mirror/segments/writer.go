package segments

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"mirrorfs/meta"
	"mirrorfs/object"
)

const (
	// firstLimit is how many records are asked for before their size is known, maxLimit the
	// most.
	firstLimit = 1000
	maxLimit   = 20_000
	// tailBytes is about how many bytes of records one question gives.
	tailBytes = 1 << 20
	// maxAnchors bounds how often a round begins anew because the log does not follow what
	// is archived.
	maxAnchors = 10
)

// errAnchors says that the log is trimmed while it is read, or its chain is broken.
var errAnchors = errors.New("the log has gaps, or wrong checksums, again and again")

// writer stores a log as it is read.
type writer struct {
	*Archiver
	encoder *encoder
	volume  *meta.Volume
	report  *Report

	at      meta.Archived // up to where it is stored
	end     meta.Archived // after entries
	entries []meta.LogEntry
	bytes   int       // of entries
	oldest  time.Time // when the first of them was made
	due     time.Time // what was made until then is stored although it is no full segment
	settled time.Time // what was made later is not stored
	limit   int       // of a question for records
	anchors int
	done    bool // there is nothing more, or nothing more that is due
}

// isDue reports whether there are entries that must not wait.
func (w *writer) isDue() bool { return len(w.entries) > 0 && !w.oldest.After(w.due) }

// copy stores what is due of the log: full segments, unless this archiver is patient, and
// what was made until the time due.
func (w *writer) copy(ctx context.Context) error {
	for !w.done {
		entries, err := w.opts.Log.Tail(ctx, w.end.Position, w.limit, 0)
		switch {
		case errors.Is(err, meta.ErrGap):
			err = w.anchor(ctx)
		case err == nil && len(entries) == 0:
			w.done = true
		case err == nil:
			err = w.add(ctx, entries)
		}
		if err != nil {
			return err
		}
	}
	if !w.isDue() {
		return nil
	}
	return w.put(ctx)
}

// add takes entries that follow end, and stores segments that are full.
func (w *writer) add(ctx context.Context, entries []meta.LogEntry) error {
	size := 0
	for i := range entries {
		e := &entries[i]
		chain, ok := chainOf(e.Raw), true
		if w.end.Chain != "" {
			chain, ok = meta.CheckChain(w.end.Chain, e.Raw)
		}
		if !ok {
			// What was archived is not what this log is now: it begins anew.
			return w.anchor(ctx)
		}
		made, ok := timeOf(e.Raw)
		if w.done = !ok || made.After(w.settled); w.done {
			return nil
		}
		if len(w.entries) == 0 {
			w.oldest = made
		}
		w.entries = append(w.entries, *e)
		w.end = meta.Archived{Position: e.Position, Chain: chain}
		n := meta.LogEntryBytes(e)
		size += n
		if w.bytes += n; w.bytes >= w.opts.Bytes {
			if w.done = w.opts.Patient && !w.isDue(); w.done {
				return nil
			}
			if err := w.put(ctx); err != nil {
				return err
			}
		}
	}
	w.limit = min(max(tailBytes*len(entries)/max(size, 1), 1), maxLimit)
	return nil
}

// timeOf reads when a record was made, and whether there is one.
func timeOf(raw []byte) (time.Time, bool) {
	ns, ok := meta.RecordTime(raw)
	return time.Unix(0, ns), ok
}

// put stores entries as a segment, and moves up to where the log is archived.
func (w *writer) put(ctx context.Context) error {
	s := Segment{Before: w.at.Chain, After: w.end.Chain, Entries: w.entries}
	if w.at.Position.IsZero() {
		s.Before = meta.EmptyChain
	}
	name := Name{First: s.first(), Last: s.last(), Chain: s.After}
	body := w.encoder.encode(&s)
	err := w.opts.Bucket.PutIfAbsent(ctx, Prefix(w.volume.ID)+name.key(), body)
	if err != nil && !errors.Is(err, object.ErrExist) {
		return err
	}
	if err := w.opts.Log.SetArchived(ctx, w.at, w.end); err != nil {
		return err
	}
	w.opts.Logger.DebugContext(ctx, "a segment of the log was stored", slog.String("first", name.First.String()),
		slog.String("last", name.Last.String()), slog.Int("bytes", len(body)))
	w.report.Segments++
	w.report.Records += len(w.entries)
	w.report.Bytes += int64(len(body))
	w.at, w.entries, w.bytes = w.end, nil, 0
	if mine, err := w.opts.Log.Claim(ctx, claimName, w.name, w.opts.Lease); err != nil || !mine {
		return errors.Join(err, errLostClaim)
	}
	return nil
}

// errLostClaim says that another archiver took over.
var errLostClaim = errors.New("another archiver is at work")

// anchor begins at the oldest record that the log holds.
func (w *writer) anchor(ctx context.Context) error {
	if w.anchors++; w.anchors > maxAnchors {
		return errAnchors
	}
	state, err := w.opts.Log.State(ctx) // first: what is made after it is in the log
	if err != nil {
		return err
	}
	start := meta.Archived{Position: state.Position, Chain: state.Chain} // if the log is empty
	first, err := w.opts.Log.LogStart(ctx)
	switch {
	case err == nil && first.Position.Seq == 1:
		start = meta.Archived{}
	case err == nil:
		start = meta.Archived{Position: meta.Position{Epoch: first.Position.Epoch, Seq: first.Position.Seq - 1}}
	case !errors.Is(err, meta.ErrGap):
		return err
	}
	if err := w.prune(ctx, start.Position.Seq); err != nil {
		return err
	}
	if err := w.opts.Log.SetArchived(ctx, w.at, start); err != nil {
		return err
	}
	level := slog.LevelWarn
	if w.at == (meta.Archived{}) {
		level = slog.LevelInfo
	}
	w.opts.Logger.Log(ctx, level, "the log is archived from its oldest record on", slog.String("after", start.Position.String()))
	w.at, w.end, w.entries, w.bytes = start, start, nil, 0
	return nil
}

// prune deletes the segments that end after a seq and are not what the log says: of a history
// that the metadata server lost.
func (w *writer) prune(ctx context.Context, seq uint64) error {
	archive := &Archive{prefix: Prefix(w.volume.ID)}
	return archive.each(ctx, w.opts.Bucket, seq, func(n Name, info object.Info) (bool, error) {
		before := meta.Position{Epoch: n.Last.Epoch, Seq: n.Last.Seq - 1}
		entries, err := w.opts.Log.Tail(ctx, before, 1, 0)
		if err != nil && !errors.Is(err, meta.ErrGap) {
			return false, err
		}
		if err == nil && len(entries) > 0 && entries[0].Position == n.Last && chainOf(entries[0].Raw) == n.Chain {
			return true, nil
		}
		w.opts.Logger.WarnContext(ctx, "a segment of another history is deleted", slog.String("key", info.Key))
		return true, w.opts.Bucket.Delete(ctx, info.Key)
	})
}

// chainOf is the chain that a record ends with.
func chainOf(raw []byte) string { return string(raw[max(len(raw)-chainBytes, 0):]) }
