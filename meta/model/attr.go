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
		if c.Size > 0 || c.Set&meta.NoTrash != 0 || !s.keepContent(c.Ino) {
			s.setSize(c.Ino, c.Size)
			kept := s.v.tables.content(c.Ino).clone()
			kept.truncate(c.Size)
			s.setContent(c.Ino, kept, nil)
		}
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
