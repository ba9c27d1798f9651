package vfs

import (
	"context"
	"syscall"

	"mirrorfs/meta"
)

// setTimes are the fields that a file with buffered data takes without a round
// trip: they are carried by its commit.
const setTimes = meta.SetAtime | meta.SetMtime | meta.SetAtimeNow | meta.SetMtimeNow

// GetAttr gives an inode's attributes with this client's buffered writes laid
// over. While there are such, the rest may be up to Options.AttrAge old; so may
// be those of a directory that this client has just changed, or of a file that it
// has open and whose attributes it has just set: after an open that truncates, the
// kernel asks for what the reply to that has told.
func (fs *FS) GetAttr(ctx context.Context, ino meta.Ino) (meta.Node, error) {
	if in := fs.table.get(ino); in != nil {
		if a, ok := in.recent(fs.fresh()); ok {
			return meta.Node{Ino: ino, Attr: a}, nil
		}
	}
	if dir, ok := fs.lately.since(ino, fs.fresh()); ok {
		dir.Attr.Atime = fs.accesses.over(ino, dir.Attr.Atime)
		return dir, nil
	}
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	before := fs.learned.Load()
	node, err := fs.engine.GetAttr(ctx, ino)
	if err != nil {
		return meta.Node{}, err
	}
	fs.see(&node, before)
	return node, nil
}

// recent gives the attributes of a file with buffered data, or of an open one that
// this client set, if they were learnt after a time.
func (in *inode) recent(since int64) (meta.Attr, bool) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	ours := in.buffering() || in.handles > 0 && in.setAt == in.askedAt
	if !in.valid || !ours || in.askedAt < since {
		return meta.Attr{}, false
	}
	return in.merged(), true
}

