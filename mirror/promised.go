package mirror

import (
	"context"
	"errors"
	"fmt"

	"mirrorfs/meta"
	"mirrorfs/mirror/replicate"
)

// Promise is which data a mirror in ModeFull says is in its own bucket.
type Promise struct {
	// CompleteTo is up to which position all is there, of files below Subtree if that is not empty.
	CompleteTo meta.Position
	Subtree    string
	// Later are the slices that were made known after that.
	Later map[uint64]bool
}

// Promised tells what a mirror promises to hold now; nil when it promises nothing: it is in another data
// mode, or is looking through everything for the first time.
func Promised(ctx context.Context, site replicate.Site) (*Promise, error) {
	local, err := site.Local(ctx)
	if err != nil {
		return nil, err
	}
	info, err := infoFrom(local)
	if err != nil {
		return nil, err
	}
	st := dataStatus(&info, local, meta.Position{})
	if info.Mode != ModeFull || st.CompleteTo.IsZero() {
		return nil, nil //nolint:nilnil // that there is none is the answer
	}
	p := &Promise{CompleteTo: st.CompleteTo, Subtree: info.Subtree, Later: map[uint64]bool{}}
	err = writtenSince(ctx, site, st.CompleteTo, func(some []needed) error {
		for _, n := range some {
			p.Later[n.slice.ID] = true
		}
		return nil
	})
	if errors.Is(err, meta.ErrGap) {
		err = fmt.Errorf("this site's log does not hold what followed %s, up to where its data is complete: %w", st.CompleteTo, err)
	}
	return p, err
}
