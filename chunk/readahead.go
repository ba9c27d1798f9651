package chunk

// Readahead decides how far ahead of a reader to prefetch: the window grows
// while one reads on, and is gone after a jump. One belongs to one file handle;
// it is not safe for concurrent use. The zero value works.
//
// The kernel sends the parts of one large read at once and they arrive in any
// order, so whatever lies close to where reading stands counts as reading on.
type Readahead struct {
	// BlockBytes is the smallest window; 0 means 4 MiB.
	BlockBytes int64
	// MaxBytes is the largest window; 0 means 64 MiB.
	MaxBytes int64

	next   int64 // the furthest byte read
	ahead  int64 // up to here was told to be prefetched
	window int64 // bytes; 0 while reading is random
	run    int64 // bytes read on since the last jump
}

// Next is told of a read of n bytes at off, before it is done, and gives the
// range of the file, from and to, that is worth prefetching now; from equal to
// to means nothing. It may reach past the end of the file.
func (r *Readahead) Next(off, n int64) (from, to int64) {
	block, limit := r.limits()
	if !r.follows(off, n, block) {
		*r = Readahead{BlockBytes: r.BlockBytes, MaxBytes: r.MaxBytes, next: off + n, run: n}
		if off != 0 || n < groupBytes { // a first large read at the start is the start of more
			return 0, 0
		}
		r.ahead = off + n
		r.window = block
		return r.extend(block)
	}
	r.run += n
	r.next = max(r.next, off+n)
	if r.window == 0 {
		if r.run < 2*groupBytes { // a few small reads in a row are no stream yet
			return 0, 0
		}
		r.window, r.ahead = block, r.next
	}
	if r.ahead-r.next > r.window/2 {
		return 0, 0
	}
	r.window = min(2*r.window, limit)
	return r.extend(block)
}

// extend moves the end of what is prefetched to a window after the reader,
// rounded up to blocks.
func (r *Readahead) extend(block int64) (from, to int64) {
	from = max(r.ahead, r.next)
	to = (r.next + r.window + block - 1) / block * block
	if to <= from {
		return 0, 0
	}
	r.ahead = to
	return from, to
}

// follows tells whether a read of n bytes at off belongs to the run of reads before it.
func (r *Readahead) follows(off, n, block int64) bool {
	if r.run == 0 {
		return false
	}
	const disorder = 8 // reads of one size that may be under way at once
	slack := min(block, max(r.run, disorder*n))
	return off >= r.next-slack && off <= r.next+slack
}

func (r *Readahead) limits() (block, limit int64) {
	block, limit = r.BlockBytes, r.MaxBytes
	if block == 0 {
		block = 4 << 20
	}
	if limit == 0 {
		limit = 64 << 20
	}
	return block, max(limit, block)
}
