package tree

import (
	"sync/atomic"
)

// Count is what a copy or comparison has seen so far. It may be read while the
// work goes on.
type Count struct {
	Files, Dirs, Links, Bytes atomic.Int64
}

// Entries sums files, directories and symbolic links.
func (c *Count) Entries() int64 { return c.Files.Load() + c.Dirs.Load() + c.Links.Load() }
