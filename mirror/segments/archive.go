package segments

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mirrorfs/meta"
	"mirrorfs/object"
)

// Archive is the segments of a volume, in the buckets of the sites that were its source.
type Archive struct {
	prefix  string
	buckets []object.Store
	decoder *Decoder
}

// NewArchive makes one. The buckets stay the caller's, and are asked in order.
func NewArchive(volumeID string, buckets ...object.Store) (*Archive, error) {
	d, err := NewDecoder()
	if err != nil {
		return nil, err
	}
	return &Archive{prefix: Prefix(volumeID), buckets: buckets, decoder: d}, nil
}

// candidates is how many segments are looked at that end at or after a record: those of
// several archivers overlap.
const candidates = 100

// Tail returns the records that follow a state, as many as a segment has: at least one,
// which continues the state's chain. Errors: meta.ErrGap when no segment has the next
// record; meta.ErrDiverged when those that have it are of another history; *DamagedError when
// it cannot be read; else those of the buckets.
func (a *Archive) Tail(ctx context.Context, after meta.State) ([]meta.LogEntry, error) {
	var failed []error
	var best []meta.LogEntry
	diverged := false
	for _, bucket := range a.buckets {
		names, err := a.holding(ctx, bucket, after.Position.Seq+1)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			s, err := a.read(ctx, bucket, name)
			if err != nil {
				failed = append(failed, err)
				continue
			}
			rest := s.Entries[after.Position.Seq+1-s.first().Seq:]
			if _, ok := meta.CheckChain(after.Chain, rest[0].Raw); !ok || rest[0].Position.Epoch < after.Position.Epoch {
				diverged = true
			} else if isBetter(rest, best) {
				best = rest
			}
		}
	}
	switch {
	case best != nil:
		return best, nil
	case len(failed) > 0:
		return nil, errors.Join(failed...)
	case diverged:
		return nil, fmt.Errorf("%w: the segments that have what follows %s are of another history", meta.ErrDiverged, after.Position)
	default:
		return nil, fmt.Errorf("%w: no segment has what follows %s", meta.ErrGap, after.Position)
	}
}

// isBetter reports whether to take one part of the log rather than another. What a source
// wrote before another site was promoted, and that site never saw, continues the chain too: the
// epoch tells it from what is right.
func isBetter(entries, than []meta.LogEntry) bool {
	if len(than) == 0 || entries[0].Position.Epoch != than[0].Position.Epoch {
		return len(than) == 0 || entries[0].Position.Epoch > than[0].Position.Epoch
	}
	return len(entries) > len(than)
}

// holding gives the segments of a bucket that have a record.
func (a *Archive) holding(ctx context.Context, bucket object.Store, seq uint64) ([]Name, error) {
	page, err := bucket.List(ctx, a.prefix, a.prefix+afterLast(seq-1), candidates)
	if err != nil {
		return nil, fmt.Errorf("segments of the log: %w", err)
	}
	var names []Name
	for i := range page {
		n, ok := parseName(strings.TrimPrefix(page[i].Key, a.prefix))
		if ok && n.First.Seq <= seq && seq <= n.Last.Seq {
			names = append(names, n)
		}
	}
	return names, nil
}

// DamagedError says which segment is not what was stored.
type DamagedError struct {
	Key string
	Err error
}

// Error names the segment.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the segment %s is damaged: %v", e.Key, e.Err)
}

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// read gets a segment.
func (a *Archive) read(ctx context.Context, bucket object.Store, name Name) (s *Segment, err error) {
	key := a.prefix + name.key()
	r, err := bucket.Get(ctx, key, 0, int64(headerBytes+maxStoredBytes+1))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w", key, err)
	}
	s, err = a.decoder.Decode(b)
	if err == nil && (s.first() != name.First || s.last() != name.Last || s.After != name.Chain) {
		err = errContents
	}
	if err != nil {
		return nil, &DamagedError{Key: key, Err: err}
	}
	return s, nil
}

// Summary is what segments there are.
type Summary struct {
	Segments int64 `json:"segments"`
	Bytes    int64 `json:"bytes"` // as stored
	// First is the oldest record, and Last the newest; zero when there are no segments.
	First meta.Position `json:"first"`
	Last  meta.Position `json:"last"`
}

// Summary lists all segments.
func (a *Archive) Summary(ctx context.Context) (Summary, error) {
	var sum Summary
	for _, bucket := range a.buckets {
		err := a.each(ctx, bucket, 0, func(n Name, info object.Info) (bool, error) {
			sum.Segments++
			sum.Bytes += info.Size
			if sum.First.IsZero() || n.First.Before(sum.First) {
				sum.First = n.First
			}
			if sum.Last.Before(n.Last) {
				sum.Last = n.Last
			}
			return true, nil
		})
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// each gives the segments of a bucket that end after a seq by their last record, until do
// returns false.
func (a *Archive) each(ctx context.Context, bucket object.Store, seq uint64, do func(Name, object.Info) (bool, error)) error {
	for after := a.prefix + afterLast(seq); ; {
		page, err := bucket.List(ctx, a.prefix, after, object.MaxListed)
		if err != nil {
			return fmt.Errorf("segments of the log: %w", err)
		}
		for i := range page {
			n, ok := parseName(strings.TrimPrefix(page[i].Key, a.prefix))
			if !ok {
				continue
			}
			if more, err := do(n, page[i]); err != nil || !more {
				return err
			}
		}
		if len(page) < object.MaxListed {
			return nil
		}
		after = page[len(page)-1].Key
	}
}

// expire deletes what was stored before a time, the oldest records first, and tells how many
// segments that were.
func (a *Archive) expire(ctx context.Context, bucket object.Store, before time.Time) (int, error) {
	deleted := 0
	err := a.each(ctx, bucket, 0, func(n Name, info object.Info) (bool, error) {
		if !info.ModTime.Before(before) {
			return false, nil
		}
		if err := bucket.Delete(ctx, info.Key); err != nil {
			return false, err
		}
		deleted++
		return true, nil
	})
	return deleted, err
}