// see notes attributes that the engine gave to a question asked when
// FS.learned was before, and lays buffered writes over them.
func (fs *FS) see(n *meta.Node, before uint64) {
	if !n.Attr.HasXattrs {
		fs.misses.note(n.Ino, fs.now())
	}
	fs.lately.forget(n.Ino)
	if fs.opts.Atime != AtimeOff {
		n.Attr.Atime = fs.accesses.over(n.Ino, n.Attr.Atime)
	}
	in := fs.table.get(n.Ino)
	if in == nil {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.learned <= before || !in.valid {
		in.adopt(&n.Attr, fs.now())
	}
	n.Attr = in.merged()
}

// learn notes what a change did to inodes in use, except one, and lays buffered
// writes over the node it gives.
func (fs *FS) learn(res *meta.Result, except meta.Ino) {
	mark := fs.learned.Add(1)
	for i := range res.Effects {
		e := &res.Effects[i]
		if e.Kind == meta.EffectQuota {
			fs.limits.exist.Store(true)
		}
		if e.Kind == meta.EffectInodeGone {
			fs.lately.forget(e.Ino)
		}
		if e.Kind != meta.EffectInode {
			continue
		}
		fs.noteOwn(e, res.Position)
		if e.Ino == except {
			continue
		}
		if in := fs.table.get(e.Ino); in != nil {
			in.mu.Lock()
			if in.learned < mark {
				in.adopt(&e.Attr, fs.now())
				in.learned = mark
			}
			in.mu.Unlock()
		}
	}
	if in := fs.table.get(res.Node.Ino); in != nil && res.Node.Ino != except {
		in.mu.RLock()
		if in.valid && in.buffering() {
			res.Node.Attr = in.merged()
		}
		in.mu.RUnlock()
	}
}

// noteOwn remembers what an own change did to an inode, in use or not.
func (fs *FS) noteOwn(e *meta.Effect, at meta.Position) {
	now := fs.now()
	if e.Attr.IsDir() {
		fs.lately.note(e.Ino, &e.Attr, at, now)
	}
	if e.Attr.Nlink == 0 {
		fs.removed.note(e.Ino, now)
	}
	if e.Attr.HasXattrs {
		fs.misses.forget(e.Ino)
	} else {
		fs.misses.note(e.Ino, now)
	}
}

// SetAttr changes attributes and gives the new ones. On a file with buffered
// data it is still at most one round trip, and none when only times are set:
// those are committed with the data. A new size cuts what is buffered.
func (fs *FS) SetAttr(ctx context.Context, c meta.SetAttr) (meta.Node, error) {
	if fs.opts.ReadOnly {
		return meta.Node{}, refuse("setattr", c.Ino, "", errReadOnly)
	}
	if c.Set&meta.SetSize != 0 && c.Size > meta.MaxFileBytes {
		return meta.Node{}, refuse("setattr", c.Ino, "", syscall.EFBIG)
	}
	in := fs.table.get(c.Ino)
	if in == nil {
		res, err := fs.sendSetAttr(ctx, c)
		if err == nil {
			fs.learn(&res, 0)
		}
		return res.Node, err
	}
	in = fs.table.acquire(c.Ino)
	defer fs.table.release(in)
	held, cancel := detached(ctx, fs.opts.FlushTimeout)
	defer cancel()
	if err := in.hold(held); err != nil {
		return meta.Node{}, err
	}
	defer in.letGo()
	if a, ok := in.takeTimes(&c, fs.now()); ok {
		return meta.Node{Ino: c.Ino, Attr: a}, nil
	}
	if c.Set&meta.SetSize != 0 {
		if err := fs.writeAsSized(held, in, c.Size); err != nil { // no write may come between
			return meta.Node{}, err
		}
		defer in.write.Unlock()
	}
	res, err := fs.sendSetAttr(ctx, c)
	if err != nil {
		return meta.Node{}, err
	}
	fs.learn(&res, c.Ino)
	return fs.afterSetAttr(in, &c, &res.Node), nil
}

// sendSetAttr changes attributes. A very large file is cut in several calls, from its end:
// whatever ends that early leaves a file that is right as far as it goes.
func (fs *FS) sendSetAttr(ctx context.Context, c meta.SetAttr) (meta.Result, error) {
	for {
		res, err := fs.send(ctx, c)
		if err != nil {
			return meta.Result{}, err
		}
		if c.Set&meta.SetSize == 0 || res.Node.Attr.Size <= c.Size {
			return res, nil
		}
		fs.learn(&res, 0)
		c.Set |= meta.NoTrash // a part of the file is of no use to anybody
	}
}

// takeTimes does a SetAttr that sets only times of a file with buffered data.
func (in *inode) takeTimes(c *meta.SetAttr, now int64) (meta.Attr, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	p := in.active
	if p == nil || !in.valid || c.Set == 0 || c.Set&^setTimes != 0 {
		return meta.Attr{}, false
	}
	p.setTimes(c, now)
	return in.merged(), true
}

// setTimes notes the times that c sets.
func (p *pending) setTimes(c *meta.SetAttr, now int64) {
	switch {
	case c.Set&meta.SetAtimeNow != 0:
		p.atime = now
	case c.Set&meta.SetAtime != 0:
		p.atime = c.Atime
	}
	switch {
	case c.Set&meta.SetMtimeNow != 0:
		p.mtime = now
	case c.Set&meta.SetMtime != 0:
		p.mtime = c.Mtime
	}
	p.changed = now
}

// afterSetAttr takes over the outcome of a SetAttr. in.flushing is held, and
// in.write when a size was set.
func (fs *FS) afterSetAttr(in *inode, c *meta.SetAttr, n *meta.Node) meta.Node {
	in.mu.Lock()
	defer in.mu.Unlock()
	sized := c.Set&meta.SetSize != 0
	if p := in.active; p != nil {
		if sized {
			p.cut(c.Size)
			p.mtime, p.changed = n.Attr.Mtime, n.Attr.Ctime
		}
		if c.Set&meta.SetMode != 0 { // what the writes cleared is decided anew
			p.clearSetID = false
		}
		p.setTimes(c, fs.now())
		if sized && len(p.chunks) == 0 {
			in.discard()
			fs.dirty.remove(fs, in)
		}
	}
	pages := in.pagesOK
	in.adopt(&n.Attr, fs.now())
	in.setAt = in.askedAt
	in.learned = fs.learned.Add(1)
	if sized && c.Size == 0 { // nothing is left that anyone else could know better
		in.chunks, in.complete, in.sure = map[uint32]*extentMap{}, true, true
		in.pagesOK = pages
	}
	return meta.Node{Ino: in.ino, Attr: in.merged()}
}
