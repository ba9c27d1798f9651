package chunk

import (
	"context"
	"fmt"
)

// Check looks whether all blocks of a slice of a size are in the store. An error that is
// object.ErrNotExist says that one is missing.
func (b *Blocks) Check(ctx context.Context, home uint8, slice uint64, size uint32) error {
	for n := range BlockCount(size, b.opts.BlockBytes) {
		key := Key(home, slice, n)
		if _, err := b.store.Head(ctx, key); err != nil {
			return fmt.Errorf("block %s: %w", key, err)
		}
	}
	return nil
}
