package reclaim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"mirrorfs/meta"
	"mirrorfs/object"
)

// maxPostponed bounds the rows of freed slices that wait for a bucket, 8 bytes each, but for one
// batch. Those beyond are not begun with.
const maxPostponed = 65_536

// postponedTTL is how long a client that has postponed rows is believed to go on with them.
const postponedTTL = 10 * time.Minute

// Postponed is which rows have gone from all buckets but those that do not answer. Given to one call
// after the other it spares the buckets that do answer the same deletions again. The zero
// value is empty. It serves one Reclaimer at a time.
type Postponed struct {
	// Claims, if not nil, sees to it that of many clients one postpones rows: each would
	// delete the same again.
	Claims meta.Claims

	owner string
	rows  map[uint64]struct{} // by meta.Freed.Seq
}

func (p *Postponed) has(seq uint64) bool {
	_, ok := p.rows[seq]
	return ok
}

// mine reports whether this client is the one that postpones.
func (p *Postponed) mine(ctx context.Context) (bool, error) {
	if p.Claims == nil {
		return true, nil
	}
	if p.owner == "" {
		p.owner = rand.Text()
	}
	return p.Claims.Claim(ctx, "reclaim", p.owner, postponedTTL)
}

// pass is what one call of Freed has met with.
type pass struct {
	claimed bool // by this client, to postpone

	mu      sync.Mutex
	err     error               // the first of a bucket
	partial map[uint64]struct{} // of the batch
	later   map[uint64]struct{} // of all batches
}

// failed reports whether there is no point in asking for a row's blocks again that was postponed.
func (p *pass) failed(seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		return false
	}
	p.partial[seq] = struct{}{}
	return true
}

// note takes down that a block of a row is not gone from every bucket. Other errors are
// returned.
func (p *pass) note(seq uint64, err error) error {
	if !errors.Is(err, object.ErrPartial) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err, p.partial, p.later = err, map[uint64]struct{}{}, map[uint64]struct{}{}
	}
	p.partial[seq] = struct{}{}
	return nil
}

// sort gives those rows whose blocks are all gone, and postpones the others. alone is false when
// another client sees to those that were postponed.
func (r *Reclaimer) sort(ctx context.Context, b *batch, rows []meta.Freed, p *pass) (gone []meta.Freed, alone bool, err error) {
	later := r.opts.Postponed
	if p.err != nil && !p.claimed {
		if p.claimed, err = later.mine(ctx); err != nil {
			return nil, false, err
		}
	}
	alone = p.err == nil || p.claimed
	for i := range rows {
		row := &rows[i]
		if _, partial := p.partial[row.Seq]; !partial {
			delete(later.rows, row.Seq)
			gone = append(gone, *row)
			continue
		}
		r.report.Freed.Postponed.add(b.blocks(row.Slices))
		if later.rows == nil {
			later.rows = map[uint64]struct{}{}
		}
		later.rows[row.Seq], p.later[row.Seq] = struct{}{}, struct{}{}
	}
	clear(p.partial)
	return gone, alone, nil
}

// full fails when no more rows may be postponed.
func (r *Reclaimer) full(p *pass) error {
	if n := len(r.opts.Postponed.rows); p.err != nil && n >= maxPostponed {
		return fmt.Errorf("what %d changes freed waits for a bucket that does not answer: %w", n, p.err)
	}
	return nil
}

// whole ends a pass that has seen all rows: those that were postponed earlier and did not show up are
// gone at another client's hands.
func (r *Reclaimer) whole(p *pass) {
	if !r.opts.DryRun {
		r.opts.Postponed.rows = p.later
	}
}
