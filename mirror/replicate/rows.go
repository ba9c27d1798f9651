package replicate

import (
	"context"
	"fmt"

	"mirrorfs/meta"
)

// chooser says of which slices the data is wanted.
type chooser interface {
	// all gives the slices of all rows, some at a time. One may be given more than once.
	all(ctx context.Context, give func([]meta.Slice) error) error
	// added gives the slices that are wanted since a record was made.
	added(ctx context.Context, e *meta.LogEntry) ([]meta.Slice, error)
}

// whole is the whole volume.
type whole struct{ site Site }

// scanRows is how many rows are looked at at a time.
const scanRows = 2000

func (w whole) all(ctx context.Context, give func([]meta.Slice) error) error {
	var cursor meta.Cursor
	for {
		b, err := w.site.Scan(ctx, cursor, scanRows)
		if err != nil {
			return err
		}
		effects, err := meta.DecodeEffects(b.Effects)
		if err != nil {
			return err
		}
		var found sliceSet
		for i := range effects {
			if err := found.of(&effects[i]); err != nil {
				return err
			}
		}
		if err := give(found.list); err != nil {
			return err
		}
		if cursor = b.Next; cursor == nil {
			return nil
		}
	}
}

// added are those that the record made known: clones and moves add none.
func (w whole) added(_ context.Context, e *meta.LogEntry) ([]meta.Slice, error) {
	rec, err := meta.DecodeRecord(e.Raw)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", e.Position, err)
	}
	var found sliceSet
	for i := range rec.Effects {
		if rec.Effects[i].Kind == meta.EffectSliceWritten {
			found.add(rec.Effects[i].Slice)
		}
	}
	return found.list, nil
}

// sliceSet collects slices, each once.
type sliceSet struct {
	list []meta.Slice
	has  map[uint64]bool
}

func (s *sliceSet) add(slice meta.Slice) {
	if slice.ID == 0 || slice.Size == 0 || s.has[slice.ID] {
		return
	}
	if s.has == nil {
		s.has = map[uint64]bool{}
	}
	s.has[slice.ID] = true
	s.list = append(s.list, slice)
}

func (s *sliceSet) extents(extents []meta.Extent) {
	for i := range extents {
		s.add(meta.Slice{ID: extents[i].Slice, Home: extents[i].Home, Size: extents[i].Size})
	}
}

// of adds the slices that a row refers to.
func (s *sliceSet) of(e *meta.Effect) error {
	switch e.Kind {
	case meta.EffectInode:
		if e.Attr.Inline != nil {
			s.extents([]meta.Extent{*e.Attr.Inline})
		}
	case meta.EffectChunk:
		extents, err := meta.DecodeExtents(e.Value)
		if err != nil {
			return fmt.Errorf("chunk %d of inode %d: %w", e.Index, e.Ino, err)
		}
		s.extents(extents)
	}
	return nil
}
