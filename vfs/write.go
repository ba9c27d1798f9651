package vfs

import (
	"context"
	"syscall"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// Write puts p at off. The bytes are buffered; blocks that are full are uploaded
// behind. It waits for room when the buffers are full. It does not keep p. It puts
// less than all of p when a quota has no room for more; the next write is told.
//
// O_APPEND changes nothing here: a kernel writes pages of a mapped file in
// place, however it was opened. What a program appends goes through Append.
func (f *File) Write(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, refuse("write", f.in.ino, "", syscall.EINVAL)
	}
	_, n, err := f.put(ctx, p, off)
	return n, err
}

// Append puts p at the end of the file and tells where that is believed to be. Appends
// never overlap. Where they really are, other clients having appended too, is settled when
// they are committed.
func (f *File) Append(ctx context.Context, p []byte) (off int64, n int, err error) {
	return f.put(ctx, p, atEnd)
}

// ClearSetID makes all that this handle will write clear the setuid and setgid bits
// when it is committed, as a write by others than root does.
func (f *File) ClearSetID() { f.clearSetID.Store(true) }

// atEnd as an offset means the end of the file.
const atEnd = -1

func (f *File) put(ctx context.Context, p []byte, off int64) (int64, int, error) {
	fs, in := f.fs, f.in
	if !f.writable() {
		return 0, 0, refuse("write", in.ino, "", syscall.EBADF)
	}
	if err := f.mayUse("write"); err != nil {
		return 0, 0, err
	}
	if err := f.report("write"); err != nil || len(p) == 0 {
		return off, 0, err
	}
	ctx, cancel := detached(ctx, fs.opts.FlushTimeout)
	defer cancel()
	fs.makeRoom(ctx)
	kind := (*pending).isPlain
	if off == atEnd {
		kind = (*pending).isAppend
	}
	if off == atEnd {
		if err := fs.freshSize(ctx, in); err != nil {
			return 0, 0, err
		}
	}
	if err := fs.writeOfKind(ctx, in, kind); err != nil {
		return off, 0, err
	}
	defer in.write.Unlock()
	base := int64(notAppended)
	if off == atEnd {
		off = in.endOfAppends()
		base = off
	}
	if off+int64(len(p)) > meta.MaxFileBytes {
		return off, 0, refuse("write", in.ino, "", syscall.EFBIG)
	}
	n, err := fs.withinQuota(ctx, in, uint64(off), len(p))
	if err != nil {
		return off, 0, err
	}
	p = p[:n]
	for done := 0; done < len(p); {
		n, err := f.putPart(ctx, p[done:], uint64(off)+uint64(done), base)
		if err != nil && done > 0 && f.report("write") == nil {
			return off, done, nil // the next write is told
		}
		if err != nil {
			_ = f.report("write") // this is the report
			return off, 0, err
		}
		done += n
	}
	return off, len(p), nil
}

// WriteWaits reports whether a write may have to wait for a store or for metadata, an append aside.
func (fs *FS) WriteWaits() bool {
	return fs.blocks.Crowded() || fs.buffered.Load() > fs.opts.BufferedBytes/2 || fs.slices.empty()
}

// freshSize asks how long the file is if that is not known well enough to append.
func (fs *FS) freshSize(ctx context.Context, in *inode) error {
	in.mu.RLock()
	fresh := in.buffering() || in.valid && fs.now()-in.askedAt < int64(fs.opts.AttrAge)
	in.mu.RUnlock()
	if fresh {
		return nil
	}
	return fs.refresh(ctx, in)
}

// putPart writes the part of p that goes to one chunk and one slice. in.write
// is held.
func (f *File) putPart(ctx context.Context, p []byte, off uint64, base int64) (int, error) {
	fs, in := f.fs, f.in
	act := in.active // guarded by write too
	if act == nil {
		act = newPending(fs.now())
		act.base = base
	}
	s := act.choose(ctx, off, len(p))
	isNew := s == nil
	if isNew {
		id, err := fs.slices.take(ctx, fs)
		if err != nil {
			return 0, err
		}
		home := fs.home()
		s = &slice{fs: fs, id: id, home: home, w: fs.blocks.NewWriter(id, home, fs.nextSlice), done: make(chan struct{})}
	}
	n := min(len(p), int(chunk.Bytes-off%chunk.Bytes), int(chunk.Bytes-s.w.Len()))
	at, err := s.w.Write(ctx, p[:n])
	if err != nil {
		fs.giveUp(ctx, in, refuse("write", in.ino, "", err))
		s.abort()
		return 0, refuse("write", in.ino, "", err)
	}
	s.end = off + uint64(n)
	s.grown(fs.blocks.BlockBytes())
	in.mu.Lock()
	defer in.mu.Unlock()
	if isNew {
		act.slices[s.id] = s
		act.streams = append(act.streams, s)
	}
	act.put(s, off, n, at, s.home)
	act.changed = fs.now()
	act.mtime = act.changed
	act.clearSetID = act.clearSetID || f.clearSetID.Load()
	if in.active == nil {
		in.active = act
		fs.dirty.add(fs, in)
	}
	fs.flushMany(act)
	return n, nil
}

// flushMany has a generation flushed behind when it is in many pieces. inode.mu is held.
func (fs *FS) flushMany(act *pending) {
	if act.extents > fs.opts.DirtyExtents && act.since != 0 {
		act.since = 0
		fs.wake()
	}
}

// giveUp drops what is buffered and keeps the reason for every handle.
// in.write is held.
func (fs *FS) giveUp(ctx context.Context, in *inode, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.fail(err)
	in.room = room{}
	fs.dirty.remove(fs, in)
	fs.metrics.lost.Inc()
	fs.log.ErrorContext(ctx, "written data could not be stored and is given up", inoAttr(in.ino), errAttr(err))
}

// maxRoomTries is how many files one write flushes at most to make room.
const maxRoomTries = 16

// makeRoom flushes the files that were written first while partial blocks hold
// too much memory.
func (fs *FS) makeRoom(ctx context.Context) {
	for range maxRoomTries {
		if fs.buffered.Load() <= fs.opts.BufferedBytes || ctx.Err() != nil {
			return
		}
		in := fs.dirty.oldest()
		if in == nil {
			return // all are being flushed
		}
		_ = fs.flush(ctx, in) // whoever has it open is told
	}
}
