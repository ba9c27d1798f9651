package replicate

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"mirrorfs/meta"
)

// Replicator copies. Use New.
type Replicator struct {
	opts   Options
	log    *slog.Logger
	window *window
	room   *semaphore.Weighted // objects in the window
	memory *semaphore.Weighted // bytes
	tasks  chan *task
	choose chooser

	mu     sync.Mutex
	retry  []*task // failed, and waiting for their next turn
	reason string  // why the log is not being read
}

// task is an object to be copied.
type task struct {
	slice  uint64
	object Object
	of     *stretch
	failed bool // window.mu
}

// New makes a Replicator. It starts nothing.
func New(opts Options) (*Replicator, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	r := &Replicator{
		opts: opts, log: opts.Logger.With(slog.String("copying", opts.Name)), window: &window{},
		room:   semaphore.NewWeighted(int64(opts.WindowObjects)),
		memory: semaphore.NewWeighted(opts.BufferBytes),
		tasks:  make(chan *task),
	}
	if r.choose = (whole{site: opts.Site}); opts.Subtree != "" {
		r.choose = newSubtree(opts.Site, opts.Subtree)
	}
	return r, nil
}

// Run copies until ctx ends, and then returns nil. It is called once.
func (r *Replicator) Run(ctx context.Context) error {
	after, err := r.resume(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for range r.opts.Jobs {
		all.Go(func() { r.works(ctx) })
	}
	all.Go(func() { r.retries(ctx) })
	all.Go(func() { r.saves(ctx) })
	r.reads(ctx, after)
	all.Wait()
	return nil
}

// resume gives the position from which the log is to be followed; zero for a look at all
// rows first.
func (r *Replicator) resume(ctx context.Context) (meta.Position, error) {
	local, err := r.opts.Site.Local(ctx)
	if err != nil {
		return meta.Position{}, err
	}
	s, ok, err := StateOf(local, r.opts.Name)
	if err != nil {
		r.log.WarnContext(ctx, "what was copied is looked at anew", errAttr(err))
	}
	if !ok || err != nil || s.Bucket != r.opts.To.String() || s.Subtree != r.opts.Subtree {
		return meta.Position{}, nil
	}
	r.window.reached = s.Position
	return s.Position, nil
}

// reads looks at the rows and the log until ctx ends.
func (r *Replicator) reads(ctx context.Context, after meta.Position) {
	wait := time.Duration(0)
	for {
		var err error
		if after.IsZero() {
			after, err = r.rows(ctx)
		}
		if err == nil {
			after, err = r.follow(ctx, after)
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, meta.ErrGap) || errors.Is(err, errMoved) {
			r.log.InfoContext(ctx, "all rows are looked at again", errAttr(err))
			after, wait = meta.Position{}, 0
		} else {
			wait = min(max(2*wait, 100*time.Millisecond), r.opts.RetryInterval)
		}
		r.setTrouble(err)
		if pause(ctx, wait) != nil {
			return
		}
	}
}

// errMoved says that which rows are wanted is not what it was.
var errMoved = errors.New("the subtree is another directory now")

func (r *Replicator) setTrouble(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason = ""; err != nil {
		r.reason = "the metadata of this site fails: " + err.Error()
	}
}

func (r *Replicator) trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason
}

// rows feeds everything that is there, and returns the position to follow the log from.
func (r *Replicator) rows(ctx context.Context) (meta.Position, error) {
	state, err := r.opts.Site.State(ctx)
	for err == nil && state.Role == meta.RoleBootstrapping { // nothing to go by yet
		if err = pause(ctx, r.opts.TailWait); err == nil {
			state, err = r.opts.Site.State(ctx)
		}
	}
	if err != nil {
		return meta.Position{}, err
	}
	s := r.window.begin(state.Position)
	err = r.choose.all(ctx, func(slices []meta.Slice) error { return r.feed(ctx, s, slices) })
	if err != nil {
		r.abandon(s)
		return meta.Position{}, err
	}
	r.window.end(s)
	r.setTrouble(nil)
	return state.Position, nil
}

// abandon lets a stretch that will not be completed lead to nowhere: what was begun is
// copied, and the position stays.
func (r *Replicator) abandon(s *stretch) {
	r.window.mu.Lock()
	defer r.window.mu.Unlock()
	s.upTo = r.window.reached
	if n := len(r.window.open); n > 1 { // never back behind those before it
		s.upTo = r.window.open[n-2].upTo
	}
	r.window.settle(s)
}

const (
	tailRecords = 1000
	tailBytes   = 4 << 20
)

// follow feeds what the log adds. It returns with an error, and from where to go on.
func (r *Replicator) follow(ctx context.Context, after meta.Position) (meta.Position, error) {
	limit := tailRecords / 10
	for {
		entries, err := r.opts.Site.Tail(ctx, after, limit, r.opts.TailWait)
		if err != nil {
			return after, err
		}
		r.setTrouble(nil)
		size := 0
		for i := range entries {
			slices, err := r.choose.added(ctx, &entries[i])
			if err != nil {
				return after, err
			}
			if err := r.feedRecord(ctx, entries[i].Position, slices); err != nil {
				return after, err
			}
			after = entries[i].Position
			size += len(entries[i].Raw)
		}
		if size > 0 {
			limit = min(max(tailBytes*len(entries)/size, 1), tailRecords)
		}
	}
}

func (r *Replicator) feedRecord(ctx context.Context, at meta.Position, slices []meta.Slice) error {
	wanted := slices[:0:0]
	for _, s := range slices {
		if r.opts.Wants(s) {
			wanted = append(wanted, s)
		}
	}
	if len(wanted) == 0 {
		r.window.pass(at)
		return nil
	}
	s := r.window.begin(at)
	if err := r.feed(ctx, s, wanted); err != nil {
		r.abandon(s)
		return err
	}
	r.window.end(s)
	return nil
}

// feed gives the workers the objects of slices.
func (r *Replicator) feed(ctx context.Context, s *stretch, slices []meta.Slice) error {
	for _, slice := range slices {
		if !r.opts.Wants(slice) {
			continue
		}
		for _, o := range r.opts.Objects(slice) {
			if err := r.room.Acquire(ctx, 1); err != nil {
				return err
			}
			r.window.add(s, o.Bytes)
			if err := r.give(ctx, &task{slice: slice.ID, object: o, of: s}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Replicator) give(ctx context.Context, t *task) error {
	select {
	case r.tasks <- t:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause waits, or returns why it could not.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func errAttr(err error) slog.Attr { return slog.Any("error", err) }
