package vfs

import (
	"context"
	"syscall"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// holeBytes is the range of a file in which holes are buffered at once: each chunk of
// it takes a piece, and all together one Commit.
const holeBytes = meta.MaxCommitExtents * chunk.Bytes

// ZeroRange is Punch and Allocate.
func (f *File) ZeroRange(ctx context.Context, off, n int64) error {
	if err := f.Punch(ctx, off, n); err != nil {
		return err
	}
	return f.Allocate(ctx, off, n)
}

// Allocate makes the file end at off + n or later. Nothing is set aside for the bytes:
// a store has room, or says so when they are written. One round trip when it grows.
func (f *File) Allocate(ctx context.Context, off, n int64) error {
	if err := f.checkRange("fallocate", off, n); err != nil {
		return err
	}
	fs, in, size := f.fs, f.in, uint64(off)+uint64(n)
	held, cancel := detached(ctx, fs.opts.FlushTimeout)
	defer cancel()
	if err := in.hold(held); err != nil {
		return err
	}
	defer in.letGo()
	if err := fs.flushHeld(held, in); err != nil {
		return err
	}
	in.mu.RLock()
	long := in.valid && in.size() >= size
	in.mu.RUnlock()
	if long {
		return nil
	}
	return fs.commit(held, in, meta.Commit{Ino: in.ino, Size: size, ClearSetID: f.clearSetID.Load()})
}

// checkRange refuses what no range of a file that is written can be.
func (f *File) checkRange(op string, off, n int64) error {
	switch {
	case !f.writable():
		return refuse(op, f.in.ino, "", syscall.EBADF)
	case off < 0 || n <= 0:
		return refuse(op, f.in.ino, "", syscall.EINVAL)
	case off > meta.MaxFileBytes-n:
		return refuse(op, f.in.ino, "", syscall.EFBIG)
	}
	return f.report(op)
}

// Punch makes the n bytes at off zeros and gives their room back. The file does not
// get longer. Like a write it is buffered, and committed by a flush.
func (f *File) Punch(ctx context.Context, off, n int64) error {
	if err := f.checkRange("fallocate", off, n); err != nil {
		return err
	}
	fs, in := f.fs, f.in
	ctx, cancel := detached(ctx, fs.opts.FlushTimeout)
	defer cancel()
	if err := fs.freshSize(ctx, in); err != nil { // nothing is behind the end
		return err
	}
	for at, end := uint64(off), uint64(off)+uint64(n); ; {
		part := min(end, (at/holeBytes+1)*holeBytes)
		more, err := f.punchPart(ctx, at, part)
		if err != nil || !more || part == end {
			return err
		}
		if err := fs.flush(ctx, in); err != nil {
			return err
		}
		at = part
	}
}

// punchPart buffers holes from one place to another, as far as the file has bytes, and
// reports whether it has more behind.
func (f *File) punchPart(ctx context.Context, at, end uint64) (more bool, err error) {
	fs, in := f.fs, f.in
	if err := fs.writeOfKind(ctx, in, (*pending).isPlain); err != nil {
		return false, err
	}
	defer in.write.Unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	size := in.size()
	if at >= size {
		return false, nil
	}
	act := in.active
	if act == nil {
		act = newPending(fs.now())
		in.active = act
		fs.dirty.add(fs, in)
	}
	act.hole(at, min(end, size))
	act.size = act.end // what was written before may be taken away here, and made the file that long
	act.changed = fs.now()
	act.mtime = act.changed
	act.clearSetID = act.clearSetID || f.clearSetID.Load()
	fs.flushMany(act)
	return end < size, nil
}

// hole records that there are no bytes from one place to another.
func (p *pending) hole(at, end uint64) {
	for at < end {
		index, pos := uint32(at/chunk.Bytes), uint32(at%chunk.Bytes)
		n := min(end-at, chunk.Bytes-uint64(pos))
		p.insert(index, chunk.Extent{Pos: pos, Len: uint32(n)})
		at += n
	}
}
