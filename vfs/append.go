package vfs

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// What a program appends goes to the end of the file as it is when the data is committed:
// other clients may have made it longer meanwhile. So a generation holds either appended
// data only, or none, and appended data has a place that is only believed in until then.

// notAppended is the base of a generation of other writes.
const notAppended = -1

// writeOfKind takes in.write once nothing is buffered that is of another kind than the next
// write: what there is of that is flushed. The two never share a generation.
func (fs *FS) writeOfKind(ctx context.Context, in *inode, is func(*pending) bool) error {
	for {
		in.write.Lock()
		if in.active == nil || is(in.active) { // guarded by write too
			return nil
		}
		in.write.Unlock()
		if err := fs.flush(ctx, in); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return refuse("write", in.ino, "", err)
		}
	}
}

// writeAsSized takes in.write for who gives the file a size: what was appended before is
// committed then, unless that takes it away. in.flushing is held.
func (fs *FS) writeAsSized(ctx context.Context, in *inode, size uint64) error {
	for {
		in.write.Lock()
		in.mu.RLock()
		due := in.sealed != nil || in.active != nil && in.active.isAppend() && size > 0
		in.mu.RUnlock()
		if !due {
			return nil
		}
		in.write.Unlock()
		if err := fs.flushHeld(ctx, in); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return refuse("setattr", in.ino, "", err)
		}
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

// drop forgets the first n bytes of appended data, which are whole slices. inode.write and
// inode.mu are held.
func (p *pending) drop(n uint64) {
	p.base += int64(n) //nolint:gosec // below 2^47
	from := uint64(p.base)
	p.extents = 0
	for index, m := range p.chunks {
		switch begin := uint64(index) * chunk.Bytes; {
		case begin+chunk.Bytes <= from:
			m.list = nil
		case begin < from:
			m.list = m.list[m.search(uint32(from-begin)):]
		}
		if len(m.list) == 0 {
			delete(p.chunks, index)
		}
		p.extents += len(m.list)
	}
	used := p.used()
	maps.DeleteFunc(p.slices, func(id uint64, _ *slice) bool { return !used[id] })
}

// appendExtents bounds one append, so that the last chunk of the file has room for it once
// that is compacted, however the append falls on chunks: see decision 82.
const appendExtents = 512

// commitAppend commits a generation of appended data at the end of the file, and moves what
// was appended since to where that is now. One of very many pieces goes in parts, each to the end
// that the file has then: others may come between. What is committed leaves the generation at
// once, so that another attempt begins with the rest. in.flushing is held.
func (fs *FS) commitAppend(ctx context.Context, in *inode, p *pending) error {
	for left := true; left; {
		in.mu.Lock()
		c, n := p.nextAppend(in.ino, min(appendExtents, fs.maxExtents))
		in.mu.Unlock()
		res, err := fs.sendAppend(ctx, in, c)
		if err != nil {
			return err
		}
		left = fs.appended(in, p, n, &res)
		fs.noteCommit(&c, &res)
	}
	return nil
}

// nextAppend gives what a generation of appended data begins with as a change, and how many
// bytes that is. in.mu is held.
func (p *pending) nextAppend(ino meta.Ino, limit int) (meta.Commit, uint64) {
	believed := p.base
	p.move(-believed)
	c, n := p.commits(ino, math.MaxInt)[0], p.end
	p.move(believed)
	c.Append = true
	if p.extents > limit {
		c.Chunks, n = firstSlices(c.Chunks, n, limit)
	}
	return c, n
}

// firstSlices gives what n bytes of appended data begin with: slices of up to limit extents
// together, or one. By the first slice of an append the engine knows one that was made before,
// though nobody learned it, and does nothing: so no two of them may have a part of one slice.
func firstSlices(lists []meta.ChunkExtents, n uint64, limit int) ([]meta.ChunkExtents, uint64) {
	first, bytes := lists, n
	seen, last := 0, uint64(0)
	for i := range lists {
		for j, e := range lists[i].Extents {
			if seen > 0 && e.Slice != last { // here it could end
				if seen > limit && bytes < n {
					return first, bytes
				}
				first, bytes = slices.Clone(lists[:i]), uint64(lists[i].Index)*chunk.Bytes+uint64(e.Pos)
				if j > 0 {
					first = append(first, meta.ChunkExtents{Index: lists[i].Index, Extents: lists[i].Extents[:j]})
				}
			}
			seen, last = seen+1, e.Slice
		}
	}
	if seen <= limit {
		return lists, n
	}
	return first, bytes
}

// sendAppend makes an append, with room made for it in the file's last chunk when the list of
// that is full. in.flushing is held.
func (fs *FS) sendAppend(ctx context.Context, in *inode, c meta.Commit) (meta.Result, error) {
	for try := 0; ; try++ {
		res, err := fs.send(ctx, c)
		if !errors.Is(err, meta.ErrTooMuch) || try == maxCompactTries {
			return res, err
		}
		node, err := fs.engine.GetAttr(ctx, in.ino)
		if err == nil {
			err = fs.compactNow(ctx, in, uint32(node.Attr.Size/chunk.Bytes))
		}
		if err != nil {
			return meta.Result{}, err
		}
	}
}

// appended takes over that the first n bytes of a generation were committed, and reports whether
// there is more of it.
func (fs *FS) appended(in *inode, p *pending, n uint64, res *meta.Result) (left bool) {
	in.write.Lock()
	defer in.write.Unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.learned = fs.learned.Add(1)
	a := &res.Node.Attr
	end := a.Size + p.end - uint64(p.base) - n
	if res.Position.IsZero() || a.Size != p.end { // others have appended too, or there is more
		in.adopt(a, fs.now())
		in.forget()
	} else {
		in.committed(a, p.commits(in.ino, math.MaxInt)[0].Chunks, fs.now())
	}
	p.drop(n)
	left = len(p.chunks) > 0
	p.move(int64(a.Size) - p.base) //nolint:gosec // below 2^47
	if act := in.active; act != nil && act.isAppend() {
		act.move(int64(end) - act.base) //nolint:gosec // below 2^47
	}
	return left
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
