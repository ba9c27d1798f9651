package metatest

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"mirrorfs/meta"
)

// change makes up a change, with handles for inode numbers.
func (g *generator) change() meta.Change {
	dir := g.dir()
	switch n := g.rng.IntN(100); {
	case n < 28:
		return g.make(dir)
	case n < 34:
		return meta.Link{Ino: g.other(), Parent: dir, Name: g.name()}
	case n < 43:
		return meta.Unlink{Parent: dir, Name: g.existing(dir)}
	case n < 48:
		return meta.Rmdir{Parent: dir, Name: g.existing(dir)}
	case n < 65:
		return g.rename(dir)
	case n < 74:
		return g.setAttr()
	case n < 82:
		return g.commit()
	case n < 85:
		return g.clone()
	case n < 87:
		return g.compact()
	case n < 90:
		return g.setXattr()
	case n < 92:
		return meta.RemoveXattr{Ino: g.other(), Name: g.xattr()}
	case n < 94:
		return g.quota()
	case n < 95:
		return meta.Reserve{Count: uint32(g.rng.IntN(5))}
	case n < 97:
		return meta.Purge{Orphan: meta.Orphan{Ino: g.removed()}}
	default:
		return g.trash(dir)
	}
}

// trash makes up what is done with deleted things.
func (g *generator) trash(dir meta.Ino) meta.Change {
	switch n := g.rng.IntN(10); {
	case n < 5:
		return meta.Restore{Orphan: meta.Orphan{Ino: g.removed()}, Parent: dir, Name: g.name()}
	case n < 9:
		return meta.Reclaim{Rows: []meta.Freed{{Seq: g.rng.Uint64N(1 << 20)}}}
	default:
		return meta.Settings{Volume: meta.Volume{Trash: pick(g.rng, []time.Duration{0, time.Millisecond, time.Hour, 24 * time.Hour})}}
	}
}

// removed picks an inode, rather one that is an orphan.
func (g *generator) removed() meta.Ino {
	from := g.others
	if g.rng.IntN(4) == 0 {
		from = g.dirs
	}
	for range 8 {
		h := recent(g.rng, from)
		if _, err := g.pair.model.Orphan(context.Background(), g.pair.inode(h)); err == nil {
			return h
		}
	}
	return recent(g.rng, from)
}

func (g *generator) make(dir meta.Ino) meta.Change {
	c := meta.Make{Parent: dir, Name: g.name(), Mode: uint32(g.rng.IntN(0o10000)), Umask: uint32(g.rng.IntN(0o1000)), UID: uint32(g.rng.IntN(3)), GID: uint32(g.rng.IntN(3)), Rdev: g.rng.Uint32()}
	switch n := g.rng.IntN(20); {
	case n < 10:
		c.Mode |= meta.TypeFile
	case n < 16:
		c.Mode |= meta.TypeDir
	case n < 18:
		c.Mode |= meta.TypeSymlink
		c.Target = pick(g.rng, []string{"a", "../b", "/abs/олute", string(bytes.Repeat([]byte("t"), 4095)), "\xff"})
	default:
		c.Mode |= pick(g.rng, []uint32{meta.TypeFifo, meta.TypeSocket, meta.TypeChar, meta.TypeBlock})
	}
	return c
}

func (g *generator) setXattr() meta.Change {
	c := meta.SetXattr{Ino: g.other(), Name: g.xattr(), Mode: meta.XattrMode(g.rng.IntN(3))}
	c.Value = bytes.Repeat([]byte{byte(c.Mode)}, g.rng.IntN(40))
	c.ClearSetGID = g.rng.IntN(5) == 0
	if g.rng.IntN(3) == 0 {
		c.Ino = g.dir()
		c.Name = pick(g.rng, []string{meta.XattrACL, meta.XattrDefaultACL, meta.XattrDefaultACL})
	}
	if c.Name == meta.XattrACL || c.Name == meta.XattrDefaultACL {
		c.Value = meta.AppendACL(nil, randomACL(g.rng))
		c.Mode = meta.XattrMode(max(0, g.rng.IntN(8)-5))
	}
	return c
}

