package chunk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// sliceID names a slice, and so a file of the disk cache.
type sliceID struct {
	slice uint64
	home  uint8
}

func (id blockID) sliceID() sliceID { return sliceID{slice: id.slice, home: id.home} }

// path is a slice's file in the cache directory: <slice mod 256, hex>/<home>-<slice>.
func (id sliceID) path() string {
	return filepath.Join(fmt.Sprintf("%02x", id.slice&0xff),
		strconv.Itoa(int(id.home))+"-"+strconv.FormatUint(id.slice, 10))
}

// diskEntry is a slice of which the cache has blocks.
type diskEntry struct {
	id   sliceID
	pins atomic.Int32 // raised under DiskCache.mu; while above 0, the file stays open and in place

	io sync.Mutex // held while the file is opened or checked

	// Guarded by DiskCache.mu.
	prev, next *diskEntry // in the ring of DiskCache.recent
	file       *os.File   // nil while closed
	blocks     []diskBlock
	created    bool // the file was made by this cache, now or earlier
	used       bool // since the clock's hand last passed
	doomed     bool // being removed: neither to be read nor to be written
}

// diskBlock is a block in a slice's file.
type diskBlock struct {
	index   uint32
	at, n   uint32 // its range in the slice, bytes
	sum     uint32 // sumOfSums
	checked bool   // by this process
}

func (e *diskEntry) hold() { e.pins.Add(1) }

// unpin makes an entry what a Span holds on to.
func (e *diskEntry) unpin() { e.pins.Add(-1) }

// block finds a block; the result is good while DiskCache.mu is held.
func (e *diskEntry) block(index uint32) *diskBlock {
	if i, ok := e.search(index); ok {
		return &e.blocks[i]
	}
	return nil
}

func (e *diskEntry) search(index uint32) (int, bool) {
	return slices.BinarySearchFunc(e.blocks, index, func(b diskBlock, index uint32) int {
		return int(int64(b.index) - int64(index))
	})
}

// covers tells whether the blocks are all of the first n bytes.
func (e *diskEntry) covers(n uint32) bool {
	end := uint32(0)
	for i := range e.blocks {
		if e.blocks[i].at != end {
			return false
		}
		end += e.blocks[i].n
	}
	return end == n
}

// cost is what a block of n bytes takes on the disk.
func cost(n uint32) int64 {
	const page = 4096
	return (int64(n) + page - 1) / page * page
}

// find gives a block's entry, and the block, nil if there is none to be read.
// Called with mu held.
func (c *DiskCache) find(id blockID) (*diskEntry, *diskBlock) {
	e := c.entries[id.sliceID()]
	if e == nil || e.doomed || c.closed {
		return nil, nil
	}
	return e, e.block(id.index)
}

// touch makes an entry the one used last. Called with mu held.
func (c *DiskCache) touch(e *diskEntry) {
	e.used = true
	if c.recent.next == e {
		return
	}
	e.unlink()
	e.next, e.prev = c.recent.next, &c.recent
	e.next.prev, e.prev.next = e, e
}

// unlink takes an entry out of the ring. Called with DiskCache.mu held.
func (e *diskEntry) unlink() {
	if e.next != nil {
		e.next.prev, e.prev.next = e.prev, e.next
		e.next, e.prev = nil, nil
	}
}

// entry gives the entry of a slice, new if needed. Called with mu held.
func (c *DiskCache) entry(id sliceID) *diskEntry {
	e := c.entries[id]
	if e == nil {
		e = &diskEntry{id: id}
		c.entries[id] = e
	}
	return e
}

// insert adds a block to an entry, in place of what was there, and counts it.
// Called with mu held.
func (c *DiskCache) insert(e *diskEntry, blk diskBlock) {
	i, ok := e.search(blk.index)
	if ok {
		c.used -= cost(e.blocks[i].n)
		e.blocks[i] = blk
	} else {
		e.blocks = slices.Insert(e.blocks, i, blk)
		c.blocks++
	}
	c.used += cost(blk.n)
}

