package chunk

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// admit pins the entry that a block of n bytes goes to, and counts the block's
// bytes, after having chosen who leaves for it. The caller removes those,
// writes, and calls settle or refuse. It gives nil when the block is there, or
// when there is no room for it.
func (c *DiskCache) admit(id blockID, n int) (*diskEntry, []*diskEntry) {
	need := cost(uint32(n))
	c.mu.Lock()
	e := c.entries[id.sliceID()]
	if c.closed || e != nil && (e.doomed || e.block(id.index) != nil) {
		c.mu.Unlock()
		return nil, nil
	}
	e = c.entry(id.sliceID())
	e.hold()
	c.touch(e)
	c.used += need
	c.writing += need
	c.mu.Unlock()

	victims := c.makeRoom()

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used > c.opts.LimitBytes || c.freeDeficit() > doomedBytes(victims) {
		c.used -= need
		c.writing -= need
		c.release(e)
		return nil, victims
	}
	return e, victims
}

// release unpins an entry that got no block, and forgets it if it has none.
// Called with mu held.
func (c *DiskCache) release(e *diskEntry) {
	e.unpin()
	if len(e.blocks) == 0 && e.pins.Load() == 0 && e.file == nil && !e.created {
		e.unlink()
		delete(c.entries, e.id)
	}
}

// settle makes a written block known. It is false when another has done so.
func (c *DiskCache) settle(e *diskEntry, blk diskBlock) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used -= cost(blk.n) // insert counts it again
	c.writing -= cost(blk.n)
	if c.failing {
		c.failing = false
		c.log.Info("the cache can be written again", slog.String("directory", c.dir))
	}
	if e.block(blk.index) != nil {
		return false
	}
	c.insert(e, blk)
	c.metrics.stored.Inc()
	return true
}

// refuse takes back what admit counted for a block that could not be written. A
// full disk makes the cache smaller, so that it finds its size by itself.
func (c *DiskCache) refuse(e *diskEntry, blk diskBlock, err error) {
	c.metrics.failures.Inc()
	c.mu.Lock()
	c.used -= cost(blk.n)
	c.writing -= cost(blk.n)
	log := !c.failing
	c.failing = true
	var victims []*diskEntry
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		victims = c.doom(max(cost(blk.n), c.used/16))
	}
	c.mu.Unlock()
	if log {
		c.log.Warn("the cache cannot be written; reads go on without", slog.String("directory", c.dir), slog.Any("error", err))
	}
	c.remove(victims)
}

// makeRoom chooses what must leave so that the limits hold when all is written that
// was admitted.
func (c *DiskCache) makeRoom() []*diskEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doom(max(c.used-c.opts.LimitBytes, c.freeDeficit()))
}

// freeDeficit is how many bytes the file system lacks to have FreeBytes free when
// all is written that was admitted, by whomever. Called with mu held, for a system
// call that only reads memory.
func (c *DiskCache) freeDeficit() int64 {
	if c.opts.FreeBytes < 0 {
		return 0
	}
	var st unix.Statfs_t
	if err := unix.Statfs(c.dir, &st); err != nil {
		return 0
	}
	return c.opts.FreeBytes + c.writing - int64(st.Bavail)*st.Bsize
}

// doom marks entries that nobody holds for removal, those used longest ago
// first, until they take want bytes. One that is held is in use, and counts as
// used now. Called with mu held.
func (c *DiskCache) doom(want int64) []*diskEntry {
	const maxHeld = 256 // bounds the search when nearly all are held
	var victims []*diskEntry
	for held := 0; want > 0 && held < maxHeld && !c.closed; {
		older := c.recent.prev
		if older == &c.recent {
			break
		}
		if older.pins.Load() > 0 {
			held++
			c.touch(older)
			continue
		}
		older.doomed = true
		older.unlink()
		size := older.bytes()
		want -= size
		c.used -= size
		c.blocks -= len(older.blocks)
		if older.file != nil {
			c.closeFile(slices.Index(c.opened, older))
		}
		c.metrics.evictions.Inc()
		c.metrics.evicted.Add(float64(size))
		victims = append(victims, older)
	}
	return victims
}

func (e *diskEntry) bytes() int64 {
	n := int64(0)
	for i := range e.blocks {
		n += cost(e.blocks[i].n)
	}
	return n
}

func doomedBytes(entries []*diskEntry) int64 {
	n := int64(0)
	for _, e := range entries {
		n += e.bytes()
	}
	return n
}

// remove deletes the files of doomed entries. An entry stays known until its
// file is gone, so that nobody begins a new file of the same name before.
func (c *DiskCache) remove(victims []*diskEntry) {
	for _, e := range victims {
		if err := os.Remove(filepath.Join(c.dir, e.id.path())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("a cache file could not be removed", slog.Any("error", err))
		}
		c.write(indexRecord{kind: indexSliceGone, id: e.id})
		c.mu.Lock()
		delete(c.entries, e.id)
		c.mu.Unlock()
	}
}

// forget takes all blocks out of an entry whose file is gone or cannot be opened.
func (c *DiskCache) forget(e *diskEntry) {
	c.mu.Lock()
	c.used -= e.bytes()
	c.blocks -= len(e.blocks)
	e.blocks, e.created = nil, false
	c.mu.Unlock()
	c.write(indexRecord{kind: indexSliceGone, id: e.id})
}

// write adds a record to the index. A record that is lost costs a check later,
// so an error is only logged.
func (c *DiskCache) write(r indexRecord) {
	if err := c.index.append(r); err != nil {
		c.log.Debug("the cache's index could not be written", slog.Any("error", err))
	}
}
