package model

import (
	"slices"
	"syscall"

	"mirrorfs/meta"
)

func (s *staged) setXattr(c *meta.SetXattr) syscall.Errno {
	n, errno := s.v.tables.node(c.Ino)
	if errno != 0 {
		return errno
	}
	xattrs := s.v.tables.xattrs[c.Ino]
	_, exists := xattrs[c.Name]
	isACL := c.Name == meta.XattrACL || c.Name == meta.XattrDefaultACL
	list := len(c.Name) + 1
	for name := range xattrs {
		list += len(name) + 1
	}
	switch {
	case isACL && n.Attr.Type() == meta.TypeSymlink:
		return syscall.EOPNOTSUPP
	case c.Name == meta.XattrDefaultACL && !n.Attr.IsDir():
		return syscall.EACCES
	case exists && c.Mode == meta.XattrCreate:
		return syscall.EEXIST
	case !exists && c.Mode == meta.XattrReplace:
		return syscall.ENODATA
	case !exists && list > meta.MaxXattrListBytes:
		return syscall.ENOSPC
	}
	a := s.inode(c.Ino)
	a.Ctime = s.now
	if c.ClearSetGID {
		a.Mode &^= meta.ModeSetGID
	}
	if c.Name == meta.XattrACL {
		acl := mustACL(c.Value)
		a.Mode = a.Mode&^0o777 | acl.Mode()
		if !acl.Extended() {
			s.dropXattr(c.Ino, c.Name)
			return 0
		}
	}
	s.add(meta.Effect{Kind: meta.EffectXattr, Ino: c.Ino, Name: c.Name, Value: slices.Clone(c.Value)})
	a.HasXattrs = true
	return 0
}

func (s *staged) removeXattr(c *meta.RemoveXattr) syscall.Errno {
	if _, errno := s.v.tables.node(c.Ino); errno != 0 {
		return errno
	}
	if _, exists := s.v.tables.xattrs[c.Ino][c.Name]; !exists {
		return syscall.ENODATA
	}
	s.dropXattr(c.Ino, c.Name)
	s.inode(c.Ino).Ctime = s.now
	return 0
}

// dropXattr stages that an attribute goes, if it is there.
func (s *staged) dropXattr(ino meta.Ino, name string) {
	xattrs := s.v.tables.xattrs[ino]
	if _, exists := xattrs[name]; exists {
		s.add(meta.Effect{Kind: meta.EffectXattrGone, Ino: ino, Name: name})
		s.inode(ino).HasXattrs = len(xattrs) > 1
	}
}

// dropCapability stages what happens when the bytes or the owner of a file change.
func (s *staged) dropCapability(ino meta.Ino) {
	if !s.inode(ino).IsDir() {
		s.dropXattr(ino, meta.XattrCapability)
	}
}

// inherit gives a new inode the ACLs of its directory's default, as effects whose
// inode is still to be set.
func (s *staged) inherit(c *meta.Make, a *meta.Attr) []meta.Effect {
	value, ok := s.v.tables.xattrs[c.Parent][meta.XattrDefaultACL]
	if !ok || a.Type() == meta.TypeSymlink {
		return nil
	}
	var effects []meta.Effect
	acl := mustACL(value).Masked(c.Mode)
	a.Mode = a.Mode&^0o777 | acl.Mode()
	if acl.Extended() {
		effects = append(effects, meta.Effect{Kind: meta.EffectXattr, Name: meta.XattrACL, Value: meta.AppendACL(nil, acl)})
	}
	if a.IsDir() {
		effects = append(effects, meta.Effect{Kind: meta.EffectXattr, Name: meta.XattrDefaultACL, Value: slices.Clone(value)})
	}
	a.HasXattrs = len(effects) > 0
	return effects
}

// chmodACL makes the ACL of an inode, if it has one, say what its mode says.
func (s *staged) chmodACL(ino meta.Ino) {
	if value, ok := s.v.tables.xattrs[ino][meta.XattrACL]; ok {
		acl := mustACL(value).WithMode(s.inode(ino).Mode)
		s.add(meta.Effect{Kind: meta.EffectXattr, Ino: ino, Name: meta.XattrACL, Value: meta.AppendACL(nil, acl)})
	}
}

// mustACL reads an ACL that meta.Check has seen.
func mustACL(value []byte) meta.ACL {
	acl, err := meta.ParseACL(value)
	if err != nil {
		panic("model: " + err.Error())
	}
	return acl
}
