package model

import (
	"slices"
	"syscall"

	"mirrorfs/meta"
)

// The changes of what a file's bytes are: Commit, Clone and Compact.

func (s *staged) commitExtents(c *meta.Commit) syscall.Errno {
	n, errno := s.file(c.Ino)
	if errno != 0 {
		return errno
	}
	written := s.v.tables.content(c.Ino).clone()
	named := map[uint64]meta.Slice{}
	size := max(n.Attr.Size, c.Size)
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
			if e.Slice != 0 || c.Append {
				size = max(size, uint64(chunk.Index)*meta.ChunkBytes+uint64(e.Pos)+uint64(e.Len))
			}
		}
	}
	s.setSize(c.Ino, size)
	s.setContent(c.Ino, written, named)
	a := s.written(c.Ino, c.ClearSetID)
	if c.Mtime != 0 {
		a.Mtime = c.Mtime
	}
	if c.Atime != 0 {
		a.Atime = c.Atime
	}
	return 0
}

// wasMade reports whether an append was made before: its first slice is referred to.
func (s *staged) wasMade(c *meta.Commit) bool {
	for _, chunk := range c.Chunks {
		for _, e := range chunk.Extents {
			if e.Slice != 0 {
				return s.v.tables.knows(e.Slice)
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

// file gives a regular file.
func (s *staged) file(ino meta.Ino) (meta.Node, syscall.Errno) {
	n, errno := s.v.tables.node(ino)
	if errno == 0 {
		errno = mustBeFile(&n.Attr)
	}
	return n, errno
}

// written notes that a file's bytes changed.
func (s *staged) written(ino meta.Ino, clears bool) *meta.Attr {
	a := s.inode(ino)
	a.Mtime, a.Ctime = s.now, s.now
	if clears {
		clearSetID(a)
	}
	s.dropCapability(ino)
	return a
}

func (s *staged) clone(c *meta.Clone) syscall.Errno {
	src, errno := s.file(c.Src)
	if errno != 0 {
		return errno
	}
	dst, errno := s.file(c.Dst)
	if errno != 0 {
		return errno
	}
	if c.SrcOff+c.Len > src.Attr.Size {
		return syscall.EINVAL
	}
	from := s.v.tables.content(c.Src)
	to := s.v.tables.content(c.Dst).clone()
	to.lay(c.DstOff, meta.Extent{}, c.Len)
	for index, list := range from {
		for _, e := range list {
			start := uint64(index)*meta.ChunkBytes + uint64(e.Pos)
			first, last := max(start, c.SrcOff), min(start+uint64(e.Len), c.SrcOff+c.Len)
			if first < last {
				e.Off += uint32(first - start)
				to.lay(first-c.SrcOff+c.DstOff, e, last-first)
			}
		}
	}
	s.setSize(c.Dst, max(dst.Attr.Size, c.DstOff+c.Len))
	s.setContent(c.Dst, to, nil)
	s.written(c.Dst, c.ClearSetID)
	return 0
}

// lay puts n bytes that an extent has from its Off on to a place in the file, or a
// hole when it has no slice.
func (c content) lay(at uint64, e meta.Extent, n uint64) {
	for n > 0 {
		part := e
		part.Pos = uint32(at % meta.ChunkBytes)
		part.Len = uint32(min(n, meta.ChunkBytes-uint64(part.Pos)))
		c.write(uint32(at/meta.ChunkBytes), part)
		at, n = at+uint64(part.Len), n-uint64(part.Len)
		if e.Slice != 0 {
			e.Off += part.Len
		}
	}
}

func (s *staged) compact(c *meta.Compact) syscall.Errno {
	n, errno := s.file(c.Ino)
	if errno != 0 {
		return errno
	}
	now := s.v.tables.content(c.Ino).clone()
	list := now[c.Index]
	if len(list) < len(c.Old) || !slices.Equal(list[:len(c.Old)], c.Old) {
		return syscall.EAGAIN
	}
	later := slices.Clone(list[len(c.Old):])
	now.put(c.Index, nil)
	named := map[uint64]meta.Slice{}
	for _, e := range slices.Concat(c.New, later) {
		now.write(c.Index, e)
		if e.Slice != 0 {
			named[e.Slice] = meta.Slice{ID: e.Slice, Home: e.Home, Size: e.Size}
		}
	}
	s.setContent(c.Ino, now, named)
	if a := s.inode(c.Ino); a.Inline == nil && n.Attr.Inline == nil {
		a.Version = n.Attr.Version // the bytes are the same
	}
	return 0
}
