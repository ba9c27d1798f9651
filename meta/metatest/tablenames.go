package metatest

import (
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"mirrorfs/meta"
)

const root = meta.RootIno

func testMake(b *table) {
	b.p.clock.advance(time.Hour)
	for name, kind := range map[string]uint32{
		"file": meta.TypeFile, "dir": meta.TypeDir, "symlink": meta.TypeSymlink, "fifo": meta.TypeFifo,
		"socket": meta.TypeSocket, "char": meta.TypeChar, "block": meta.TypeBlock,
	} {
		c := meta.Make{Parent: root, Name: name, Mode: kind | 0o1754, UID: 7, GID: 1<<32 - 2, Rdev: 0xabcdef01, Target: "t"}
		n := b.do(c)
		now := b.p.clock.now().UnixNano()
		want := meta.Attr{Mode: kind | 0o1754, Nlink: 1, UID: 7, GID: 1<<32 - 2, Atime: now, Mtime: now, Ctime: now, Parent: root}
		switch name {
		case "dir":
			want.Nlink = 2
		case "symlink":
			want.Size = 1
		case "char", "block":
			want.Rdev = c.Rdev
		}
		if diff := difference(renderAttr(&want), renderAttr(&n.Attr)); diff != "" {
			b.t.Errorf("%s: %s", name, diff)
		}
		b.same("lookup", root, name, 0)
		if a := b.attr(root); a.Mtime != now || a.Ctime != now {
			b.t.Errorf("after %s the parent's times are %s", name, renderAttr(&a))
		}
	}
	if a := b.attr(root); a.Size != 7 || a.Nlink != 3 {
		b.t.Errorf("the parent is %s", renderAttr(&a))
	}
}

func testMakeRefused(b *table) {
	file := b.file(root, "file")
	make := func(parent meta.Ino, name string) meta.Make {
		return meta.Make{Parent: parent, Name: name, Mode: meta.TypeFile}
	}
	b.fail(syscall.EEXIST, make(root, "file"))
	b.fail(syscall.EEXIST, meta.Make{Parent: root, Name: "file", Mode: meta.TypeDir})
	b.fail(syscall.ENOENT, make(12345, "a"))
	b.fail(syscall.ENOTDIR, make(file, "a"))
	b.fail(syscall.ENAMETOOLONG, make(root, strings.Repeat("n", 256)))
	for _, name := range []string{"", ".", "..", "a/b", "\x00"} {
		b.fail(syscall.EINVAL, make(root, name))
	}
	b.fail(syscall.EINVAL, meta.Make{Parent: root, Name: "a", Mode: 0o644})
	b.fail(syscall.ENOENT, meta.Make{Parent: root, Name: "a", Mode: meta.TypeSymlink})
	b.fail(syscall.ENAMETOOLONG, meta.Make{Parent: root, Name: "a", Mode: meta.TypeSymlink, Target: strings.Repeat("t", 4096)})
	gone := b.dir(root, "gone")
	b.do(meta.Rmdir{Parent: root, Name: "gone"})
	b.fail(syscall.ENOENT, make(gone, "a"))
}

func testSetGID(b *table) {
	dir := b.do(meta.Make{Parent: root, Name: "d", Mode: meta.TypeDir | 0o2775, GID: 50}).Ino
	if a := b.do(meta.Make{Parent: dir, Name: "f", Mode: meta.TypeFile | 0o644, GID: 1}).Attr; a.GID != 50 || a.Mode != meta.TypeFile|0o644 {
		b.t.Errorf("a file in a setgid directory is %s", renderAttr(&a))
	}
	if a := b.do(meta.Make{Parent: dir, Name: "d", Mode: meta.TypeDir | 0o755, GID: 1}).Attr; a.GID != 50 || a.Mode != meta.TypeDir|0o2755 {
		b.t.Errorf("a directory in a setgid directory is %s", renderAttr(&a))
	}
	sticky := b.do(meta.Make{Parent: root, Name: "s", Mode: meta.TypeDir | 0o1777, GID: 50}).Ino
	if a := b.do(meta.Make{Parent: sticky, Name: "d", Mode: meta.TypeDir | 0o755, GID: 1}).Attr; a.GID != 1 || a.Mode != meta.TypeDir|0o755 {
		b.t.Errorf("a directory in a sticky directory is %s", renderAttr(&a))
	}
}

// testNames has all awkward names in one directory at a time, and the longest.
func testNames(b *table) {
	names := append(smallNames(), strings.Repeat("n", 255), strings.Repeat("\xff", 255), strings.Repeat("\x01", 255))
	dir := b.dir(root, "d")
	for _, name := range names {
		b.file(dir, name)
	}
	for _, name := range names {
		b.same("lookup", dir, name, 0)
		for limit := 1; limit < 4; limit++ {
			b.same("readdir", dir, name, limit)
		}
	}
	for _, name := range names {
		b.do(meta.Rename{OldParent: dir, OldName: name, NewParent: root, NewName: name})
		b.refuses(syscall.ENOENT, "lookup", dir, name, 0)
		b.do(meta.Unlink{Parent: root, Name: name})
	}
}

