package chunk

import (
	"container/list"
	"sync"
)

// MemCache keeps blocks in memory, the least recently used leaving first.
type MemCache struct {
	limit int64 // bytes

	mu     sync.Mutex
	used   int64
	blocks map[blockID]*list.Element // of cachedBlock
	recent *list.List                // most recent first
}

// NewMemCache makes a cache of up to limitBytes, which counts the whole memory
// behind a block. It starts nothing and needs no closing.
func NewMemCache(limitBytes int64) *MemCache {
	return &MemCache{limit: limitBytes, blocks: map[blockID]*list.Element{}, recent: list.New()}
}

// Bytes is what the cache holds now.
func (c *MemCache) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

func (c *MemCache) get(id blockID, off, n uint32) (Span, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.blocks[id]
	if !ok {
		return Span{}, false
	}
	blk := e.Value.(*cachedBlock)
	if uint64(off)+uint64(n) > uint64(len(blk.data)) {
		return Span{}, false
	}
	c.recent.MoveToFront(e)
	blk.buf.hold()
	return Span{Data: blk.data[off : off+n : off+n], Len: int(n), pin: blk.buf}, true
}

func (c *MemCache) has(id blockID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.blocks[id]
	return ok
}

func (c *MemCache) put(b cachedBlock) bool {
	size := int64(len(b.buf.bytes))
	if size > c.limit {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.blocks[b.id]; ok {
		return true
	}
	for c.used+size > c.limit {
		c.evict()
	}
	b.buf.hold()
	c.used += size
	c.blocks[b.id] = c.recent.PushFront(&b)
	return true
}

// evict drops the block used longest ago. Called with mu held.
func (c *MemCache) evict() {
	last := c.recent.Back()
	blk := c.recent.Remove(last).(*cachedBlock)
	delete(c.blocks, blk.id)
	c.used -= int64(len(blk.buf.bytes))
	blk.buf.drop()
}

func (c *MemCache) wholeSlice(uint8, uint64, uint32) (Span, bool) { return Span{}, false }
