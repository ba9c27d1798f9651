package vfs

import (
	"context"
	"sync"

	"mirrorfs/meta"
)

// reserve holds slice numbers taken ahead, so that a write needs no round trip
// for one. It is refilled behind when half of it is used.
type reserve struct {
	batch uint32
	sem   chan struct{} // held while asking for more

	mu        sync.Mutex
	next, end uint64 // the numbers at hand
	spare     [2]uint64
	refilling bool
}

func (r *reserve) init(batch uint32) {
	r.batch = batch
	r.sem = make(chan struct{}, 1)
}

// take gives a number that nobody else gets. It waits for the engine only when
// all are used up.
func (r *reserve) take(ctx context.Context, fs *FS) (uint64, error) {
	for {
		r.mu.Lock()
		if r.next == r.end {
			r.next, r.end, r.spare = r.spare[0], r.spare[1], [2]uint64{}
		}
		if r.next < r.end {
			id := r.next
			r.next++
			if !r.refilling && r.spare[1] == 0 && r.end-r.next < uint64(r.batch+1)/2 {
				r.refilling = true
				go r.refill(context.WithoutCancel(ctx), fs)
			}
			r.mu.Unlock()
			return id, nil
		}
		r.mu.Unlock()
		if err := r.fill(ctx, fs); err != nil {
			return 0, err
		}
	}
}

// nextSlice gives a slice number in place of one that is taken.
func (fs *FS) nextSlice(ctx context.Context) (uint64, error) { return fs.slices.take(ctx, fs) }

// refill asks for more behind a writer. A failure is no matter: whoever needs a
// number asks again and is told.
func (r *reserve) refill(ctx context.Context, fs *FS) {
	ctx, cancel := context.WithTimeout(ctx, fs.opts.MetaTimeout)
	defer cancel()
	_ = r.ask(ctx, fs, func() bool { return r.spare[1] == 0 })
	r.mu.Lock()
	r.refilling = false
	r.mu.Unlock()
}

// fill asks for numbers when there are none.
func (r *reserve) fill(ctx context.Context, fs *FS) error {
	if fs.opts.ReadOnly {
		return nil
	}
	return r.ask(ctx, fs, func() bool { return r.next == r.end && r.spare[1] == 0 })
}

// ask takes a batch if it is still needed when its turn comes.
func (r *reserve) ask(ctx context.Context, fs *FS, needed func() bool) error {
	select {
	case r.sem <- struct{}{}:
	case <-ctx.Done():
		return refuse("reserve", 0, "", ctx.Err())
	}
	defer func() { <-r.sem }()
	r.mu.Lock()
	ok := needed()
	r.mu.Unlock()
	if !ok {
		return nil
	}
	res, err := fs.send(ctx, meta.Reserve{Count: r.batch})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spare = [2]uint64{res.FirstSlice, res.FirstSlice + uint64(r.batch)}
	return nil
}

// empty reports whether the next one who takes a number must wait for it.
func (r *reserve) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next == r.end && r.spare[0] == r.spare[1]
}