func testLink(b *table) {
	file, dir := b.file(root, "file"), b.dir(root, "dir")
	b.p.clock.advance(time.Second)
	if n := b.do(meta.Link{Ino: file, Parent: dir, Name: "other"}); n.Ino != file || n.Attr.Nlink != 2 || n.Attr.Parent != dir || n.Attr.Ctime != b.p.clock.now().UnixNano() {
		b.t.Errorf("link answered %s", renderNode(&n))
	}
	b.same("lookup", dir, "other", 0)
	b.fail(syscall.ENOENT, meta.Link{Ino: 12345, Parent: dir, Name: "a"})
	b.fail(syscall.ENOENT, meta.Link{Ino: file, Parent: 12345, Name: "a"})
	b.fail(syscall.ENOTDIR, meta.Link{Ino: file, Parent: file, Name: "a"})
	b.fail(syscall.EEXIST, meta.Link{Ino: file, Parent: dir, Name: "other"})
	b.fail(syscall.EEXIST, meta.Link{Ino: dir, Parent: root, Name: "file"})
	b.fail(syscall.EPERM, meta.Link{Ino: dir, Parent: root, Name: "a"})
	b.fail(syscall.ENAMETOOLONG, meta.Link{Ino: file, Parent: root, Name: strings.Repeat("n", 256)})
	for _, c := range []meta.Unlink{{Parent: root, Name: "file"}, {Parent: dir, Name: "other"}} {
		b.do(c)
	}
	b.fail(syscall.ENOENT, meta.Link{Ino: file, Parent: root, Name: "again"})
	fifo := b.do(meta.Make{Parent: root, Name: "fifo", Mode: meta.TypeFifo}).Ino
	b.do(meta.Link{Ino: fifo, Parent: dir, Name: "fifo"})
	link := b.symlink(root, "symlink", "target")
	b.do(meta.Link{Ino: link, Parent: dir, Name: "symlink"})
}

