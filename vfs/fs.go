package vfs

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// FS is a volume as a file system. All methods may be called concurrently.
// Errors are *meta.Error; meta.Errno tells what a program should see.
type FS struct {
	opts   Options
	engine meta.Engine
	blocks *chunk.Blocks
	log    *slog.Logger
	table  table
	dirty  dirtySet
	// fragmented is what is to be compacted.
	fragmented fragmented
	session    session
	locks      locks
	calls      sync.WaitGroup // lock calls under way
	serials    counter        // of Files
	slices     reserve
	// buffered sums what partial blocks hold, in bytes.
	buffered atomic.Int64
	misses   moments
	// removed remembers files that lost their last name to this client, removing
	// is read-locked by whoever may be about to add to it.
	removed  moments
	removing sync.RWMutex
	lately   lately
	limits   limits
	accesses accesses
	// maxExtents is meta.MaxCommitExtents, or less in tests.
	maxExtents int
	// learned counts changes whose result was noted, to tell answers that are
	// older than a change from newer ones.
	learned counter
	// changed is the position of the latest change, waitedAt when a wait ended last (ns).
	changed  atomic.Pointer[meta.Position]
	waitedAt atomic.Int64
	metrics  metrics
	kick     chan struct{} // asks the background flush to look at once
}

// New makes an FS. It starts nothing and asks nothing: Run does.
func New(opts Options) (*FS, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	fs := &FS{
		opts:   opts,
		engine: opts.Engine,
		blocks: opts.Blocks,
		log:    opts.Logger,
		kick:   make(chan struct{}, 1),

		maxExtents: meta.MaxCommitExtents,
	}
	fs.table.init(opts.CachedInodes)
	fs.dirty.init()
	fs.fragmented.init()
	fs.session.init()
	fs.locks.init()
	fs.slices.init(opts.ReserveSlices)
	fs.misses.init()
	fs.removed.init()
	fs.lately.init()
	fs.accesses.init()
	if err := fs.metrics.register(opts.Metrics, fs); err != nil {
		return nil, err
	}
	return fs, nil
}

// Root is the inode of the root directory that the FS shows.
func (fs *FS) Root() meta.Ino { return fs.opts.Root }

// Engine is what the FS was made with.
func (fs *FS) Engine() meta.Engine { return fs.engine }

// home is the site whose bucket a new slice goes to.
func (fs *FS) home() uint8 {
	if fs.opts.HomeNow != nil {
		return fs.opts.HomeNow()
	}
	return fs.opts.Home
}

// now is the time in nanoseconds since the Unix epoch.
func (fs *FS) now() int64 { return fs.opts.Now().UnixNano() }

// asking bounds a question by the caller's context and MetaTimeout.
func (fs *FS) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, fs.opts.MetaTimeout)
}

// detached frees a change from the caller's context and bounds it by limit.
func detached(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// change makes one change and notes what it did to inodes in use. With the
// session lost it starts a new one and asks once more: a change refused for
// that reason was not made.
func (fs *FS) change(ctx context.Context, c meta.Change) (meta.Result, error) {
	res, err := fs.send(ctx, c)
	if err == nil {
		fs.learn(&res, 0)
	}
	return res, err
}

// send is change without noting.
func (fs *FS) send(ctx context.Context, c meta.Change) (meta.Result, error) {
	if fs.opts.ReadOnly {
		return meta.Result{}, refuse(c.Op().String(), 0, "", errReadOnly)
	}
	ctx, cancel := detached(ctx, fs.opts.MetaTimeout)
	defer cancel()
	if err := fs.ensureSession(ctx); err != nil {
		return meta.Result{}, err
	}
	res, era, err := fs.sendOnce(ctx, c)
	if isSessionEnded(err) {
		if err := fs.renewSession(ctx, era); err != nil {
			return meta.Result{}, err
		}
		res, _, err = fs.sendOnce(ctx, c)
	}
	return res, err
}

// sendOnce makes a change under the session of an era, whose locks are not lost before
// the change has an answer.
func (fs *FS) sendOnce(ctx context.Context, c meta.Change) (meta.Result, uint64, error) {
	fs.session.inUse.RLock()
	defer fs.session.inUse.RUnlock()
	era := fs.session.era.Load()
	if err := fs.mayCommit(c); err != nil {
		return meta.Result{}, era, err
	}
	res, err := fs.engine.Change(ctx, c)
	if err == nil {
		fs.noteChange(res.Position)
	}
	return res, era, err
}

// mayCommit refuses to commit under a new session what was written under a lock of the old
// one. The caller gives up what is buffered.
func (fs *FS) mayCommit(c meta.Change) error {
	commit, ok := c.(meta.Commit)
	if !ok {
		return nil
	}
	if in := fs.table.get(commit.Ino); in != nil && in.forfeit.Swap(false) {
		return refuse("commit", commit.Ino, "", errLockLost)
	}
	return nil
}
