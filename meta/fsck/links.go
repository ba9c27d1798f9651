package fsck

import (
	"maps"
	"slices"

	"mirrorfs/meta"
)

// checkLinks compares an inode that is no directory with its names.
func (c *checker) checkLinks(ino meta.Ino, a *meta.Attr, n *tally) {
	if n.names == 0 {
		return // see checkOrphans
	}
	dirs := c.several[ino]
	if dirs == nil {
		dirs = map[meta.Ino]uint32{n.by.parent: 1}
	}
	right := *a
	if right.Nlink = n.names; a.Nlink != n.names {
		c.find(KindLinks, ino, "it has %d names, and counts %d", n.names, a.Nlink).mend("correct the count", c.linksFix(ino))
	}
	if dirs[a.Parent] == 0 {
		right.Parent = slices.Min(slices.Collect(maps.Keys(dirs)))
		c.find(KindLinks, ino, "it has no name in directory %d, where it says that it has one", a.Parent).mend("correct what it says", c.linksFix(ino))
	}
	want := dirs
	if right.Spread = len(dirs) > 1; !right.Spread {
		want = nil
	}
	if a.Spread != right.Spread || !maps.Equal(want, c.t.names[ino]) {
		c.find(KindLinks, ino, "it has names in %d directories, and says otherwise", len(dirs)).mend("correct what it says", c.linksFix(ino))
	}
	if c.fixes[ino] == nil {
		return
	}
	x, row := c.fixOf(ino)
	row.Nlink, row.Parent, row.Spread = right.Nlink, right.Parent, right.Spread
	c.putNames(x, ino, want)
}

func (c *checker) linksFix(ino meta.Ino) *fix {
	x, _ := c.fixOf(ino)
	return x
}

// putNames makes the rows of names those that are wanted.
func (c *checker) putNames(x *fix, ino meta.Ino, want map[meta.Ino]uint32) {
	had := c.t.names[ino]
	for dir := range had {
		if want[dir] == 0 {
			x.add(meta.Effect{Kind: meta.EffectNames, Ino: ino, Parent: dir})
		}
	}
	for dir, n := range want {
		if had[dir] != n {
			x.add(meta.Effect{Kind: meta.EffectNames, Ino: ino, Parent: dir, Count: n})
		}
	}
}

// right is an inode as it will be when it is mended.
func (c *checker) right(ino meta.Ino) (meta.Attr, bool) {
	if x := c.fixes[ino]; x != nil {
		return x.repair.Effects[0].Attr, true
	}
	return c.t.attr(ino)
}

// used is what an inode counts for.
func used(a *meta.Attr) (bytes, inodes uint64) {
	if a.Nlink == 0 {
		return 0, 0
	}
	if a.IsFile() {
		bytes = (a.Size + 4095) &^ 4095
	}
	return bytes, 1
}
