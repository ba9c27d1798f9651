package chunk

import (
	"sync"
	"sync/atomic"
)

// buffer is pooled memory that several may hold. The last to drop it returns it
// to its pool, so no one may keep a slice of its bytes after dropping it.
type buffer struct {
	bytes []byte
	refs  atomic.Int32
	pool  *sync.Pool
}

func (b *buffer) hold() { b.refs.Add(1) }

func (b *buffer) drop() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		b.pool.Put(b)
	case n < 0:
		panic("chunk: buffer dropped more often than held")
	}
}

// unpin makes a buffer what a Span holds on to.
func (b *buffer) unpin() { b.drop() }

// buffers gives out memory in a few sizes, so that a small file does not pin a
// whole block.
type buffers struct {
	sizes []int // ascending, the last fits a whole block object
	pools []sync.Pool
}

func newBuffers(blockBytes int) *buffers {
	room := headerBytes(uint32(blockBytes))
	b := &buffers{}
	for n := 16 << 10; n < blockBytes; n *= 4 {
		b.sizes = append(b.sizes, room+n)
	}
	b.sizes = append(b.sizes, room+blockBytes)
	b.pools = make([]sync.Pool, len(b.sizes))
	return b
}

// size is the capacity of the buffer that get(n) gives.
func (b *buffers) size(n int) int {
	for _, size := range b.sizes {
		if n <= size {
			return size
		}
	}
	panic("chunk: buffer larger than a block")
}

// get gives a buffer of at least n bytes, held once. Its bytes are not cleared.
func (b *buffers) get(n int) *buffer {
	for i, size := range b.sizes {
		if n > size {
			continue
		}
		buf, ok := b.pools[i].Get().(*buffer)
		if !ok {
			buf = &buffer{bytes: make([]byte, size), pool: &b.pools[i]}
		}
		buf.refs.Store(1)
		return buf
	}
	panic("chunk: buffer larger than a block")
}
