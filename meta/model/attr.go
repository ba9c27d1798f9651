package model

import (
	"slices"
	"syscall"

	"mirrorfs/meta"
)

func (s *staged) setAttr(c *meta.SetAttr) syscall.Errno {
	n, errno := s.v.tables.node(c.Ino)
	if errno != 0 {
		return errno
	}
	if c.Set == 0 {
		return 0
	}
	if c.Set&meta.SetSize != 0 {
		if errno := mustBeFile(&n.Attr); errno != 0 {
			return errno
		}
		s.setSize(c.Ino, c.Size)
		kept := s.v.tables.content(c.Ino).clone()
		kept.truncate(c.Size)
		s.setContent(c.Ino, kept, nil)
		s.inode(c.Ino).Mtime = s.now
	}
	a := s.inode(c.Ino)
	a.Ctime = s.now
	for _, f := range []struct {
		mask meta.AttrMask
		set  func()
	}{
		{meta.SetMode, func() { a.Mode = a.Type() | c.Mode&0o7777 }},
		{meta.SetUID, func() { a.UID = c.UID }},
		{meta.SetGID, func() { a.GID = c.GID }},
		{meta.SetAtime, func() { a.Atime = c.Atime }},
		{meta.SetMtime, func() { a.Mtime = c.Mtime }},
		{meta.SetAtimeNow, func() { a.Atime = s.now }},
		{meta.SetMtimeNow, func() { a.Mtime = s.now }},
		{meta.ClearSetID, func() { clearSetID(a) }},
	} {
		if c.Set&f.mask != 0 {
			f.set()
		}
	}
	return 0
}

func mustBeFile(a *meta.Attr) syscall.Errno {
	switch {
	case a.IsDir():
		return syscall.EISDIR
	case !a.IsFile():
		return syscall.EINVAL
	}
	return 0
}

// clearSetID takes away what would run a program as somebody else. Without group
// execution the setgid bit means something else; on a directory both do.
func clearSetID(a *meta.Attr) {
	if a.IsDir() {
		return
	}
	a.Mode &^= meta.ModeSetUID
	if a.Mode&0o010 != 0 {
		a.Mode &^= meta.ModeSetGID
	}
}

func (s *staged) commitExtents(c *meta.Commit) syscall.Errno {
	n, errno := s.v.tables.node(c.Ino)
	if errno == 0 {
		errno = mustBeFile(&n.Attr)
	}
	if errno != 0 {
		return errno
	}
	written := s.v.tables.content(c.Ino).clone()
	named := map[uint64]meta.Slice{}
	size := n.Attr.Size
	chunks := c.Chunks
	if c.Append {
		if s.wasMade(c) {
			return 0
		}
		if chunks = placed(c.Chunks, size); chunks == nil {
			return syscall.EFBIG
		}
	}
	for _, chunk := range chunks {
		for _, e := range chunk.Extents {
			written.write(chunk.Index, e)
			if e.Slice != 0 {
				named[e.Slice] = meta.Slice{ID: e.Slice, Home: e.Home, Size: e.Size}
			}
			size = max(size, uint64(chunk.Index)*meta.ChunkBytes+uint64(e.Pos)+uint64(e.Len))
		}
	}
	s.setSize(c.Ino, size)
	s.setContent(c.Ino, written, named)
	a := s.inode(c.Ino)
	a.Mtime, a.Ctime = s.now, s.now
	if c.Mtime != 0 {
		a.Mtime = c.Mtime
	}
	if c.Atime != 0 {
		a.Atime = c.Atime
	}
	if c.ClearSetID {
		clearSetID(a)
	}
	return 0
}

// wasMade reports whether an append was made before: its first slice is referred to.
func (s *staged) wasMade(c *meta.Commit) bool {
	for _, chunk := range c.Chunks {
		for _, e := range chunk.Extents {
			if e.Slice != 0 {
				return s.v.tables.extents[e.Slice] > 0
			}
		}
	}
	return false
}

// placed gives the extents of an append as they are at a size, a chunk for each;
// nil when they pass the largest size of a file.
func placed(chunks []meta.ChunkExtents, size uint64) []meta.ChunkExtents {
	var out []meta.ChunkExtents
	for _, chunk := range chunks {
		for _, e := range chunk.Extents {
			at := size + uint64(chunk.Index)*meta.ChunkBytes + uint64(e.Pos)
			if at+uint64(e.Len) > meta.MaxFileBytes {
				return nil
			}
			for left := e.Len; left > 0; left -= e.Len {
				e.Pos = uint32(at % meta.ChunkBytes)
				e.Len = min(left, meta.ChunkBytes-e.Pos)
				out = append(out, meta.ChunkExtents{Index: uint32(at / meta.ChunkBytes), Extents: []meta.Extent{e}})
				at += uint64(e.Len)
				if e.Slice != 0 {
					e.Off += e.Len
				}
			}
		}
	}
	return out
}

func (s *staged) setXattr(c *meta.SetXattr) syscall.Errno {
	if _, errno := s.v.tables.node(c.Ino); errno != 0 {
		return errno
	}
	_, exists := s.v.tables.xattrs[c.Ino][c.Name]
	switch {
	case exists && c.Mode == meta.XattrCreate:
		return syscall.EEXIST
	case !exists && c.Mode == meta.XattrReplace:
		return syscall.ENODATA
	}
	s.add(meta.Effect{Kind: meta.EffectXattr, Ino: c.Ino, Name: c.Name, Value: slices.Clone(c.Value)})
	a := s.inode(c.Ino)
	a.HasXattrs, a.Ctime = true, s.now
	return 0
}

func (s *staged) removeXattr(c *meta.RemoveXattr) syscall.Errno {
	if _, errno := s.v.tables.node(c.Ino); errno != 0 {
		return errno
	}
	xattrs := s.v.tables.xattrs[c.Ino]
	if _, exists := xattrs[c.Name]; !exists {
		return syscall.ENODATA
	}
	s.add(meta.Effect{Kind: meta.EffectXattrGone, Ino: c.Ino, Name: c.Name})
	a := s.inode(c.Ino)
	a.HasXattrs, a.Ctime = len(xattrs) > 1, s.now
	return 0
}

func (s *staged) reserve(c *meta.Reserve) syscall.Errno {
	if s.counters.NextSlice+uint64(c.Count) > meta.MaxSlice {
		return syscall.ENOSPC
	}
	s.counters.NextSlice += uint64(c.Count)
	return 0
}
