package vfs

import (
	"context"
	"syscall"

	"mirrorfs/meta"
)

// bare reports whether the inode had no extended attributes at most AttrAge ago.
func (fs *FS) bare(ino meta.Ino) bool {
	return fs.misses.since(ino, fs.fresh())
}

// GetXattr gives an extended attribute, ENODATA when there is none. It is one
// round trip, and none when the inode was seen without any just now.
func (fs *FS) GetXattr(ctx context.Context, ino meta.Ino, name string) ([]byte, error) {
	if err := checkXattr("getxattr", ino, name); err != nil {
		return nil, err
	}
	if fs.bare(ino) {
		return nil, refuse("getxattr", ino, name, syscall.ENODATA)
	}
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	return fs.engine.GetXattr(ctx, ino, name)
}

// ListXattr gives the names of all extended attributes in byte order.
func (fs *FS) ListXattr(ctx context.Context, ino meta.Ino) ([]string, error) {
	if fs.bare(ino) {
		return nil, nil
	}
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	return fs.engine.ListXattr(ctx, ino)
}

// SetXattr sets an extended attribute. One round trip.
func (fs *FS) SetXattr(ctx context.Context, c meta.SetXattr) error {
	if err := checkXattr("setxattr", c.Ino, c.Name); err != nil {
		return err
	}
	if len(c.Value) > meta.MaxXattrValueBytes {
		return refuse("setxattr", c.Ino, c.Name, syscall.E2BIG)
	}
	_, err := fs.change(ctx, c)
	fs.misses.forget(c.Ino)
	return err
}

// RemoveXattr removes an extended attribute, ENODATA when there is none.
func (fs *FS) RemoveXattr(ctx context.Context, c meta.RemoveXattr) error {
	if err := checkXattr("removexattr", c.Ino, c.Name); err != nil {
		return err
	}
	_, err := fs.change(ctx, c)
	return err
}

func checkXattr(op string, ino meta.Ino, name string) error {
	if name == "" || len(name) > meta.MaxXattrNameBytes {
		return refuse(op, ino, name, syscall.ERANGE)
	}
	return nil
}
