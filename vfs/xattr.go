package vfs

import (
	"context"
	"sync/atomic"
	"syscall"

	"mirrorfs/meta"
)

// moments remembers when something was last seen of inodes: that they had no
// extended attributes, for which programs and the kernel ask at every turn. One slot
// per hash value, the latest wins.
type moments struct{ slots []moment }

// moment is an inode and when it was seen (ns), folded into one word each; a
// torn pair fails the check of sum.
type moment struct{ ino, at, sum atomic.Uint64 }

const missSlots = 8192

func (x *moments) init() { x.slots = make([]moment, missSlots) }

func (x *moments) note(ino meta.Ino, now int64) {
	s := &x.slots[ino%missSlots]
	s.ino.Store(uint64(ino))
	s.at.Store(uint64(now))
	s.sum.Store(uint64(ino) ^ uint64(now))
}

func (x *moments) forget(ino meta.Ino) { x.slots[ino%missSlots].sum.Store(0) }

// since reports whether the inode was noted after a time.
func (x *moments) since(ino meta.Ino, t int64) bool {
	s := &x.slots[ino%missSlots]
	at := s.at.Load()
	return s.ino.Load() == uint64(ino) && int64(at) > t && s.sum.Load() == uint64(ino)^at
}

// bare reports whether the inode had no extended attributes at most AttrAge ago.
func (fs *FS) bare(ino meta.Ino) bool {
	return fs.misses.since(ino, fs.now()-int64(fs.opts.AttrAge))
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