// testMaxLinks gives a file as many names as it may have. The links are made
// without the model, by several callers, because there are so many.
func testMaxLinks(b *table) {
	if !isLong() {
		b.t.Skip("65,000 links: set MIRRORFS_LONG")
	}
	file := b.file(root, "file")
	var group sync.WaitGroup
	for caller := range 16 {
		group.Go(func() {
			for i := caller; i < meta.MaxLinks-1; i += 16 {
				c := meta.Link{Ino: file, Parent: root, Name: strconv.Itoa(i)}
				for _, e := range []meta.Engine{b.p.engine, b.p.model} {
					if _, err := e.Change(b.t.Context(), c); err != nil {
						b.t.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	b.fail(syscall.EMLINK, meta.Link{Ino: file, Parent: root, Name: "one more"})
	if a := b.attr(file); a.Nlink != meta.MaxLinks {
		b.t.Errorf("the file is %s", renderAttr(&a))
	}
	b.do(meta.Unlink{Parent: root, Name: "17"})
	b.do(meta.Link{Ino: file, Parent: root, Name: "one more"})
}

// testMaxDepth makes directories in each other, as deep as may be: short chains of them, of which each
// is moved below the next one, so that few are walked through.
func testMaxDepth(b *table) {
	if !isLong() {
		b.t.Skip("2,048 directories: set MIRRORFS_LONG")
	}
	const links = 64
	var deepest, above meta.Ino
	for i := range meta.MaxDepth / links {
		bottom, over, top := root, root, "top"+strconv.Itoa(i)
		for j := range links {
			name := strconv.Itoa(j)
			if j == 0 {
				name = top
			}
			over = bottom
			for _, e := range []meta.Engine{b.p.engine, b.p.model} {
				res, err := e.Change(b.t.Context(), meta.Make{Parent: over, Name: name, Mode: meta.TypeDir | 0o755})
				if err != nil {
					b.t.Fatal(err)
				}
				bottom = res.Node.Ino
			}
		}
		if i == 0 {
			deepest, above = bottom, over
		} else {
			b.do(meta.Rename{OldParent: root, OldName: "top" + strconv.Itoa(i-1), NewParent: bottom, NewName: "below"})
		}
	}
	other := b.dir(root, "other")
	b.fail(syscall.ENAMETOOLONG, meta.Make{Parent: deepest, Name: "d", Mode: meta.TypeDir | 0o755})
	b.fail(syscall.ENAMETOOLONG, meta.Rename{OldParent: root, OldName: "other", NewParent: deepest, NewName: "d"})
	b.do(meta.Make{Parent: deepest, Name: "f", Mode: meta.TypeFile | 0o644})
	b.do(meta.Rename{OldParent: deepest, OldName: "f", NewParent: other, NewName: "f"})
	b.do(meta.Rename{OldParent: other, OldName: "f", NewParent: deepest, NewName: "f"})
	b.fail(syscall.ENAMETOOLONG, meta.Rename{OldParent: deepest, OldName: "f", NewParent: root, NewName: "other", Flags: meta.RenameExchange})
	b.do(meta.Make{Parent: above, Name: "beside", Mode: meta.TypeDir | 0o755})
	b.do(meta.Rename{OldParent: root, OldName: "other", NewParent: above, NewName: "moved"})
}

func testUnlink(b *table) {
	file, dir := b.file(root, "file"), b.dir(root, "dir")
	b.do(meta.Link{Ino: file, Parent: dir, Name: "other"})
	b.write(file, 1, 0, 100)
	b.fail(syscall.EISDIR, meta.Unlink{Parent: root, Name: "dir"})
	b.fail(syscall.ENOENT, meta.Unlink{Parent: root, Name: "nothing"})
	b.fail(syscall.ENOENT, meta.Unlink{Parent: 12345, Name: "file"})
	b.fail(syscall.ENOTDIR, meta.Unlink{Parent: file, Name: "file"})
	b.fail(syscall.EINVAL, meta.Unlink{Parent: root, Name: "."})
	if n := b.do(meta.Unlink{Parent: root, Name: "file"}); n.Ino != file || n.Attr.Nlink != 1 {
		b.t.Errorf("unlink answered %s", renderNode(&n))
	}
	if n := b.do(meta.Unlink{Parent: dir, Name: "other"}); n.Ino != file || n.Attr.Nlink != 0 || n.Attr.Size != 100 {
		b.t.Errorf("unlink answered %s", renderNode(&n))
	}
	// An orphan can be read, written and changed.
	b.same("extents", file, "", 0)
	b.write(file, 2, 100, 100)
	b.do(meta.SetAttr{Ino: file, Set: meta.SetMode | meta.SetSize, Mode: 0o600, Size: 150})
	b.do(meta.SetXattr{Ino: file, Name: "user.a", Value: []byte("b")})
	if a := b.attr(file); a.Nlink != 0 || a.Size != 150 {
		b.t.Errorf("the orphan is %s", renderAttr(&a))
	}
	for _, kind := range []uint32{meta.TypeSymlink, meta.TypeFifo, meta.TypeChar} {
		b.do(meta.Make{Parent: root, Name: "x", Mode: kind, Target: "t"})
		b.do(meta.Unlink{Parent: root, Name: "x"})
	}
}

func testRmdir(b *table) {
	dir, file := b.dir(root, "dir"), b.file(root, "file")
	sub := b.dir(dir, "sub")
	b.do(meta.SetXattr{Ino: sub, Name: "user.a", Value: []byte("1")})
	b.fail(syscall.ENOTEMPTY, meta.Rmdir{Parent: root, Name: "dir"})
	b.fail(syscall.ENOTDIR, meta.Rmdir{Parent: root, Name: "file"})
	b.fail(syscall.ENOENT, meta.Rmdir{Parent: root, Name: "nothing"})
	b.fail(syscall.ENOTDIR, meta.Rmdir{Parent: file, Name: "file"})
	b.fail(syscall.EINVAL, meta.Rmdir{Parent: dir, Name: ".."})
	b.do(meta.Rmdir{Parent: dir, Name: "sub"})
	if a := b.attr(sub); a.Nlink != 0 || a.Parent != dir {
		b.t.Errorf("the removed directory is %s", renderAttr(&a))
	}
	// Whoever has it open cannot make anything in it.
	b.refuses(syscall.ENOENT, "readdir", sub, "", 10)
	b.refuses(syscall.ENOENT, "lookup", sub, "..", 0)
	b.fail(syscall.ENOENT, meta.Make{Parent: sub, Name: "x", Mode: meta.TypeFile})
	b.fail(syscall.ENOENT, meta.Link{Ino: file, Parent: sub, Name: "x"})
	b.fail(syscall.ENOENT, meta.Rename{OldParent: root, OldName: "file", NewParent: sub, NewName: "x"})
	b.fail(syscall.ENOENT, meta.Rename{OldParent: sub, OldName: "x", NewParent: root, NewName: "x"})
	b.fail(syscall.EPERM, meta.Link{Ino: sub, Parent: root, Name: "sub"})
	b.do(meta.SetAttr{Ino: sub, Set: meta.SetMode, Mode: 0o700})
	b.do(meta.SetXattr{Ino: sub, Name: "user.b", Value: []byte("2")})
	if a := b.attr(dir); a.Nlink != 2 || a.Size != 0 {
		b.t.Errorf("the parent is %s", renderAttr(&a))
	}
	b.do(meta.Rmdir{Parent: root, Name: "dir"})
	if again := b.dir(root, "dir"); again <= sub {
		b.t.Errorf("inode number %d was used twice", again)
	}
}
