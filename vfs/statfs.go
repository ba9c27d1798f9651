package vfs

import (
	"context"

	"mirrorfs/meta"
)

// StatFS is what statfs(2) tells of a volume.
type StatFS struct {
	Used  meta.Usage
	Total meta.Usage
}

// The totals that a volume claims while it is small. Object storage has no end;
// programs want a number that they do not come near.
const (
	leastTotalBytes  = 1 << 50
	leastTotalInodes = 1 << 32
)

// StatFS gives what the volume holds, and totals of which at most half is used.
func (fs *FS) StatFS(ctx context.Context) (StatFS, error) {
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	used, err := fs.engine.StatFS(ctx)
	if err != nil {
		return StatFS{}, err
	}
	return StatFS{
		Used:  used,
		Total: meta.Usage{Bytes: max(leastTotalBytes, 2*used.Bytes), Inodes: max(leastTotalInodes, 2*used.Inodes)},
	}, nil
}
