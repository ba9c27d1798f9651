package chunk

// Cache keeps blocks near: *DiskCache or *MemCache. A cache is best effort:
// none of its methods fails, and a block that was put may be gone at once.
type Cache interface {
	// get gives n bytes from off of a block, verified.
	get(id blockID, off, n uint32) (Span, bool)
	// has reports whether the cache believes to have the block.
	has(id blockID) bool
	// put offers a whole block: its bytes, which lie in buf, the place of its
	// first byte in its slice, and its sumOfSums. The cache holds buf if it
	// wants the bytes for longer than the call. False means that it did not take
	// the block.
	put(b cachedBlock) bool
	// wholeSlice gives the n bytes of a slice as one range of one file, or false.
	wholeSlice(home uint8, slice uint64, n uint32) (Span, bool)
}

// cachedBlock is a block for a cache. The cache does not change data.
type cachedBlock struct {
	id   blockID
	at   uint32 // first byte in the slice
	data []byte
	sum  uint32 // sumOfSums
	buf  *buffer
}
