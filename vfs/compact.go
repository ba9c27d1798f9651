package vfs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

const (
	// maxFragmented bounds the chunks that wait to be compacted; more are found again
	// when they are written or read.
	maxFragmented = 4096
	// fillBytes is the longest hole that a compaction fills with zeros: it bounds
	// what is left of any list to 1,024 extents.
	fillBytes = 64 << 10
	// compactPart is how much of a chunk is read at once.
	compactPart = 4 << 20
)

// place is a chunk of a file.
type place struct {
	ino   meta.Ino
	index uint32
}

// fragmented holds the chunks whose extent lists have become long.
type fragmented struct {
	mu     sync.Mutex
	places map[place]struct{}
	kick   chan struct{}
}

func (f *fragmented) init() {
	f.places = make(map[place]struct{})
	f.kick = make(chan struct{}, 1)
}

// add notes a chunk.
func (f *fragmented) add(p place) {
	f.mu.Lock()
	if len(f.places) < maxFragmented {
		f.places[p] = struct{}{}
	}
	f.mu.Unlock()
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// take gives one of the chunks and forgets it.
func (f *fragmented) take() (place, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.places {
		delete(f.places, p)
		return p, true
	}
	return place{}, false
}

// noteCommit notes which chunks have long lists after a commit. Of a large one the reply
// does not tell all: then each may.
func (fs *FS) noteCommit(c *meta.Commit, res *meta.Result) {
	if fs.opts.CompactExtents < 0 {
		return
	}
	told := 0
	for i := range res.Effects {
		e := &res.Effects[i]
		if e.Kind != meta.EffectChunk {
			continue
		}
		told++
		if e.ListExtents() > fs.opts.CompactExtents {
			fs.fragmented.add(place{e.Ino, e.Index})
		}
	}
	if res.Partial {
		for i := told; i < len(c.Chunks); i++ { // both are in order of index
			fs.fragmented.add(place{c.Ino, c.Chunks[i].Index})
		}
	}
}

// noteLists notes which chunks of a file that is read have long lists.
func (fs *FS) noteLists(ino meta.Ino, lists []meta.ChunkExtents) {
	if !fs.opts.CompactOnRead || fs.opts.ReadOnly || fs.opts.CompactExtents < 0 {
		return
	}
	for i := range lists {
		if len(lists[i].Extents) > fs.opts.CompactExtents {
			fs.fragmented.add(place{ino, lists[i].Index})
		}
	}
}

// compacts rewrites fragmented chunks one at a time, at a limited rate, until ctx ends.
func (fs *FS) compacts(ctx context.Context) {
	for {
		p, ok := fs.fragmented.take()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-fs.fragmented.kick:
			}
			continue
		}
		n, err := fs.compact(ctx, p, fs.opts.CompactExtents)
		if err != nil && ctx.Err() == nil {
			fs.log.WarnContext(ctx, "a chunk could not be compacted", inoAttr(p.ino), slog.Uint64("chunk", uint64(p.index)), errAttr(err))
		}
		if !pause(ctx, time.Duration(float64(n)/float64(fs.opts.CompactBytesPerSecond)*float64(time.Second))) {
			return
		}
	}
}

// compact writes what a chunk holds into one slice, if its list has more than least extents
// and gets half as long by that, and returns how many bytes were written.
func (fs *FS) compact(ctx context.Context, p place, least int) (int, error) {
	c, err := fs.compaction(ctx, p, least)
	if err != nil || len(c.Old) == 0 {
		return 0, err
	}
	written := 0
	for i := range c.New {
		written += int(c.New[i].Len)
	}
	in := fs.table.acquire(p.ino)
	defer fs.table.release(in)
	held, cancel := detached(ctx, fs.opts.FlushTimeout)
	defer cancel()
	if err := in.hold(held); err != nil {
		return written, err
	}
	defer in.letGo()
	return written, fs.replace(held, in, c)
}

// compactNow makes room in the list of a chunk: afterwards it has a piece for each 64 KiB at most,
// 1,024, unless others add to it. in.flushing is held.
func (fs *FS) compactNow(ctx context.Context, in *inode, index uint32) error {
	full, err := fs.compaction(ctx, place{in.ino, index}, 0)
	if err != nil || len(full.Old) == 0 {
		return err
	}
	return fs.replace(ctx, in, full)
}

