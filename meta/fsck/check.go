package fsck

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"mirrorfs/meta"
	"mirrorfs/meta/dump"
)

// Options are for Check. The zero value works.
type Options struct {
	// Progress, if not nil, is told how many inodes were read, and of how many.
	Progress func(done, total uint64)
}

// Source is what Check reads: a source's or a mirror's metadata.
type Source interface {
	dump.Source
	meta.Reader
}

// Check compares all rows of a volume with each other, as they are at one position. If
// the source is an Inspector it is asked for what rows do not show.
func Check(ctx context.Context, src Source, opts Options) (*Report, error) {
	v, err := src.Volume(ctx)
	if err != nil {
		return nil, err
	}
	from, err := src.State(ctx)
	if err != nil {
		return nil, err
	}
	if from.Role == meta.RoleBootstrapping {
		return nil, dump.ErrIncomplete
	}
	t := newTables()
	if t.state, err = dump.Copy(ctx, src, from, t, dump.Options{Progress: opts.Progress, Damaged: t.damaged}); err != nil {
		return nil, err
	}
	c := &checker{t: t, fixes: map[meta.Ino]*fix{}, names: map[meta.Ino]*tally{}, several: map[meta.Ino]map[meta.Ino]uint32{}, isFreed: map[uint64]meta.Effect{}}
	if err := c.ask(ctx, src); err != nil {
		return nil, err
	}
	c.run()
	if err := c.inspect(ctx, src); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.findings, func(a, b *Finding) int {
		return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(a.Slice, b.Slice), cmp.Compare(a.Kind, b.Kind))
	})
	for _, f := range c.findings {
		f.Path = c.path(f.owner)
	}
	return &Report{
		Volume: v.Name, Position: t.state.Position, Inodes: uint64(len(t.inodes)), Names: uint64(len(t.entries)),
		Slices: uint64(len(t.slices)), Findings: c.findings, checker: c,
	}, nil
}

// checker compares rows.
type checker struct {
	t        *tables
	names    map[meta.Ino]*tally
	several  map[meta.Ino]map[meta.Ino]uint32 // inodes with several names: directory to how many are there
	fixes    map[meta.Ino]*fix                // by inode
	isFreed  map[uint64]meta.Effect           // by slice, the row that has it
	told     *inspection                      // nil when the source cannot tell
	findings []*Finding
	hidden   bool // there are extents that a scan does not give
}

// tally is what entries say of an inode.
type tally struct {
	names   uint32
	by      entryKey // one of them
	entries uint64
	subdirs uint32
	// lost entries are to be removed, as they name nothing.
	lost     uint64
	lostDirs uint32
}

func (c *checker) run() {
	c.checkEntries()
	for k, e := range c.t.entries {
		if dirs := c.several[e.ino]; dirs != nil {
			dirs[k.parent]++
		}
	}
	for ino, err := range c.t.bad {
		c.hidden = true
		c.find(KindAttributes, ino, "its row cannot be read: %v", err)
	}
	for ino := range c.t.inodes {
		c.checkInode(ino)
	}
	c.checkLoops()
	c.checkOrphans()
	c.checkRows()
	c.checkSlices()
	c.checkState()
	c.checkQuotas()
	for id := range c.t.replies {
		if !c.t.sessions[id] {
			f := c.find(KindReplies, 0, "replies are kept of session %016x, which is none", uint64(id))
			f.mend("remove them", &fix{repair: meta.Repair{Effects: []meta.Effect{{Kind: meta.EffectSessionGone, Session: id}}}})
		}
	}
}

// find notes a finding about an inode, 0 for none.
func (c *checker) find(kind string, ino meta.Ino, format string, args ...any) *Finding {
	f := &Finding{Kind: kind, Inode: ino, owner: ino, Problem: fmt.Sprintf(format, args...)}
	c.findings = append(c.findings, f)
	return f
}

func (f *Finding) mend(how string, x *fix) { f.Repair, f.fix = how, x }

// fixOf gives the fix of an inode, which all its findings share: the row as it is is
// expected, and the one to be is the first effect.
func (c *checker) fixOf(ino meta.Ino) (*fix, *meta.Attr) {
	x := c.fixes[ino]
	if x == nil {
		row := c.t.inodeEffect(ino)
		x = &fix{repair: meta.Repair{Expect: []meta.Effect{row}, Effects: []meta.Effect{row}}}
		c.fixes[ino] = x
	}
	return x, &x.repair.Effects[0].Attr
}

func (c *checker) tally(ino meta.Ino) *tally {
	t := c.names[ino]
	if t == nil {
		t = &tally{}
		c.names[ino] = t
	}
	return t
}