// drop takes a block out of an entry. Called with mu held.
func (c *DiskCache) drop(e *diskEntry, index uint32) bool {
	i, ok := e.search(index)
	if ok {
		c.used -= cost(e.blocks[i].n)
		c.blocks--
		e.blocks = slices.Delete(e.blocks, i, i+1)
	}
	return ok
}

// prepare opens the file of a pinned entry and checks a block that this process
// has not seen yet. It gives nil when the block is not to be had.
func (c *DiskCache) prepare(e *diskEntry, index uint32) *os.File {
	e.io.Lock()
	defer e.io.Unlock()
	file, err := c.openLocked(e, os.O_RDWR)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			c.forget(e)
		} else { // too many open files, say: it may be had later
			c.metrics.failures.Inc()
			c.log.Debug("a cache file could not be opened", slog.Any("error", err))
		}
		return nil
	}
	c.mu.Lock()
	blk := e.block(index)
	if blk == nil || blk.checked {
		if blk == nil {
			file = nil
		}
		c.mu.Unlock()
		return file
	}
	want := *blk
	c.mu.Unlock()
	err = checkBlock(file, want)
	c.mu.Lock()
	if blk = e.block(index); err == nil && blk != nil {
		blk.checked = true
		c.mu.Unlock()
		return file
	}
	c.drop(e, index)
	c.mu.Unlock()
	c.metrics.corrupt.Inc()
	c.log.Warn("a block in the cache is damaged; it will be downloaded again",
		slog.String("file", file.Name()), slog.Uint64("block", uint64(index)), slog.Any("error", err))
	c.write(indexRecord{kind: indexBlockGone, id: e.id, diskBlock: want})
	return nil
}

// checkBlock reads a block and compares its checksum.
func checkBlock(file io.ReaderAt, blk diskBlock) error {
	group := make([]byte, groupBytes)
	sums := make([]byte, 0, 4*groups(blk.n))
	for done := uint32(0); done < blk.n; {
		p := group[:min(groupBytes, blk.n-done)]
		if n, err := file.ReadAt(p, int64(blk.at)+int64(done)); n < len(p) {
			return err
		}
		sums = appendSums(sums, p)
		done += uint32(len(p))
	}
	if sumOfSums(sums) != blk.sum {
		return errors.New("wrong checksum")
	}
	return nil
}

// open gives the file of a pinned entry to write to.
func (c *DiskCache) open(e *diskEntry) (*os.File, error) {
	e.io.Lock()
	defer e.io.Unlock()
	c.mu.Lock()
	created := e.created
	c.mu.Unlock()
	flags := os.O_RDWR | os.O_CREATE
	if !created { // whatever stands there is not ours
		flags |= os.O_TRUNC
	}
	file, err := c.openLocked(e, flags)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(filepath.Join(c.dir, filepath.Dir(e.id.path())), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		file, err = c.openLocked(e, flags)
	}
	return file, err
}

// openLocked opens an entry's file unless it is open. Called with e.io held.
func (c *DiskCache) openLocked(e *diskEntry, flags int) (*os.File, error) {
	c.mu.Lock()
	file := e.file
	c.mu.Unlock()
	if file != nil {
		return file, nil
	}
	file, err := os.OpenFile(filepath.Join(c.dir, e.id.path()), flags, 0o600)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(ErrClosed, file.Close())
	}
	e.file, e.created, e.used = file, true, true
	c.closeIdle()
	c.opened = append(c.opened, e)
	return file, nil
}

// closeIdle closes files when too many are open: those that nobody holds and
// that were not used since the hand passed them. Called with mu held.
func (c *DiskCache) closeIdle() {
	for tries := 2 * len(c.opened); len(c.opened) >= c.opts.OpenFiles && tries > 0; tries-- {
		c.hand %= len(c.opened)
		e := c.opened[c.hand]
		if e.used || e.pins.Load() > 0 {
			e.used = false
			c.hand++
			continue
		}
		c.closeFile(c.hand)
	}
}

// closeFile closes the file of opened[i]. Called with mu held.
func (c *DiskCache) closeFile(i int) {
	e := c.opened[i]
	_ = e.file.Close() // what was written need not be durable
	e.file = nil
	last := len(c.opened) - 1
	c.opened[i] = c.opened[last]
	c.opened[last] = nil
	c.opened = c.opened[:last]
}
