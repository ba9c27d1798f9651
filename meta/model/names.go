package model

import (
	"syscall"

	"mirrorfs/meta"
)

func (s *staged) make(c *meta.Make) syscall.Errno {
	t := &s.v.tables
	dir, errno := t.dir(c.Parent)
	if errno != 0 {
		return errno
	}
	if c.Mode&meta.TypeMask == meta.TypeDir && t.depth(c.Parent) >= meta.MaxDepth {
		return syscall.ENAMETOOLONG
	}
	if _, taken := t.entries[c.Parent][c.Name]; taken {
		return syscall.EEXIST
	}
	a := meta.Attr{
		Mode: c.Permitted(), Nlink: 1, UID: c.UID, GID: c.GID,
		Atime: s.now, Mtime: s.now, Ctime: s.now,
	}
	switch a.Type() {
	case meta.TypeDir:
		a.Nlink = 2
	case meta.TypeSymlink:
		a.Size = uint64(len(c.Target))
	case meta.TypeChar, meta.TypeBlock:
		a.Rdev = c.Rdev
	}
	if dir.Attr.Mode&meta.ModeSetGID != 0 {
		a.GID = dir.Attr.GID
		if a.IsDir() {
			a.Mode |= meta.ModeSetGID
		}
	}
	acls := s.inherit(c, &a)
	ino := s.create(a)
	for _, e := range acls {
		e.Ino = ino
		s.add(e)
	}
	if a.Type() == meta.TypeSymlink {
		s.add(meta.Effect{Kind: meta.EffectTarget, Ino: ino, Value: []byte(c.Target)})
	}
	s.link(c.Parent, c.Name, ino)
	return 0
}

func (s *staged) linkTo(c *meta.Link) syscall.Errno {
	t := &s.v.tables
	n, errno := t.node(c.Ino)
	if errno != 0 {
		return errno
	}
	if _, errno := t.dir(c.Parent); errno != 0 {
		return errno
	}
	if _, taken := t.entries[c.Parent][c.Name]; taken {
		return syscall.EEXIST
	}
	switch {
	case n.Attr.IsDir():
		return syscall.EPERM
	case n.Attr.Nlink == 0:
		return syscall.ENOENT
	case n.Attr.Nlink >= meta.MaxLinks:
		return syscall.EMLINK
	}
	a := s.inode(c.Ino)
	a.Nlink++
	a.Ctime = s.now
	s.link(c.Parent, c.Name, c.Ino)
	return 0
}

// find gives the inode behind a name in a directory.
func (s *staged) find(parent meta.Ino, name string) (meta.Node, syscall.Errno) {
	t := &s.v.tables
	if _, errno := t.dir(parent); errno != 0 {
		return meta.Node{}, errno
	}
	e, ok := t.entries[parent][name]
	if !ok {
		return meta.Node{}, syscall.ENOENT
	}
	return t.node(e.ino)
}

func (s *staged) unlinkFile(c *meta.Unlink) syscall.Errno {
	n, errno := s.find(c.Parent, c.Name)
	if errno != 0 {
		return errno
	}
	if n.Attr.IsDir() {
		return syscall.EISDIR
	}
	s.loseName(n.Ino, c.Parent, c.Name)
	s.unlink(c.Parent, c.Name, n.Attr.Type())
	return 0
}

func (s *staged) rmdir(c *meta.Rmdir) syscall.Errno {
	n, errno := s.find(c.Parent, c.Name)
	switch {
	case errno != 0:
		return errno
	case !n.Attr.IsDir():
		return syscall.ENOTDIR
	case n.Attr.Size > 0:
		return syscall.ENOTEMPTY
	}
	s.loseName(n.Ino, c.Parent, c.Name)
	s.unlink(c.Parent, c.Name, meta.TypeDir)
	return 0
}
