package vfs

import (
	"context"
	"errors"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// What a program appends goes to the end of the file as it is when the data is committed:
// other clients may have made it longer meanwhile. So a generation holds either appended
// data only, or none, and appended data has a place that is only believed in until then.

// notAppended is the base of a generation of other writes.
const notAppended = -1

// maxSeparations bounds how often a write flushes what is of the other kind before it joins
// it, which other writers may keep up.
const maxSeparations = 4

// separate flushes what is buffered when it is of another kind than the next write.
func (fs *FS) separate(ctx context.Context, in *inode, appends func(*pending) bool) error {
	for range maxSeparations {
		in.mu.RLock()
		mixed := in.active != nil && !appends(in.active)
		in.mu.RUnlock()
		if !mixed {
			return nil
		}
		if err := fs.flush(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// join makes what is buffered plain when a write of another kind joins it all the same: then
// all is written where it is believed to be. write is held.
func (in *inode) join(base int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if act := in.active; act != nil && act.isAppend() != (base != notAppended) {
		act.base = notAppended
	}
}

// endOfAppends is where the next append goes: right behind what this generation has already.
// When the file is known to have become longer meanwhile, by others, all of the generation moves
// to its new end first: it has no gaps. write is held.
func (in *inode) endOfAppends() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	act := in.active
	if act == nil || !act.isAppend() {
		return int64(in.size()) //nolint:gosec // below 2^47
	}
	behind := in.attr.Size
	if in.sealed != nil {
		behind = max(behind, in.sealed.end)
	}
	if by := int64(behind) - act.base; by > 0 { //nolint:gosec // as above
		act.move(by)
	}
	return int64(act.end) //nolint:gosec // as above
}

// flushAppended flushes what was appended before a file gets a size, unless that takes it away.
// in.flushing is held.
func (fs *FS) flushAppended(ctx context.Context, in *inode, size uint64) error {
	in.mu.RLock()
	due := in.sealed != nil || in.active != nil && in.active.isAppend() && size > 0
	in.mu.RUnlock()
	if !due {
		return nil
	}
	return fs.flushHeld(ctx, in)
}

func (p *pending) isAppend() bool { return p.base != notAppended }

func (p *pending) isPlain() bool { return p.base == notAppended }

// move takes all extents to where they are when the first is at another place.
func (p *pending) move(by int64) {
	old := p.chunks
	p.chunks, p.extents, p.end = map[uint32]*extentMap{}, 0, 0
	for index, m := range old {
		for _, e := range m.list {
			at := uint64(int64(uint64(index)*chunk.Bytes+uint64(e.Pos)) + by) //nolint:gosec // below 2^47
			for left := e.Len; left > 0; left -= e.Len {
				e.Pos = uint32(at % chunk.Bytes)
				e.Len = min(left, chunk.Bytes-e.Pos)
				p.insert(uint32(at/chunk.Bytes), e)
				at += uint64(e.Len)
				e.Off += e.Len
			}
			p.end = max(p.end, at)
		}
	}
	if p.isAppend() {
		p.base += by
	}
	for _, s := range p.slices {
		s.end = uint64(int64(s.end) + by) //nolint:gosec // as above
	}
}

// commitAppend commits a generation of appended data at the end of the file, and moves what
// was appended since to where that is now. One that was committed before, though nobody learned
// it, changes nothing: the engine knows its slices. in.flushing is held.
func (fs *FS) commitAppend(ctx context.Context, in *inode, p *pending) error {
	in.mu.Lock()
	believed, end := p.base, p.end
	p.move(-believed)
	commits := p.commits(in.ino, meta.MaxAppendExtents)
	p.move(believed)
	in.mu.Unlock()
	if len(commits) != 1 { // so many pieces that they cannot be put at the end in one call
		return fs.commitPlain(ctx, in, p)
	}
	c := commits[0]
	c.Append = true
	res, err := fs.send(ctx, c)
	if errors.Is(err, meta.ErrTooMuch) {
		return fs.commitPlain(ctx, in, p)
	}
	if err != nil {
		return err
	}
	in.write.Lock()
	defer in.write.Unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.learned = fs.learned.Add(1)
	a := &res.Node.Attr
	if res.Position.IsZero() || a.Size != end { // others have appended too
		in.adopt(a, fs.now())
		in.forget()
	} else {
		in.committed(a, p.commits(in.ino, meta.MaxAppendExtents)[0].Chunks, fs.now())
	}
	if act := in.active; act != nil && act.isAppend() {
		act.move(int64(a.Size) - act.base) //nolint:gosec // below 2^47
	}
	fs.noteCommit(&c, &res)
	return nil
}

// commitPlain commits a generation where it is believed to be.
func (fs *FS) commitPlain(ctx context.Context, in *inode, p *pending) error {
	for _, c := range p.commits(in.ino, fs.maxExtents) {
		if err := fs.commit(ctx, in, c); err != nil {
			return err
		}
	}
	return nil
}
