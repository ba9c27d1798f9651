package vfs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"mirrorfs/meta"
)

// flushWorkers is how many files are flushed at once behind or at shutdown.
const flushWorkers = 16

// dirtySet holds the inodes with buffered data, each with a reference.
type dirtySet struct {
	mu     sync.Mutex
	inodes map[*inode]int64 // since when (ns)
}

func (d *dirtySet) init() { d.inodes = make(map[*inode]int64) }

// add takes the inode in. in.mu is held.
func (d *dirtySet) add(fs *FS, in *inode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.inodes[in]; !ok {
		d.inodes[in] = fs.now()
		fs.table.acquire(in.ino)
	}
}

// remove drops the inode. in.mu is held.
func (d *dirtySet) remove(fs *FS, in *inode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.inodes[in]; ok {
		delete(d.inodes, in)
		fs.table.release(in)
	}
}

// later makes the inode the youngest, as flushing it did not help.
func (d *dirtySet) later(in *inode, now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.inodes[in]; ok {
		d.inodes[in] = now
	}
}

// all lists the inodes.
func (d *dirtySet) all() []*inode {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*inode, 0, len(d.inodes))
	for in := range d.inodes {
		list = append(list, in)
	}
	return list
}

// oldest gives the inode that has been dirty longest and that nobody flushes
// now, or nil.
func (d *dirtySet) oldest() *inode {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found *inode
	for in, since := range d.inodes {
		if len(in.flushing) == 0 && (found == nil || since < d.inodes[found]) {
			found = in
		}
	}
	return found
}

func (d *dirtySet) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.inodes)
}

// Run keeps the session alive, flushes old buffered data, compacts fragmented
// chunks, and cleans up after clients that are gone, until ctx ends; then it returns nil. Without it an FS
// works, but another client may end its session, and only Flush and Shutdown
// write data.
func (fs *FS) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { fs.beats(ctx) })
	if !fs.opts.ReadOnly {
		all.Go(func() { fs.flushes(ctx) })
		all.Go(func() { fs.endsSessions(ctx) })
		all.Go(func() { fs.reclaims(ctx) })
		all.Go(func() { fs.watchQuotas(ctx) })
		if fs.opts.Atime != AtimeOff {
			all.Go(func() { fs.sendsAccesses(ctx) })
		}
		if fs.opts.CompactExtents > 0 {
			all.Go(func() { fs.compacts(ctx) })
		}
	}
	all.Wait()
	return nil
}

// Shutdown commits everything buffered and ends the session. It reports the
// first file that could not be committed before ctx ended; what is left then
// is lost. No other method is called during or after it, and Run has returned.
func (fs *FS) Shutdown(ctx context.Context) error {
	fs.sendAccesses(ctx)
	var first error
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		first = fs.flushAll(ctx, fs.dirty.all())
		left := fs.dirty.len()
		if left == 0 {
			break
		}
		fs.log.WarnContext(ctx, "files could not be written out yet", slog.Int("files", left), errAttr(first))
		if !pause(ctx, wait) {
			break
		}
	}
	if fs.session.era.Load() > 0 {
		if err := fs.engine.EndSession(ctx); err != nil && !isSessionEnded(err) && !isReplaced(err) && first == nil {
			first = err
		}
	}
	return first
}

// isReplaced reports whether another site is the source now: the session ends there by itself.
func isReplaced(err error) bool {
	return errors.Is(err, meta.ErrFenced) || errors.Is(err, meta.ErrReadOnly)
}

// flushAll flushes files, some at a time, and gives the first error.
func (fs *FS) flushAll(ctx context.Context, list []*inode) error {
	var first error
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, flushWorkers)
	for _, in := range list {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			err := fs.flush(ctx, in)
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
		})
	}
	all.Wait()
	return first
}

// wake asks the background flush to look at once.
func (fs *FS) wake() {
	select {
	case fs.kick <- struct{}{}:
	default:
	}
}

// flushes flushes what has been buffered for long, until ctx ends.
func (fs *FS) flushes(ctx context.Context) {
	tick := time.NewTicker(max(fs.opts.FlushAge/5, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-fs.kick:
		}
		var due []*inode
		now := fs.now()
		for _, in := range fs.dirty.all() {
			if in.due(now, fs.opts.FlushAge) {
				due = append(due, in)
			}
		}
		_ = fs.flushAll(ctx, due) // kept per file, for those who have it open
	}
}

// due reports whether the file should be flushed behind.
func (in *inode) due(now int64, age time.Duration) bool {
	in.mu.RLock()
	defer in.mu.RUnlock()
	p := in.active
	if in.sealed != nil && in.sealed.again {
		p = in.sealed
	}
	if p == nil || now < in.retryAt {
		return false
	}
	if in.valid && in.attr.Nlink == 0 && p.since != 0 {
		return false // it may never have to be written
	}
	return p.age(now) >= age
}

// endsSessions ends the sessions of clients that are gone, until ctx ends, if the engine
// can tell which there are.
func (fs *FS) endsSessions(ctx context.Context) {
	purger, ok := fs.engine.(meta.Purger)
	if !ok {
		return
	}
	for pause(ctx, fs.opts.PurgeInterval) {
		if fs.session.era.Load() == 0 {
			continue
		}
		if err := fs.endSessions(ctx, purger); err != nil && ctx.Err() == nil {
			fs.log.WarnContext(ctx, "sessions of clients that are gone were not ended", errAttr(err))
		}
	}
}