// compaction writes what a chunk holds into one slice. The change has no extents when there
// is nothing to be gained.
func (fs *FS) compaction(ctx context.Context, p place, least int) (meta.Compact, error) {
	none := meta.Compact{}
	node, lists, err := fs.engine.Extents(ctx, p.ino, p.index, 1)
	switch {
	case errors.Is(err, syscall.ENOENT):
		return none, nil
	case err != nil:
		return none, err
	case len(lists) == 0 || len(lists[0].Extents) <= least || len(lists[0].Extents) > meta.MaxChunkExtents:
		return none, nil
	case uint64(p.index)*chunk.Bytes >= node.Attr.Size:
		return none, nil
	}
	old := lists[0].Extents
	m := flatten(old)
	runs := runsOf(m)
	if len(runs) >= len(old) || least > 0 && len(runs) > len(old)/2 {
		return none, nil
	}
	id, err := fs.slices.take(ctx, fs)
	if err != nil {
		return none, err
	}
	home := fs.home()
	w := fs.blocks.NewWriter(id, home, fs.nextSlice)
	defer w.Abort() // does nothing after Close
	list, err := fs.rewrite(ctx, w, home, m, runs)
	if err != nil {
		return none, err
	}
	return meta.Compact{Ino: p.ino, Index: p.index, Old: old, New: list}, nil
}

// replace makes a compaction. A list that somebody else has rewritten or cut off meanwhile
// stays as it is, and what was written is for garbage collection. in.flushing is held, so
// that no later change of this client is noted before.
func (fs *FS) replace(ctx context.Context, in *inode, c meta.Compact) error {
	res, err := fs.send(ctx, c)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	fs.metrics.compactions.Inc()
	fs.learn(&res, 0)
	in.mu.Lock() // the version is the same, the extents are not
	in.forgetExtents()
	in.mu.Unlock()
	return nil
}

// runsOf gives the ranges of a chunk that hold data, short holes included.
func runsOf(m *extentMap) []chunk.Extent {
	var runs []chunk.Extent
	for i := range m.list {
		e := &m.list[i]
		if e.Slice == 0 {
			continue
		}
		if k := len(runs) - 1; k >= 0 && e.Pos-end(&runs[k]) <= fillBytes {
			runs[k].Len = end(e) - runs[k].Pos
			continue
		}
		runs = append(runs, chunk.Extent{Pos: e.Pos, Len: e.Len})
	}
	return runs
}

// rewrite writes ranges of a chunk into a slice and gives the extents that they are there.
func (fs *FS) rewrite(ctx context.Context, w *chunk.Writer, home uint8, m *extentMap, runs []chunk.Extent) ([]meta.Extent, error) {
	var list []meta.Extent
	for _, run := range runs {
		off := w.Len()
		for pos := run.Pos; pos < end(&run); {
			n := min(end(&run)-pos, compactPart)
			if err := fs.copyInto(ctx, w, cover(nil, []layer{{m: m}}, pos, n)); err != nil {
				return nil, err
			}
			pos += n
		}
		list = append(list, meta.Extent{Pos: run.Pos, Len: run.Len, Home: home, Off: off})
	}
	if err := w.Close(ctx); err != nil {
		return nil, refuse("compact", 0, "", err)
	}
	for i := range list {
		list[i].Slice, list[i].Size = w.Slice(), w.Len()
	}
	return list, nil
}

// copyInto appends committed pieces to a slice.
func (fs *FS) copyInto(ctx context.Context, w *chunk.Writer, pieces []piece) error {
	spans, err := fs.fetch(ctx, pieces)
	if err != nil {
		return refuse("compact", 0, "", err)
	}
	defer chunk.ReleaseAll(spans)
	for i := range spans {
		p, err := spans[i].Bytes()
		if err == nil {
			_, err = w.Write(ctx, p)
		}
		if err != nil {
			return refuse("compact", 0, "", err)
		}
	}
	return nil
}