// randomACL is one that Linux accepts, but for a few.
func randomACL(rng *rand.Rand) meta.ACL {
	entry := func(tag uint16) meta.ACLEntry {
		e := meta.ACLEntry{Tag: tag, Perm: uint16(rng.IntN(8)), ID: 1<<32 - 1}
		if tag == meta.ACLUser || tag == meta.ACLGroup {
			e.ID = uint32(rng.IntN(5))
		}
		return e
	}
	acl := meta.ACL{entry(meta.ACLUserObj)}
	named := 0
	for range rng.IntN(3) {
		acl, named = append(acl, entry(meta.ACLUser)), named+1
	}
	acl = append(acl, entry(meta.ACLGroupObj))
	for range rng.IntN(3) {
		acl, named = append(acl, entry(meta.ACLGroup)), named+1
	}
	if named > 0 || rng.IntN(2) == 0 {
		acl = append(acl, entry(meta.ACLMask))
	}
	acl = append(acl, entry(meta.ACLOther))
	if rng.IntN(10) == 0 {
		at := rng.IntN(len(acl))
		acl = append(acl[:at], acl[at+1:]...)
	}
	return acl
}

// quota sets a quota with little room, so that it is soon passed, or takes one away;
// or goes on with a count.
func (g *generator) quota() meta.Change {
	dir := g.dir()
	if g.rng.IntN(5) == 0 {
		dir = meta.RootIno
	}
	if all, err := g.pair.model.Quotas(context.Background()); err == nil && len(all) > 0 && g.rng.IntN(3) == 0 {
		dir = g.handle(pick(g.rng, all).Dir)
	}
	if g.rng.IntN(2) == 0 {
		return meta.Count{Dir: dir}
	}
	c := meta.SetQuota{Dir: dir}
	if g.rng.IntN(3) > 0 {
		used := meta.Usage{}
		if all, err := g.pair.model.QuotasAt(context.Background(), g.pair.inode(dir)); err == nil {
			used = all[0].Used
		}
		c.Limit.Bytes = used.Bytes + g.rng.Uint64N(1<<pick(g.rng, []int{14, 20, 28}))
		c.Limit.Inodes = used.Inodes + g.rng.Uint64N(20)
	}
	if g.rng.IntN(3) == 0 {
		c.Limit.Bytes = 0
	}
	if g.rng.IntN(3) == 0 {
		c.Limit.Inodes = 0
	}
	return c
}

// handle is the handle of an inode.
func (g *generator) handle(ino meta.Ino) meta.Ino {
	for h, i := range g.pair.inodes {
		if i == ino {
			return h
		}
	}
	return noHandle
}

func (g *generator) rename(dir meta.Ino) meta.Change {
	c := meta.Rename{OldParent: dir, OldName: g.existing(dir), NewParent: dir, NewName: g.name(), Flags: meta.RenameFlags(max(g.rng.IntN(5)-2, 0))}
	if g.rng.IntN(2) == 0 {
		c.NewParent = g.dir()
	}
	if g.rng.IntN(3) == 0 {
		c.NewName = g.existing(c.NewParent)
	}
	if g.rng.IntN(10) == 0 {
		c.NewParent = g.big
		c.NewName = g.manyName()
	}
	return c
}

func (g *generator) setAttr() meta.Change {
	c := meta.SetAttr{Ino: g.other(), Set: meta.AttrMask(g.rng.IntN(int(meta.NoTrash) << 1)), Mode: uint32(g.rng.IntN(0o10000)), UID: g.rng.Uint32(), GID: g.rng.Uint32(), Atime: g.rng.Int64(), Mtime: -g.rng.Int64N(1 << 40)}
	switch g.rng.IntN(4) {
	case 3:
		c.Set = meta.SetAccessed
		if n, err := g.pair.model.GetAttr(context.Background(), g.pair.inode(c.Ino)); err == nil {
			c.Atime = n.Attr.Atime + int64(g.rng.IntN(3)-1)
		}
	case 0:
		c.Set &^= meta.SetSize
	case 1:
		c.Set = meta.SetSize
	}
	c.Size = g.size()
	return c
}

