package chunk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"golang.org/x/sync/semaphore"

	"mirrorfs/object"
)

// ErrClosed is returned by whatever still runs when Blocks is closed.
var ErrClosed = errors.New("block storage is closed")

// Blocks reads and writes slices in a store, through a cache. All methods may
// be called concurrently.
type Blocks struct {
	store   object.Store
	cache   Cache     // nil if there is none
	spare   *MemCache // where read-ahead waits for its reader if the cache does not take it
	opts    Options
	log     *slog.Logger
	metrics *metrics
	buffers *buffers
	budget  *budget
	zeros   []byte // what holes are read from

	uploads    *semaphore.Weighted
	downloads  *semaphore.Weighted
	prefetches *semaphore.Weighted // leaves some of downloads to those who wait

	background sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	flights  map[blockID]*flight                 // downloads of whole blocks under way
	touches  map[blockID]*touch                  // blocks of which parts were read lately
	mends    map[blockID]context.CancelCauseFunc // copies that are being replaced
	fetching int64                               // bytes of prefetches under way
}

// zeroBytes is the longest span of a hole.
const zeroBytes = 1 << 20

// New makes Blocks on a store. cache is a *DiskCache, a *MemCache or nil; it
// may be shared and is not closed with Blocks. What was read ahead and no cache
// takes waits in memory, up to Options.PrefetchBytes and four blocks.
func New(store object.Store, cache Cache, opts Options) (*Blocks, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	b := &Blocks{
		store: store, cache: cache, opts: opts, log: opts.Logger,
		spare:      NewMemCache(opts.PrefetchBytes + 4*int64(opts.BlockBytes)),
		buffers:    newBuffers(opts.BlockBytes),
		budget:     newBudget(opts.BufferBytes),
		zeros:      make([]byte, zeroBytes),
		uploads:    semaphore.NewWeighted(int64(opts.Uploads)),
		downloads:  semaphore.NewWeighted(int64(opts.Downloads)),
		prefetches: semaphore.NewWeighted(int64(max(1, opts.Downloads*3/4))),
		flights:    map[blockID]*flight{},
		touches:    map[blockID]*touch{},
		mends:      map[blockID]context.CancelCauseFunc{},
	}
	m, err := newMetrics(opts.Metrics, func() float64 { return float64(b.budget.inUse()) })
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	b.metrics = m
	return b, nil
}

// BlockBytes is the size of a full block.
func (b *Blocks) BlockBytes() int { return b.opts.BlockBytes }

// PrefetchBytes is the largest read-ahead that makes sense for one reader.
func (b *Blocks) PrefetchBytes() int64 { return b.opts.PrefetchBytes }

// Close ends downloads and waits for all that runs behind: those, and what
// aborted or closed writers still do. Writers must have been closed or aborted
// before.
func (b *Blocks) Close() error {
	b.mu.Lock()
	b.closed = true
	for _, f := range b.flights {
		f.cancel(ErrClosed)
	}
	for _, cancel := range b.mends {
		cancel(ErrClosed)
	}
	b.mu.Unlock()
	b.background.Wait()
	return nil
}

// behind runs f in the background unless Blocks is closed. Called with mu held.
func (b *Blocks) behind(f func()) bool {
	if b.closed {
		return false
	}
	b.background.Go(f)
	return true
}

// block describes a block for a cache.
func (b *Blocks) block(id blockID, data []byte, sum uint32, buf *buffer) cachedBlock {
	return cachedBlock{id: id, at: id.index * uint32(b.opts.BlockBytes), data: data, sum: sum, buf: buf}
}

// near gives a piece that need not be downloaded.
func (b *Blocks) near(p *piece) (Span, bool) {
	if b.cache != nil {
		if span, ok := b.cache.get(p.id, p.off, p.n); ok {
			return span, true
		}
	}
	return b.spare.get(p.id, p.off, p.n)
}

// detach gives a context that outlives ctx but keeps its values, since what
// one caller began others may wait for.
func detach(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	return context.WithCancelCause(context.WithoutCancel(ctx))
}

// Crowded reports whether writers may have to wait for blocks on their way to the store.
func (b *Blocks) Crowded() bool { return b.budget.tight() }
