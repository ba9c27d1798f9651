package posix

import "golang.org/x/sys/unix"

// dirModes are those of directories in which something is to change: what a user
// may do there depends on each of these bits.
func dirModes() []uint32 {
	return []uint32{0o755, 0o775, 0o777, 0o1777, 0o1775, 0o2777, 0o3777, 0o333, 0o555, 0o111, 0o666, noMode}
}

// Rights is who may make, remove and change things, in directories of every
// mode and owner.
func Rights() []Case {
	var list []Case
	for _, mode := range dirModes() {
		for _, dirOwner := range []User{root(), owner(), other()} {
			dir := Object{Path: "d", Type: unix.S_IFDIR, Mode: mode, UID: int(dirOwner.UID), GID: int(dirOwner.GID)}
			for _, u := range users() {
				for _, c := range makers() {
					c.As = u
					list = append(list, Case{Objects: []Object{dir, {Path: "f", Type: unix.S_IFREG, Mode: 0o666}}, Calls: []Call{c}})
				}
				for _, kind := range []uint32{unix.S_IFREG, unix.S_IFDIR} {
					for _, childOwner := range []User{root(), owner(), other()} {
						child := Object{Path: "d/x", Type: kind, UID: int(childOwner.UID), GID: int(childOwner.GID)}
						for _, c := range removers(kind) {
							c.As = u
							list = append(list, Case{Objects: []Object{dir, child}, Calls: []Call{c}})
						}
					}
				}
			}
		}
	}
	return list
}

// makers make something in directory d.
func makers() []Call {
	return []Call{
		{Op: Open, Path: "d/new", Flags: unix.O_WRONLY | unix.O_CREAT, Mode: 0o6777},
		{Op: Mkdir, Path: "d/new", Mode: 0o7777},
		{Op: Mknod, Path: "d/new", Mode: unix.S_IFIFO | 0o666},
		{Op: Mknod, Path: "d/new", Mode: unix.S_IFCHR | 0o666},
		{Op: Symlink, Path: "d/new", To: "x"},
		{Op: Link, Path: "f", To: "d/new"},
		{Op: Stat, Path: "d/new"},
		{Op: List, Path: "d"},
	}
}

// removers take d/x away or look at it.
func removers(kind uint32) []Call {
	remove := Unlink
	if kind == unix.S_IFDIR {
		remove = Rmdir
	}
	return []Call{
		{Op: remove, Path: "d/x"},
		{Op: Rename, Path: "d/x", To: "d/y"},
		{Op: Stat, Path: "d/x"},
	}
}

// Renames is who may rename what over what between directories: owners, modes and
// sticky bits of both, owners and kinds of what is moved and replaced.
func Renames() []Case {
	var list []Case
	owners := []User{root(), owner(), other()}
	for _, fromMode := range []uint32{0o777, 0o1777, 0o555} {
		for _, toMode := range []uint32{0o777, 0o1777, 0o555} {
			for _, dirOwner := range owners {
				dirs := []Object{
					{Path: "a", Type: unix.S_IFDIR, Mode: fromMode, UID: int(dirOwner.UID), GID: int(dirOwner.GID)},
					{Path: "b", Type: unix.S_IFDIR, Mode: toMode, UID: int(dirOwner.UID), GID: int(dirOwner.GID)},
				}
				for _, moved := range owners {
					for _, replaced := range owners {
						list = append(list, renamesOf(dirs, moved, replaced)...)
					}
				}
			}
		}
	}
	return list
}

func renamesOf(dirs []Object, moved, replaced User) []Case {
	var list []Case
	for _, kind := range []uint32{unix.S_IFREG, unix.S_IFDIR} {
		x := Object{Path: "a/x", Type: kind, UID: int(moved.UID), GID: int(moved.GID)}
		y := Object{Path: "b/y", Type: kind, UID: int(replaced.UID), GID: int(replaced.GID)}
		for _, u := range []User{owner(), member()} {
			for _, flags := range []int{0, unix.RENAME_EXCHANGE} {
				objects := append(append([]Object{}, dirs...), x, y)
				list = append(list, Case{Objects: objects, Calls: []Call{{As: u, Op: Rename, Path: "a/x", To: "b/y", Flags: flags}}})
			}
		}
	}
	return list
}

// Attributes is who may change modes, owners, times and sizes of files of every
// owner and mode, and which bits fall away.
func Attributes() []Case {
	var list []Case
	for _, kind := range []uint32{unix.S_IFREG, unix.S_IFDIR} {
		for _, mode := range []uint32{0o644, 0o6777, 0o2777, 0o2767, 0o4755, 0o1777, 0o444, 0o222, 0o060, 0o606, noMode} {
			for _, group := range []int{ownerID, otherID, 0} {
				for _, uid := range []int{ownerID, 0} {
					x := Object{Path: "x", Type: kind, Mode: mode, UID: uid, GID: group}
					for _, u := range users() {
						for _, c := range changers(kind) {
							c.As, c.Path = u, "x"
							list = append(list, Case{Objects: []Object{x}, Calls: []Call{c}})
						}
					}
				}
			}
		}
	}
	return list
}

// changers change attributes.
func changers(kind uint32) []Call {
	calls := []Call{
		{Op: Chmod, Mode: 0o7777},
		{Op: Chmod, Mode: 0o2755},
		{Op: Chown, UID: ownerID, GID: -1},
		{Op: Chown, UID: -1, GID: ownerID},
		{Op: Chown, UID: -1, GID: memberID},
		{Op: Chown, UID: -1, GID: -1},
		{Op: Chown, UID: otherID, GID: otherID},
		{Op: Utimens, Atime: timeNow, Mtime: timeNow},
		{Op: Utimens, Atime: 100, Mtime: 200},
		{Op: Utimens, Atime: timeOmit, Mtime: timeNow},
		{Op: Access, Mode: unix.R_OK},
		{Op: Access, Mode: unix.W_OK},
		{Op: Access, Mode: unix.X_OK},
		{Op: SetXattr, To: "user.name"},
		{Op: SetXattr, To: "trusted.name"},
		{Op: SetXattr, To: "unknown.name"},
		{Op: GetXattr, To: "user.name"},
	}
	if kind == unix.S_IFREG {
		calls = append(
			calls,
			Call{Op: Write}, Call{Op: Truncate, Size: 1}, Call{Op: Truncate, Size: 3}, Call{Op: Ftrunc, Size: 0},
			Call{Op: Open, Flags: unix.O_WRONLY | unix.O_TRUNC}, Call{Op: Open, Flags: unix.O_RDONLY | unix.O_NOATIME},
		)
	}
	return calls
}
