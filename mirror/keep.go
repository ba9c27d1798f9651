package mirror

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"mirrorfs/meta"
	"mirrorfs/object"
)

// KeepOptions say how a Store puts what it reads from afar into its near bucket. The
// zero value works.
type KeepOptions struct {
	// Claims are those of the site's metadata, by which its clients agree on who fetches
	// a block. Nil: each fetches what it wants itself.
	Claims meta.Claims
	// ClaimTTL is after which silence of who fetches a block another one does; default
	// 30 s.
	ClaimTTL time.Duration
	// Patience is how long a reader waits for a block that another client fetches before
	// it fetches it as well; default ClaimTTL.
	Patience time.Duration
	// Blocks is how many blocks are on their way at most, each in memory as a whole. What
	// is read beyond that is not kept. Default 32.
	Blocks int
	// Check finds wrong bytes, which are not kept; nil takes all.
	Check func(key string, data []byte) error
}

// keeper brings blocks from afar into the near bucket, each once.
type keeper struct {
	store *Store
	opts  KeepOptions
	owner string
	slots chan struct{}

	background sync.WaitGroup
	stop       context.CancelFunc
	ctx        context.Context //nolint:containedctx // of what goes on behind: ended by close, and by no reader

	mu      sync.Mutex
	flights map[string]*flight
}

// flight is a block on its way.
type flight struct {
	done chan struct{} // closed when data or err is there
	data []byte
	err  error
}

func newKeeper(s *Store, opts KeepOptions) *keeper {
	orDefault(&opts.ClaimTTL, 30*time.Second)
	orDefault(&opts.Patience, opts.ClaimTTL)
	orDefault(&opts.Blocks, 32)
	k := &keeper{store: s, opts: opts, owner: rand.Text(), slots: make(chan struct{}, opts.Blocks), flights: map[string]*flight{}}
	k.ctx, k.stop = context.WithCancel(context.Background())
	return k
}

// close ends what is under way.
func (k *keeper) close() {
	k.stop()
	k.background.Wait()
}

// get reads a block that is near, or brings it. done is false when it is to be read
// from afar without being kept.
func (k *keeper) get(ctx context.Context, key string, off, n int64) (_ io.ReadCloser, done bool, err error) {
	near := k.store.places(key)[:1]
	r, err := near[0].store.Get(ctx, key, off, n)
	if err == nil {
		k.store.metrics.read(kindNear)
		b := &body{ctx: ctx, store: k.store, key: key, off: off, n: n, places: k.store.places(key)[1:], at: near[0], open: r}
		b.failed.key = key
		return b, true, nil
	}
	if !errors.Is(err, object.ErrNotExist) || ctx.Err() != nil {
		return nil, false, nil // and near says why once more
	}
	f := k.bring(key)
	if f == nil {
		return nil, false, nil
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, true, ctx.Err()
	}
	if f.err != nil {
		return nil, false, nil
	}
	data := f.data[min(off, int64(len(f.data))):]
	if n >= 0 && n < int64(len(data)) {
		data = data[:n]
	}
	return io.NopCloser(bytes.NewReader(data)), true, nil
}

// bring begins to bring a block, or joins who does. It returns nil when too many are
// under way.
func (k *keeper) bring(key string) *flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.flights[key]; f != nil {
		return f
	}
	select {
	case k.slots <- struct{}{}:
	default:
		return nil
	}
	f := &flight{done: make(chan struct{})}
	k.flights[key] = f
	k.background.Go(func() {
		k.fly(key, f)
		k.mu.Lock()
		delete(k.flights, key)
		k.mu.Unlock()
		<-k.slots
	})
	return f
}

// fly fetches a block, unless another client of this site does, and puts it near after
// the readers have it.
func (k *keeper) fly(key string, f *flight) {
	ctx := k.ctx
	mine := k.claim(ctx, key)
	deadline := time.Now().Add(k.opts.Patience)
	for wait := keepPollMin; ; wait = min(2*wait, keepPollMax) {
		// Whoever had the claim before may have put it there.
		if f.data, f.err = k.read(ctx, key, k.store.places(key)[:1]); f.err == nil {
			close(f.done)
			break
		}
		if mine || !errors.Is(f.err, object.ErrNotExist) || time.Now().After(deadline) {
			k.fetch(ctx, key, f)
			break
		}
		_ = pause(ctx, wait)
		mine = k.claim(ctx, key)
	}
	if mine {
		k.unclaim(ctx, key)
	}
}

const (
	keepPollMin = 5 * time.Millisecond
	keepPollMax = 200 * time.Millisecond
)

// fetch reads a block from afar, lets the readers have it, and puts it near.
func (k *keeper) fetch(ctx context.Context, key string, f *flight) {
	f.data, f.err = k.read(ctx, key, k.store.places(key)[1:])
	if f.err == nil && k.opts.Check != nil {
		f.err = k.opts.Check(key, f.data)
	}
	close(f.done)
	if f.err != nil {
		return // the readers look for themselves, and tell
	}
	err := k.store.opts.Near.PutIfAbsent(ctx, key, f.data)
	switch {
	case err == nil:
		k.store.metrics.kept.Inc()
	case !errors.Is(err, object.ErrExist) && ctx.Err() == nil:
		k.store.opts.Logger.WarnContext(ctx, "a block was read and not kept", slog.String("key", key), slog.Any("error", err))
	}
}

// read reads a whole block from the first of some places that has it.
func (k *keeper) read(ctx context.Context, key string, places []place) ([]byte, error) {
	f := failures{key: key}
	for _, p := range places {
		r, err := p.store.Get(ctx, key, 0, -1)
		if err != nil {
			f.add(p, err)
			continue
		}
		data, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err == nil {
			k.store.metrics.read(p.kind)
			return data, nil
		}
		f.add(p, err)
	}
	return nil, f.err()
}

// claim reports whether this client is to fetch a block. When the metadata does not
// answer, it is: twice is better than not at all.
func (k *keeper) claim(ctx context.Context, key string) bool {
	if k.opts.Claims == nil {
		return true
	}
	has, err := k.opts.Claims.Claim(ctx, key, k.owner, k.opts.ClaimTTL)
	return has || err != nil
}

func (k *keeper) unclaim(ctx context.Context, key string) {
	if k.opts.Claims == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := k.opts.Claims.Unclaim(ctx, key, k.owner); err != nil {
		k.store.opts.Logger.DebugContext(ctx, "a claim was not given back", slog.String("key", key), slog.Any("error", err))
	}
}
