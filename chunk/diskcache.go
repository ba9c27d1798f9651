package chunk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// ErrCacheInUse says that another process uses the cache directory. Every process
// needs one of its own.
var ErrCacheInUse = errors.New("cache directory is in use by another process")

// DiskOptions are the limits of a DiskCache. The zero value works.
type DiskOptions struct {
	// Volume is the ID of the volume whose blocks are kept, and names the
	// directory of its files in the cache directory, because two volumes number
	// their slices alike. Letters, digits, "-" and "_"; empty means "volume".
	Volume string
	// LimitBytes is the most that the files may take; 0 means 10 GiB.
	LimitBytes int64
	// FreeBytes is what the cache leaves free of the file system for others; 0
	// means 1 GiB, a negative number nothing.
	FreeBytes int64
	// OpenFiles is how many files stay open between reads; 0 means 1024.
	OpenFiles int
	Logger    *slog.Logger
	Metrics   prometheus.Registerer
}

func (o DiskOptions) withDefaults() DiskOptions {
	if o.Volume == "" {
		o.Volume = "volume"
	}
	if o.LimitBytes == 0 {
		o.LimitBytes = 10 << 30
	}
	if o.FreeBytes == 0 {
		o.FreeBytes = 1 << 30
	}
	if o.OpenFiles == 0 {
		o.OpenFiles = 1024
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate returns an error that says which option is wrong, or nil.
func (o DiskOptions) Validate() error {
	for _, r := range o.Volume {
		if !strings.ContainsRune("-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", r) {
			return fmt.Errorf("volume %q cannot name a directory", o.Volume)
		}
	}
	if o.LimitBytes < 0 || o.OpenFiles < 0 {
		return fmt.Errorf("negative limit of bytes (%d) or of open files (%d)", o.LimitBytes, o.OpenFiles)
	}
	return nil
}

// DiskCache keeps blocks on the local disk, and keeps them when the program ends
// or crashes. Each slice is a file, its blocks at their offsets; an index says
// which blocks are there and their checksums. A block that an earlier process
// wrote is checked when it is first used, so nothing needs to be synced.
//
// One process at a time uses a directory. What leaves the cache first is the
// slice used longest ago, as a whole; a slice that a Span refers to stays.
type DiskCache struct {
	dir     string
	opts    DiskOptions
	log     *slog.Logger
	metrics *diskMetrics
	lock    *os.File
	index   *diskIndex

	mu      sync.Mutex
	closed  bool
	used    int64 // bytes that the files take, counted in pages of the disk
	writing int64 // those of used that were admitted and are not known to be written
	blocks  int
	entries map[sliceID]*diskEntry
	recent  diskEntry // a ring: next is the entry used last, prev the one used longest ago
	opened  []*diskEntry
	hand    int  // in opened, of the clock that closes files
	failing bool // the last write failed and has been logged
}

// OpenDiskCache opens the volume's directory in dir, which are made if they do not
// exist, and knows at once what a process before left there. ErrCacheInUse is
// wrapped when another process has it. A directory that holds files but no
// cache is refused, since a cache removes what it does not know. Close must be
// called, after the last Span was released and all Blocks that use the cache
// were closed.
func OpenDiskCache(dir string, opts DiskOptions) (*DiskCache, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	dir = filepath.Join(dir, opts.Volume)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	c := &DiskCache{dir: dir, opts: opts, log: opts.Logger, lock: lock, entries: map[sliceID]*diskEntry{}}
	c.recent.next, c.recent.prev = &c.recent, &c.recent
	if c.metrics, err = newDiskMetrics(opts.Metrics, c); err == nil {
		c.index, err = openIndex(filepath.Join(dir, "index"), c.remember)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open cache %s: %w", dir, err), lock.Close())
	}
	return c, nil
}

func lockDir(dir string) (*os.File, error) {
	there, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	isLock := func(d os.DirEntry) bool { return d.Name() == "lock" }
	if len(there) > 0 && !slices.ContainsFunc(there, isLock) {
		return nil, fmt.Errorf("%s has files in it and is no cache; use another directory", dir)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrCacheInUse
		}
		return nil, errors.Join(fmt.Errorf("lock cache %s: %w", dir, err), lock.Close())
	}
	return lock, nil
}

// Run removes what does not belong to the cache from its directory, and then
// keeps to FreeBytes while others fill the disk, until ctx ends. The cache works
// without it.
func (c *DiskCache) Run(ctx context.Context) error {
	c.sweep(ctx)
	c.remove(c.makeRoom())
	const interval = 30 * time.Second
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.remove(c.makeRoom())
		case <-ctx.Done():
			return nil
		}
	}
}

