package chunk

import "context"

// DecodeBlock decodes and verifies a whole block object as a reader does.
func DecodeBlock(b []byte) ([]byte, error) {
	h, n, err := decodeHeader(b)
	if err != nil {
		return nil, err
	}
	if err := h.check(h.id, h.raw); err != nil {
		return nil, err
	}
	if err := h.verify(b[n:], 0); err != nil {
		return nil, err
	}
	return b[n:], nil
}

// DecodeIndexRecord tells whether b starts with a good index record, and encodes
// what it says again.
func DecodeIndexRecord(b []byte) ([]byte, bool) {
	r, ok := decodeIndexRecord(b)
	if !ok {
		return nil, false
	}
	return appendIndexRecord(nil, r), true
}

// BufferedBytes is the memory that all writers hold.
func (b *Blocks) BufferedBytes() int64 { return b.budget.inUse() }

// OpenFiles is how many files the cache has open.
func (c *DiskCache) OpenFiles() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.opened)
}

// Sweep removes strays, as Run does first.
func (c *DiskCache) Sweep(ctx context.Context) { c.sweep(ctx) }

// Abandon gives the directory up as the end of the process would: nothing is
// written or closed in order.
func (c *DiskCache) Abandon() error { return c.lock.Close() }
