package model

import (
	"slices"
	"syscall"

	"mirrorfs/meta"
)

// rename returns the inode that moves.
func (s *staged) rename(c *meta.Rename) (meta.Ino, syscall.Errno) {
	t := &s.v.tables
	if _, errno := t.dir(c.OldParent); errno != 0 {
		return c.OldParent, errno
	}
	if _, errno := t.dir(c.NewParent); errno != 0 {
		return c.NewParent, errno
	}
	moved, errno := s.find(c.OldParent, c.OldName)
	if errno != 0 {
		return c.OldParent, errno
	}
	target, errno := s.find(c.NewParent, c.NewName)
	exists := errno == 0
	switch {
	case exists && c.Flags == meta.RenameNoReplace:
		return c.NewParent, syscall.EEXIST
	case !exists && c.Flags == meta.RenameExchange:
		return c.NewParent, syscall.ENOENT
	case exists && target.Ino == moved.Ino:
		return moved.Ino, 0
	}
	if errno := t.mayLie(&moved, c.OldParent, c.NewParent); errno != 0 {
		return moved.Ino, errno
	}
	if c.Flags == meta.RenameExchange {
		if errno := t.mayLie(&target, c.NewParent, c.OldParent); errno != 0 {
			return moved.Ino, errno
		}
	}
	if exists && c.Flags != meta.RenameExchange {
		if errno := mayReplace(&moved.Attr, &target.Attr); errno != 0 {
			return moved.Ino, errno
		}
	}
	dirs := moved.Attr.IsDir() || exists && c.Flags == meta.RenameExchange && target.Attr.IsDir()
	if dirs && !slices.Equal(t.quotasAbove(c.OldParent), t.quotasAbove(c.NewParent)) {
		return moved.Ino, syscall.EXDEV
	}
	s.inode(moved.Ino).Ctime = s.now
	s.unlink(c.OldParent, c.OldName, moved.Attr.Type())
	if exists {
		s.unlink(c.NewParent, c.NewName, target.Attr.Type())
	}
	s.link(c.NewParent, c.NewName, moved.Ino)
	switch {
	case c.Flags == meta.RenameExchange:
		s.inode(target.Ino).Ctime = s.now
		s.link(c.OldParent, c.OldName, target.Ino)
	case exists:
		s.loseName(target.Ino, c.NewParent, c.NewName)
	}
	return moved.Ino, 0
}

// mayLie says why something cannot be moved from one directory to another.
func (t *tables) mayLie(n *meta.Node, from, to meta.Ino) syscall.Errno {
	switch {
	case !n.Attr.IsDir() || from == to:
		return 0
	case t.depth(to) >= meta.MaxDepth:
		return syscall.ENAMETOOLONG
	case t.isBelow(to, n.Ino):
		return syscall.EINVAL
	}
	return 0
}

// depth is how many directories a directory lies in, as far as that may be.
func (t *tables) depth(dir meta.Ino) (n int) {
	for ; dir != meta.RootIno && n < meta.MaxDepth; dir = t.inodes[dir].Parent {
		n++
	}
	return n
}

// isBelow reports whether a directory is another one, or somewhere below it.
func (t *tables) isBelow(dir, other meta.Ino) bool {
	for dir != other {
		parent := t.inodes[dir].Parent
		if parent == dir {
			return false // the root
		}
		dir = parent
	}
	return true
}

// mayReplace says why one inode cannot take the name of another.
func mayReplace(moved, target *meta.Attr) syscall.Errno {
	switch {
	case moved.IsDir() && !target.IsDir():
		return syscall.ENOTDIR
	case !moved.IsDir() && target.IsDir():
		return syscall.EISDIR
	case target.IsDir() && target.Size > 0:
		return syscall.ENOTEMPTY
	}
	return 0
}
