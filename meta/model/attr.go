package model

import (
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
	if c.Set == meta.SetAccessed {
		if c.Atime > n.Attr.Atime {
			s.inode(c.Ino).Atime = c.Atime
		}
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
	if c.Set&meta.SetMode != 0 {
		s.chmodACL(c.Ino)
	}
	if c.Set&(meta.SetUID|meta.SetGID|meta.SetSize) != 0 {
		s.dropCapability(c.Ino)
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

func (s *staged) reserve(c *meta.Reserve) syscall.Errno {
	if s.counters.NextSlice+uint64(c.Count) > meta.MaxSlice {
		return syscall.ENOSPC
	}
	s.counters.NextSlice += uint64(c.Count)
	return 0
}