// checkEntries counts names and entries, and looks for names of nothing.
func (c *checker) checkEntries() {
	for k, e := range c.t.entries {
		if dir, ok := c.t.attr(k.parent); !ok || !dir.IsDir() {
			c.find(KindStray, k.parent, "it has an entry %q, and is no directory", k.name)
			continue
		}
		dir := c.tally(k.parent)
		dir.entries++
		if e.kind == meta.TypeDir {
			dir.subdirs++
		}
		if c.t.bad[e.ino] != nil {
			child := c.tally(e.ino)
			child.by = k
			child.names++
			continue
		}
		a, ok := c.t.attr(e.ino)
		if !ok {
			dir.lost++
			if e.kind == meta.TypeDir {
				dir.lostDirs++
			}
			c.lostEntry(k, e)
			continue
		}
		child := c.tally(e.ino)
		if child.names == 0 || k.parent == a.Parent {
			child.by = k
		}
		if child.names++; child.names > 1 {
			c.several[e.ino] = map[meta.Ino]uint32{}
		}
		if a.Type() != e.kind {
			x, _ := c.fixOf(k.parent)
			right := e
			right.kind = a.Type()
			x.expect(k.effect(e))
			x.add(k.effect(right))
			if a.IsDir() {
				dir.subdirs++
			} else if e.kind == meta.TypeDir {
				dir.subdirs--
			}
			c.find(KindEntry, k.parent, "its entry %q says type %o of inode %d, which is of type %o", k.name, e.kind, e.ino, a.Type()).
				mend("correct the type in the entry", x)
		}
	}
}

// lostEntry is for a name whose inode does not exist. The directory's row follows
// when its entries are counted.
func (c *checker) lostEntry(k entryKey, e entry) {
	x, _ := c.fixOf(k.parent)
	x.expect(k.effect(e), meta.Effect{Kind: meta.EffectInodeGone, Ino: e.ino})
	x.add(meta.Effect{Kind: meta.EffectEntryGone, Parent: k.parent, Name: k.name})
	c.find(KindEntry, k.parent, "its entry %q names inode %d, which does not exist", k.name, e.ino).mend("remove the entry", x)
}

func (x *fix) expect(e ...meta.Effect) { x.repair.Expect = append(x.repair.Expect, e...) }
func (x *fix) add(e ...meta.Effect)    { x.repair.Effects = append(x.repair.Effects, e...) }

// checkInode compares an inode with its names, and a directory with its entries.
func (c *checker) checkInode(ino meta.Ino) {
	a, ok := c.t.attr(ino)
	n := c.names[ino]
	if n == nil {
		n = &tally{}
	}
	switch {
	case !ok: // it was decoded before
	case a.IsDir():
		c.checkDir(ino, &a, n)
	default:
		c.checkLinks(ino, &a, n)
	}
}

func (c *checker) checkDir(ino meta.Ino, a *meta.Attr, n *tally) {
	if n.names == 0 && ino != meta.RootIno && (n.entries == 0 || a.Nlink == 0) {
		if _, ok := c.t.orphans[ino]; ok || a.Nlink == 0 {
			return // see checkOrphans
		}
	}
	if want := 2 + n.subdirs; a.Nlink != want {
		x, right := c.fixOf(ino)
		right.Nlink = want
		c.find(KindDirectory, ino, "it has %d directories in it, and counts %d", n.subdirs, max(a.Nlink, 2)-2).mend("correct the count", x)
	}
	if a.Size != n.entries {
		x, right := c.fixOf(ino)
		right.Size = n.entries
		c.find(KindDirectory, ino, "it has %d entries, and counts %d", n.entries, a.Size).mend("correct the count", x)
	}
	if n.lost > 0 {
		_, right := c.fixOf(ino)
		right.Size = n.entries - n.lost
		right.Nlink = 2 + n.subdirs - n.lostDirs
	}
	switch {
	case ino == meta.RootIno && (n.names > 0 || a.Parent != ino):
		c.find(KindDirectory, ino, "the root has %d names and parent %d", n.names, a.Parent)
	case ino == meta.RootIno:
	case n.names == 0: // see checkOrphans
	case n.names > 1:
		c.find(KindDirectory, ino, "it has %d names", n.names)
	case a.Parent != n.by.parent:
		x, right := c.fixOf(ino)
		right.Parent = n.by.parent
		x.expect(n.by.effect(c.t.entries[n.by]))
		c.find(KindDirectory, ino, "it is in directory %d, and says %d", n.by.parent, a.Parent).mend("correct its parent", x)
	}
}

// checkLoops finds directories that lie in each other and not below the root.
func (c *checker) checkLoops() {
	const up, below = 1, 2 // on the way now; leads to the root, or to what was told already
	seen := map[meta.Ino]byte{meta.RootIno: below}
	for ino := range c.t.inodes {
		a, ok := c.t.attr(ino)
		if !ok || !a.IsDir() {
			continue
		}
		var way []meta.Ino
		at := ino
		for seen[at] == 0 {
			seen[at] = up
			way = append(way, at)
			n := c.names[at]
			if n == nil || n.names == 0 {
				break
			}
			at = n.by.parent
		}
		if n := c.names[at]; seen[at] == up && n != nil && n.names > 0 {
			c.loop(way[slices.Index(way, at):])
		}
		for _, d := range way {
			seen[d] = below
		}
	}
}

// loop is for directories of which each lies in the next.
func (c *checker) loop(dirs []meta.Ino) {
	first := slices.Min(dirs)
	n := c.names[first]
	from := n.by.effect(c.t.entries[n.by])
	c.find(KindUnreachable, first, "it lies in itself, with %d directories between", len(dirs)-1).
		mend("move it to /lost+found", &fix{lost: first, from: &from})
}