// commit writes a few extents, of new slices mostly, sometimes of ones that were
// used before: by this file or another one.
func (g *generator) commit() meta.Change {
	c := meta.Commit{Ino: g.other()}
	for range 1 + g.rng.IntN(3) {
		index := uint32(g.rng.IntN(3))
		if g.rng.IntN(3) > 0 {
			index = 0
		}
		if g.rng.IntN(30) == 0 {
			index = meta.MaxFileBytes/meta.ChunkBytes - uint32(g.rng.IntN(2))
		}
		if i := slices.IndexFunc(c.Chunks, func(c meta.ChunkExtents) bool { return c.Index == index }); i >= 0 {
			c.Chunks[i].Extents = append(c.Chunks[i].Extents, g.extent())
			continue
		}
		c.Chunks = append(c.Chunks, meta.ChunkExtents{Index: index, Extents: []meta.Extent{g.extent()}})
	}
	slices.SortFunc(c.Chunks, func(a, b meta.ChunkExtents) int { return int(a.Index) - int(b.Index) })
	if g.rng.IntN(4) == 0 {
		c.Mtime = g.rng.Int64()
	}
	if g.rng.IntN(6) == 0 {
		c.Atime = g.rng.Int64()
	}
	if g.rng.IntN(8) == 0 {
		c.Size = g.size()
	}
	c.ClearSetID = g.rng.IntN(4) == 0
	c.Append = g.rng.IntN(5) == 0
	return c
}

// size makes up a length that is likely to be near an interesting one.
func (g *generator) size() uint64 {
	return pick(g.rng, []uint64{0, 1, 100, 4096, 4097, 8192, meta.ChunkBytes, meta.ChunkBytes + 1, 2*meta.ChunkBytes + 777, meta.MaxFileBytes, meta.MaxFileBytes + 1})
}

// clone copies a range, often a whole file to the beginning of another.
func (g *generator) clone() meta.Change {
	c := meta.Clone{Src: g.other(), Dst: g.other(), ClearSetID: g.rng.IntN(4) == 0}
	if g.rng.IntN(6) == 0 {
		c.Dst = c.Src
	}
	if g.rng.IntN(2) == 0 {
		c.SrcOff, c.DstOff = g.size(), g.size()
	}
	if n, err := g.pair.model.GetAttr(context.Background(), g.pair.inode(c.Src)); err == nil && g.rng.IntN(3) > 0 {
		c.Len = n.Attr.Size - min(n.Attr.Size, c.SrcOff)
		if g.rng.IntN(2) == 0 && c.Len > 0 {
			c.Len = 1 + g.rng.Uint64N(c.Len)
		}
		return c
	}
	c.Len = g.size()
	return c
}

// compact names a chunk. What to replace is found out when it is done.
func (g *generator) compact() meta.Change {
	c := meta.Compact{Ino: g.other(), Index: uint32(g.rng.IntN(2)), Old: make([]meta.Extent, g.rng.IntN(4))}
	g.slice++
	c.New = []meta.Extent{{Slice: g.slice, Home: uint8(g.slice % 3), Size: meta.ChunkBytes}}
	return c
}

func (g *generator) extent() meta.Extent {
	e := meta.Extent{
		Pos: pick(g.rng, []uint32{0, 0, 0, 1, 100, 4096, 8192, meta.ChunkBytes - 1, uint32(g.rng.IntN(9000))}),
		Len: pick(g.rng, []uint32{1, 100, 4096, 8192, meta.ChunkBytes, uint32(g.rng.IntN(9000))}),
	}
	if g.rng.IntN(40) > 0 {
		e.Len = min(e.Len, meta.ChunkBytes-e.Pos)
	}
	if g.rng.IntN(12) == 0 {
		return e // a hole
	}
	if g.slice == 0 || g.rng.IntN(3) > 0 {
		g.slice++
	}
	e.Slice = g.slice
	if g.rng.IntN(10) == 0 {
		e.Slice = 1 + g.rng.Uint64N(g.slice)
	}
	e.Home = uint8(e.Slice % 3)
	e.Size = meta.ChunkBytes // the same each time that a slice is named
	e.Off = uint32(g.rng.IntN(int(meta.ChunkBytes - min(e.Len, meta.ChunkBytes) + 1)))
	return e
}
