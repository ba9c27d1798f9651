package metatest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"mirrorfs/meta"
)

// small is a second model, of names and modes only, small enough to be copied at
// each step that porcupine tries.
type small struct {
	names map[entryKey]meta.Ino
	nodes map[meta.Ino]smallNode
}

type smallNode struct {
	mode   uint32
	links  uint32   // names; 1 or 0 of a directory
	parent meta.Ino // of a directory
}

func (n smallNode) isDir() bool { return n.mode&meta.TypeMask == meta.TypeDir }

func (s *small) dir(ino meta.Ino) syscall.Errno {
	n, ok := s.nodes[ino]
	switch {
	case !ok:
		return syscall.ENOENT
	case !n.isDir():
		return syscall.ENOTDIR
	case n.links == 0:
		return syscall.ENOENT
	}
	return 0
}

func (s *small) entries(dir meta.Ino) []string {
	var names []string
	for k := range s.names {
		if k.parent == dir {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *small) output(ino meta.Ino) output {
	n := s.nodes[ino]
	o := output{ino: ino, mode: n.mode, nlink: n.links}
	if n.isDir() && n.links > 0 {
		o.nlink = 2
		for k, child := range s.names {
			if k.parent == ino && s.nodes[child].isDir() {
				o.nlink++
			}
		}
	}
	return o
}

// step does an operation and gives the output that it must have.
func (s *small) step(in *input) output {
	key := entryKey{in.dir, in.name}
	ino, taken := s.names[key]
	errno := syscall.Errno(0)
	switch in.what {
	case "chmod", "getattr":
		return s.onInode(in)
	case "link":
		return s.link(in)
	}
	if errno = s.dir(in.dir); errno != 0 {
		return output{errno: errno}
	}
	switch in.what {
	case "make":
		return s.make(in, taken)
	case "rename":
		return s.rename(in)
	case "readdir":
		return s.readdir(in)
	}
	if !taken {
		return output{errno: syscall.ENOENT}
	}
	switch in.what {
	case "unlink":
		if s.nodes[ino].isDir() {
			return output{errno: syscall.EISDIR}
		}
		s.drop(key)
		return s.output(ino)
	case "rmdir":
		switch {
		case !s.nodes[ino].isDir():
			return output{errno: syscall.ENOTDIR}
		case len(s.entries(ino)) > 0:
			return output{errno: syscall.ENOTEMPTY}
		}
		s.drop(key)
		return output{}
	}
	return s.output(ino) // lookup
}

// drop takes a name away.
func (s *small) drop(key entryKey) {
	ino := s.names[key]
	delete(s.names, key)
	n := s.nodes[ino]
	n.links--
	s.nodes[ino] = n
}

func (s *small) onInode(in *input) output {
	n, ok := s.nodes[in.ino]
	if !ok {
		return output{errno: syscall.ENOENT}
	}
	if in.what == "chmod" {
		n.mode = n.mode&meta.TypeMask | in.mode
		s.nodes[in.ino] = n
	}
	return s.output(in.ino)
}

func (s *small) make(in *input, taken bool) output {
	if taken {
		return output{errno: syscall.EEXIST}
	}
	if _, used := s.nodes[in.ino]; used && in.ino != 0 {
		// Either the operation failed, and should not have, or its number is taken.
		return output{errno: syscall.EIO}
	}
	n := smallNode{mode: meta.TypeFile | in.mode, links: 1}
	if in.isDir {
		n = smallNode{mode: meta.TypeDir | in.mode, links: 1, parent: in.dir}
	}
	s.names[entryKey{in.dir, in.name}], s.nodes[in.ino] = in.ino, n
	return s.output(in.ino)
}

func (s *small) link(in *input) output {
	n, ok := s.nodes[in.ino]
	if !ok {
		return output{errno: syscall.ENOENT}
	}
	if errno := s.dir(in.dir); errno != 0 {
		return output{errno: errno}
	}
	_, taken := s.names[entryKey{in.dir, in.name}]
	switch {
	case taken:
		return output{errno: syscall.EEXIST}
	case n.isDir():
		return output{errno: syscall.EPERM}
	case n.links == 0:
		return output{errno: syscall.ENOENT}
	}
	n.links++
	s.nodes[in.ino], s.names[entryKey{in.dir, in.name}] = n, in.ino
	return s.output(in.ino)
}

func (s *small) readdir(in *input) output {
	var text strings.Builder
	for _, name := range s.entries(in.dir) {
		fmt.Fprintf(&text, "%s=%d ", name, s.names[entryKey{in.dir, name}])
	}
	return output{names: text.String()}
}

func (s *small) rename(in *input) output {
	from, to := entryKey{in.dir, in.name}, entryKey{in.dir2, in.name2}
	if errno := s.dir(in.dir2); errno != 0 {
		return output{errno: errno}
	}
	ino, ok := s.names[from]
	target, exists := s.names[to]
	moved, replaced := s.nodes[ino], s.nodes[target]
	exchange := in.flags == meta.RenameExchange
	errno := syscall.Errno(0)
	switch {
	case !ok || exchange && !exists:
		errno = syscall.ENOENT
	case exists && in.flags == meta.RenameNoReplace:
		errno = syscall.EEXIST
	case exists && ino == target:
		return s.output(ino)
	case s.isBelow(in.dir2, ino), exchange && s.isBelow(in.dir, target):
		errno = syscall.EINVAL
	case !exists || exchange:
	case moved.isDir() && !replaced.isDir():
		errno = syscall.ENOTDIR
	case !moved.isDir() && replaced.isDir():
		errno = syscall.EISDIR
	case replaced.isDir() && len(s.entries(target)) > 0:
		errno = syscall.ENOTEMPTY
	}
	if errno != 0 {
		return output{errno: errno}
	}
	if exists && !exchange {
		s.drop(to)
	}
	delete(s.names, from)
	s.place(to, ino)
	if exchange {
		s.place(from, target)
	}
	return s.output(ino)
}

func (s *small) place(key entryKey, ino meta.Ino) {
	s.names[key] = ino
	if n := s.nodes[ino]; n.isDir() {
		n.parent = key.parent
		s.nodes[ino] = n
	}
}

func (s *small) isBelow(dir, other meta.Ino) bool {
	for range maps.Keys(s.nodes) {
		if dir == other {
			return true
		}
		dir = s.nodes[dir].parent
	}
	return dir == other
}
