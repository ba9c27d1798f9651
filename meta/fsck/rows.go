package fsck

import (
	"fmt"

	"mirrorfs/meta"
)

// checkOrphans compares orphans' rows with inodes, and looks at those that have no name.
func (c *checker) checkOrphans() {
	for ino, o := range c.t.orphans {
		a, ok := c.t.attr(ino)
		switch {
		case c.t.bad[ino] != nil:
		case !ok:
			c.orphanTooMuch(o, "its inode does not exist", meta.Effect{Kind: meta.EffectInodeGone, Ino: ino})
		case c.namesOf(ino) > 0:
			c.orphanTooMuch(o, "it has a name", c.t.inodeEffect(ino))
		case a.IsDir() && c.names[ino] != nil && c.names[ino].entries > 0:
			c.find(KindOrphan, ino, "it was deleted, and has %d entries", c.names[ino].entries)
		case a.Nlink > 0:
			x, right := c.fixOf(ino)
			right.Nlink, right.Spread = 0, false
			c.putNames(x, ino, nil)
			x.add(orphanEffect(meta.EffectOrphan, o)) // copies of the volume may not have it
			c.find(KindLinks, ino, "it was deleted, and counts %d names", a.Nlink).mend("correct the count", x)
		}
	}
	for ino := range c.t.inodes {
		_, listed := c.t.orphans[ino]
		a, ok := c.t.attr(ino)
		switch {
		case !ok || listed || c.namesOf(ino) > 0 || ino == meta.RootIno:
		case a.IsDir() && a.Nlink > 0:
			c.find(KindUnreachable, ino, "no directory has this one").mend("give it a name in /lost+found", &fix{lost: ino})
		case a.Nlink > 0:
			c.find(KindUnreachable, ino, "it counts %d names, and has none", a.Nlink).mend("give it a name in /lost+found", &fix{lost: ino})
		default:
			o := meta.Orphan{UnlinkedMs: a.Ctime / 1e6, Ino: ino, Parent: a.Parent, Name: lostName(ino)}
			c.find(KindOrphan, ino, "it was deleted, and is not among the orphans").mend("list it as one", &fix{repair: meta.Repair{
				Expect:  []meta.Effect{c.t.inodeEffect(ino), orphanEffect(meta.EffectOrphanGone, o)},
				Effects: []meta.Effect{orphanEffect(meta.EffectOrphan, o)},
			}})
		}
	}
}

// namesOf is how many names an inode has.
func (c *checker) namesOf(ino meta.Ino) uint32 {
	if n := c.names[ino]; n != nil {
		return n.names
	}
	return 0
}

func (c *checker) orphanTooMuch(o meta.Orphan, why string, expect ...meta.Effect) {
	row := orphanEffect(meta.EffectOrphan, o)
	gone := orphanEffect(meta.EffectOrphanGone, o)
	c.find(KindOrphan, o.Ino, "it is among the orphans as %q, and %s", o.Name, why).
		mend("remove it from the orphans", &fix{repair: meta.Repair{Expect: append(expect, row), Effects: []meta.Effect{gone}}})
}

// lostName is the name of an inode of which no other is known.
func lostName(ino meta.Ino) string { return fmt.Sprintf("#%d", ino) }

// checkRows compares inodes with the rows that hang on them.
func (c *checker) checkRows() {
	hasLists := map[meta.Ino]bool{}
	for k := range c.t.lists {
		hasLists[k.ino] = true
	}
	for ino := range c.t.inodes {
		a, ok := c.t.attr(ino)
		if !ok {
			continue
		}
		if has := len(c.t.xattrs[ino]) > 0; has != a.HasXattrs {
			x, right := c.fixOf(ino)
			right.HasXattrs = has
			c.find(KindAttributes, ino, "it has %d extended attributes, and says %v", len(c.t.xattrs[ino]), a.HasXattrs).mend("correct what it says", x)
		}
		if has := hasLists[ino]; has != a.HasChunks && a.IsFile() {
			f := c.find(KindAttributes, ino, "it has extent lists: %v, and says %v", has, a.HasChunks)
			if a.Inline == nil { // which of the two holds the data is anybody's guess
				x, right := c.fixOf(ino)
				right.HasChunks = has
				f.mend("correct what it says", x)
			}
		}
		c.checkTarget(ino, &a)
	}
}

func (c *checker) checkTarget(ino meta.Ino, a *meta.Attr) {
	n, has := c.t.targets[ino]
	link := a.Type() == meta.TypeSymlink
	switch {
	case link && !has:
		c.find(KindTarget, ino, "the symbolic link has no target")
	case !link && has:
		x, _ := c.fixOf(ino)
		x.add(meta.Effect{Kind: meta.EffectTargetGone, Ino: ino})
		c.find(KindTarget, ino, "it has a link's target, and is none").mend("remove the target", x)
	case link && a.Size != uint64(n):
		x, right := c.fixOf(ino)
		right.Size = uint64(n)
		c.find(KindTarget, ino, "its target has %d bytes, and its size is %d", n, a.Size).mend("correct the size", x)
	}
}

// checkState compares inodes, as they will be, with what the volume says of them all.
func (c *checker) checkState() {
	var usage meta.Usage
	var last meta.Ino
	for ino := range c.t.inodes {
		last = max(last, ino)
		if a, ok := c.right(ino); ok {
			bytes, inodes := used(&a)
			usage.Bytes += bytes
			usage.Inodes += inodes
		}
	}
	if said := c.t.state.Usage; said != usage {
		c.find(KindUsage, 0, "its inodes use %d bytes and are %d, and it counts %d bytes and %d", usage.Bytes, usage.Inodes, said.Bytes, said.Inodes).
			mend("correct the count", &fix{repair: meta.Repair{
				Bytes: int64(usage.Bytes) - int64(said.Bytes), Inodes: int64(usage.Inodes) - int64(said.Inodes),
			}})
	}
	if last >= c.t.state.NextIno {
		c.find(KindNext, 0, "inode %d exists, and the next is to be %d", last, c.t.state.NextIno).
			mend("raise the next number", &fix{repair: meta.Repair{NextIno: last + 1}})
	}
	if _, ok := c.t.inodes[meta.RootIno]; !ok {
		c.find(KindDirectory, meta.RootIno, "there is no root directory")
	}
}