// Close writes the index anew, in the order of use, and closes all files. Nothing
// is lost when it is never called, but the order of use.
func (c *DiskCache) Close() error {
	c.mu.Lock()
	c.closed = true
	files := c.opened
	c.opened = nil
	c.mu.Unlock()
	if err := c.index.compact(c.snapshot); err != nil { // the old one is as good
		c.log.Warn("the cache's index could not be rewritten", slog.Any("error", err))
	}
	var err error
	for _, e := range files {
		err = errors.Join(err, e.file.Close())
	}
	return errors.Join(err, c.index.close(), c.lock.Close())
}

// Bytes is what the cache's files take on the disk.
func (c *DiskCache) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

func (c *DiskCache) has(id blockID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[id.sliceID()]
	return e != nil && !e.doomed && e.block(id.index) != nil
}

func (c *DiskCache) get(id blockID, off, n uint32) (Span, bool) {
	c.mu.Lock()
	e, blk := c.find(id)
	if blk == nil || uint64(off)+uint64(n) > uint64(blk.n) {
		c.mu.Unlock()
		return Span{}, false
	}
	at, file, ready := blk.at, e.file, blk.checked && e.file != nil
	e.hold()
	c.touch(e)
	c.mu.Unlock()
	if !ready {
		if file = c.prepare(e, id.index); file == nil {
			e.unpin()
			return Span{}, false
		}
	}
	return Span{File: file, Off: int64(at) + int64(off), Len: int(n), pin: e}, true
}

func (c *DiskCache) wholeSlice(home uint8, slice uint64, n uint32) (Span, bool) {
	c.mu.Lock()
	e := c.entries[sliceID{slice: slice, home: home}]
	if e == nil || e.doomed || c.closed || !e.covers(n) {
		c.mu.Unlock()
		return Span{}, false
	}
	e.hold()
	c.touch(e)
	indexes := make([]uint32, len(e.blocks))
	for i := range e.blocks {
		indexes[i] = e.blocks[i].index
	}
	c.mu.Unlock()
	var file *os.File
	for _, i := range indexes {
		if file = c.prepare(e, i); file == nil {
			e.unpin()
			return Span{}, false
		}
	}
	if info, err := file.Stat(); err != nil || info.Size() != int64(n) {
		e.unpin()
		return Span{}, false
	}
	return Span{File: file, Len: int(n), pin: e}, true
}

func (c *DiskCache) put(b cachedBlock) bool {
	e, victims := c.admit(b.id, len(b.data))
	c.remove(victims)
	if e == nil {
		return c.has(b.id)
	}
	defer e.unpin()
	blk := diskBlock{index: b.id.index, at: b.at, n: uint32(len(b.data)), sum: b.sum, checked: true}
	file, err := c.open(e)
	if err == nil {
		_, err = file.WriteAt(b.data, int64(b.at))
	}
	if err != nil {
		c.refuse(e, blk, err)
		return false
	}
	if c.settle(e, blk) {
		c.write(indexRecord{kind: indexBlock, id: e.id, diskBlock: blk})
		c.tidy()
	}
	return true
}

// tidy writes the index anew when most of it is about what is gone.
func (c *DiskCache) tidy() {
	c.mu.Lock()
	live := c.blocks
	c.mu.Unlock()
	if !c.index.wasteful(live) {
		return
	}
	if err := c.index.compact(c.snapshot); err != nil {
		c.log.Warn("the cache's index could not be rewritten", slog.Any("error", err))
	}
}
