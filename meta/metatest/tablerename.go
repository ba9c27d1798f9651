package metatest

import (
	"fmt"
	"syscall"

	"mirrorfs/meta"
)

func testRename(b *table) {
	dir := b.dir(root, "dir")
	file := b.file(root, "file")
	if n := b.do(meta.Rename{OldParent: root, OldName: "file", NewParent: dir, NewName: "moved"}); n.Ino != file || n.Attr.Parent != dir {
		b.t.Errorf("rename answered %s", renderNode(&n))
	}
	b.refuses(syscall.ENOENT, "lookup", root, "file", 0)
	b.same("lookup", dir, "moved", 0)
	rename := func(from meta.Ino, old string, to meta.Ino, name string, flags meta.RenameFlags) meta.Rename {
		return meta.Rename{OldParent: from, OldName: old, NewParent: to, NewName: name, Flags: flags}
	}
	b.fail(syscall.ENOENT, rename(root, "file", root, "other", 0))
	b.fail(syscall.ENOENT, rename(12345, "file", root, "other", 0))
	b.fail(syscall.ENOENT, rename(dir, "moved", 12345, "other", 0))
	b.fail(syscall.ENOTDIR, rename(file, "x", root, "other", 0))
	b.fail(syscall.ENOTDIR, rename(dir, "moved", file, "other", 0))
	b.fail(syscall.EINVAL, rename(dir, "moved", root, "other", 3))
	b.fail(syscall.EINVAL, rename(dir, ".", root, "other", 0))
	b.fail(syscall.EINVAL, rename(dir, "moved", root, "..", 0))
	b.fail(syscall.EEXIST, rename(dir, "moved", root, "dir", meta.RenameNoReplace))
	b.fail(syscall.EEXIST, rename(dir, "moved", dir, "moved", meta.RenameNoReplace))
	b.fail(syscall.ENOENT, rename(dir, "moved", root, "nothing", meta.RenameExchange))
	b.fail(syscall.EISDIR, rename(dir, "moved", root, "dir", 0))
	other := b.file(root, "other")
	b.fail(syscall.ENOTDIR, rename(root, "dir", root, "other", 0))

	// Two names of one inode, and a name onto itself: nothing happens.
	b.do(meta.Link{Ino: file, Parent: root, Name: "second"})
	for _, c := range []meta.Rename{
		rename(dir, "moved", root, "second", 0), rename(dir, "moved", root, "second", meta.RenameExchange),
		rename(dir, "moved", dir, "moved", 0), rename(root, "dir", root, "dir", meta.RenameExchange),
	} {
		if b.do(c); !b.p.last.Position.IsZero() {
			b.t.Errorf("%#v made a record", c)
		}
	}
	// A file with two names loses one when it is replaced.
	b.do(rename(root, "other", root, "second", 0))
	if a := b.attr(file); a.Nlink != 1 {
		b.t.Errorf("the replaced file is %s", renderAttr(&a))
	}
	b.do(rename(root, "second", dir, "moved", 0))
	if a := b.attr(file); a.Nlink != 0 {
		b.t.Errorf("the replaced file is %s", renderAttr(&a))
	}
	if a := b.attr(other); a.Parent != dir {
		b.t.Errorf("the moved file is %s", renderAttr(&a))
	}
}

// testRenameMatrix renames everything onto everything, within a directory and
// across, and compares each time all there is with the model.
func testRenameMatrix(b *table) {
	kinds := []string{"none", "file", "linked", "symlink", "empty", "full"}
	round := 0
	for _, from := range kinds[1:] {
		for _, to := range kinds {
			for _, across := range []bool{false, true} {
				for flags := range meta.RenameFlags(3) {
					round++
					dir := b.dir(root, fmt.Sprint("round", round))
					other := dir
					if across {
						other = b.dir(dir, "other")
					}
					b.thing(from, dir, "from")
					b.thing(to, other, "to")
					c := meta.Rename{OldParent: dir, OldName: "from", NewParent: other, NewName: "to", Flags: flags}
					if diff := b.p.change(b.t.Context(), c); diff != "" {
						b.t.Errorf("%s to %s, across %v, flags %d: %s", from, to, across, flags, diff)
					}
				}
			}
		}
	}
}

func (b *table) thing(kind string, dir meta.Ino, name string) {
	b.t.Helper()
	switch kind {
	case "file":
		b.file(dir, name)
	case "linked":
		b.do(meta.Link{Ino: b.file(dir, name), Parent: dir, Name: name + "2"})
	case "symlink":
		b.symlink(dir, name, "target")
	case "empty":
		b.dir(dir, name)
	case "full":
		b.file(b.dir(dir, name), "x")
	}
}

func testRenameDirs(b *table) {
	// root/a/b/c, root/d
	a := b.dir(root, "a")
	ab := b.dir(a, "b")
	abc := b.dir(ab, "c")
	d := b.dir(root, "d")
	move := func(from meta.Ino, old string, to meta.Ino, name string) meta.Rename {
		return meta.Rename{OldParent: from, OldName: old, NewParent: to, NewName: name}
	}
	b.fail(syscall.EINVAL, move(root, "a", a, "x"))
	b.fail(syscall.EINVAL, move(root, "a", abc, "x"))
	b.fail(syscall.EINVAL, move(a, "b", ab, "c"))
	b.fail(syscall.ENOTEMPTY, move(ab, "c", root, "a"))
	for _, c := range []meta.Rename{move(root, "a", ab, "c"), move(ab, "c", root, "a")} {
		c.Flags = meta.RenameExchange
		b.fail(syscall.EINVAL, c)
	}
	b.file(abc, "f")
	b.fail(syscall.EISDIR, move(abc, "f", root, "a"))
	b.fail(syscall.EINVAL, move(root, "a", abc, "f"))

	links := func(want map[meta.Ino]uint32) {
		b.t.Helper()
		for ino, n := range want {
			if a := b.attr(ino); a.Nlink != n {
				b.t.Errorf("directory %d is %s, want %d links", ino, renderAttr(&a), n)
			}
		}
	}
	links(map[meta.Ino]uint32{root: 4, a: 3, ab: 3, abc: 2, d: 2})
	b.do(move(a, "b", d, "b"))
	links(map[meta.Ino]uint32{root: 4, a: 2, ab: 3, d: 3})
	if got := b.same("lookup", ab, "..", 0); got == "" || b.attr(ab).Parent != d {
		b.t.Errorf("the moved directory's parent is %s", got)
	}
	b.do(move(root, "a", d, "b2"))
	links(map[meta.Ino]uint32{root: 3, a: 2, d: 4})
	b.fail(syscall.ENOTEMPTY, move(d, "b2", d, "b"))
	b.do(move(ab, "c", d, "b2")) // replaces a
	links(map[meta.Ino]uint32{root: 3, ab: 2, d: 4})
	if removed := b.attr(a); removed.Nlink != 0 || removed.Parent != d {
		b.t.Errorf("the replaced directory is %s", renderAttr(&removed))
	}

	// A directory and a file change places.
	b.file(root, "f")
	b.do(meta.Rename{OldParent: d, OldName: "b", NewParent: root, NewName: "f", Flags: meta.RenameExchange})
	links(map[meta.Ino]uint32{root: 4, ab: 2, d: 3})
	b.do(meta.Rename{OldParent: root, OldName: "f", NewParent: d, NewName: "b", Flags: meta.RenameExchange})
	links(map[meta.Ino]uint32{root: 3, ab: 2, d: 4})
}
