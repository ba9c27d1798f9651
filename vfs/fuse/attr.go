package fuse

import (
	"math"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mirrorfs/meta"
)

const (
	// generation of every inode: numbers are never used twice.
	generation = 1
	// preferredBytes is st_blksize, the unit in which programs like to read and
	// write: stdio and Python take it for their buffers, cp takes the larger of it
	// and 256 KiB.
	preferredBytes = 128 << 10
	// dirBytes is the size shown for a directory.
	dirBytes = 4096
	// statBlock is the unit of st_blocks.
	statBlock = 512
)

// fillAttr writes attributes as stat(2) shows them.
func (r *raw) fillAttr(out *gofuse.Attr, n *meta.Node) {
	a := &n.Attr
	size := a.Size
	if a.IsDir() {
		size = dirBytes
	} else if a.IsFile() {
		r.sizes.note(n.Ino, size)
	}
	out.Ino = uint64(n.Ino)
	out.Size = size
	out.Blocks = (size + statBlock - 1) / statBlock
	out.Atime, out.Atimensec = splitTime(a.Atime)
	out.Mtime, out.Mtimensec = splitTime(a.Mtime)
	out.Ctime, out.Ctimensec = splitTime(a.Ctime)
	out.Mode = a.Mode
	out.Nlink = a.Nlink
	out.Uid = a.UID
	out.Gid = a.GID
	out.Rdev = a.Rdev
	out.Blksize = preferredBytes
}

// fillEntry writes the answer to a look-up.
func (r *raw) fillEntry(out *gofuse.EntryOut, n *meta.Node) {
	out.NodeId = r.node(n.Ino)
	out.Generation = generation
	out.SetEntryTimeout(r.opts.EntryTimeout)
	out.SetAttrTimeout(r.opts.AttrTimeout)
	r.fillAttr(&out.Attr, n)
}

// fillAttrOut writes the answer to a question for attributes.
func (r *raw) fillAttrOut(out *gofuse.AttrOut, n *meta.Node) {
	out.SetTimeout(r.opts.AttrTimeout)
	r.fillAttr(&out.Attr, n)
}

const nsPerSecond = 1_000_000_000

// splitTime gives whole seconds, negative before 1970, and nanoseconds.
func splitTime(ns int64) (sec uint64, nsec uint32) {
	s, rest := ns/nsPerSecond, ns%nsPerSecond
	if rest < 0 {
		s, rest = s-1, rest+nsPerSecond
	}
	return uint64(s), uint32(rest)
}

// joinTime is the reverse; what 64 bits of nanoseconds cannot hold (before 1677,
// after 2262) becomes the nearest that they can.
func joinTime(sec uint64, nsec uint32) int64 {
	s := int64(sec)
	switch {
	case s > math.MaxInt64/nsPerSecond-1:
		return math.MaxInt64
	case s < math.MinInt64/nsPerSecond+1:
		return math.MinInt64
	default:
		return s*nsPerSecond + int64(nsec)
	}
}

// setAttrOf reads what the kernel wants to be set.
func setAttrOf(ino meta.Ino, in *gofuse.SetAttrInCommon) meta.SetAttr {
	c := meta.SetAttr{Ino: ino}
	set := func(bit uint32, mask meta.AttrMask) bool {
		if in.Valid&bit == 0 {
			return false
		}
		c.Set |= mask
		return true
	}
	if set(gofuse.FATTR_MODE, meta.SetMode) {
		c.Mode = in.Mode & 0o7777
	}
	if set(gofuse.FATTR_UID, meta.SetUID) {
		c.UID = in.Uid
	}
	if set(gofuse.FATTR_GID, meta.SetGID) {
		c.GID = in.Gid
	}
	if set(gofuse.FATTR_SIZE, meta.SetSize) {
		c.Size = in.Size
	}
	if !set(gofuse.FATTR_ATIME_NOW, meta.SetAtimeNow) && set(gofuse.FATTR_ATIME, meta.SetAtime) {
		c.Atime = joinTime(in.Atime, in.Atimensec)
	}
	if !set(gofuse.FATTR_MTIME_NOW, meta.SetMtimeNow) && set(gofuse.FATTR_MTIME, meta.SetMtime) {
		c.Mtime = joinTime(in.Mtime, in.Mtimensec)
	}
	// With HANDLE_KILLPRIV_V2 the kernel leaves it to us to clear setuid and
	// setgid: always when the owner changes, else when it says so. The mode, when
	// given too, is what it is to be afterwards, as in a chmod that follows.
	if in.Valid&(gofuse.FATTR_UID|gofuse.FATTR_GID|gofuse.FATTR_KILL_SUIDGID) != 0 && in.Valid&gofuse.FATTR_MODE == 0 {
		c.Set |= meta.ClearSetID
	}
	return c
}
