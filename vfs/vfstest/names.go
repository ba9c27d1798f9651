package vfstest

import (
	"os"
	"strings"
	"syscall"
)

func testRename(b *box) {
	b.put("a", []byte("a"))
	b.put("b", []byte("b"))
	ino := b.stat("a").Ino
	b.ok(b.fs.Rename(b.p("a"), b.p("c"), 0))
	b.gone("a")
	if b.stat("c").Ino != ino {
		b.Fatal("renamed file is another inode")
	}
	b.ok(b.fs.Rename(b.p("c"), b.p("b"), 0))
	b.gone("c")
	b.same("replaced", b.get("b"), []byte("a"))
	b.fails(b.fs.Rename(b.p("none"), b.p("x"), 0), syscall.ENOENT)
	b.fails(b.fs.Rename(b.p("b"), b.p("none/x"), 0), syscall.ENOENT)
	b.ok(b.fs.Link(b.p("b"), b.p("b2")))
	b.ok(b.fs.Rename(b.p("b"), b.p("b2"), 0)) // two names of one file stay
	if b.stat("b").Nlink != 2 || b.stat("b2").Nlink != 2 {
		b.Fatal("rename of two names of one file changed something")
	}
	b.ok(b.fs.Rename(b.p("b"), b.p("b"), 0))
}

// testRenameOverOpen replaces a file that is open and has buffered data.
func testRenameOverOpen(b *box) {
	old := b.create("target")
	b.write(old, []byte("old data"), 0)
	fresh := b.create("tmp")
	b.write(fresh, []byte("new data!"), 0)
	b.ok(b.fs.Rename(b.p("tmp"), b.p("target"), 0))
	b.holds(old, []byte("old data"))
	b.holds(fresh, []byte("new data!"))
	b.write(old, []byte("OLD"), 0)
	b.close(fresh)
	b.holds(old, []byte("OLD data"))
	b.close(old)
	b.same("target", b.get("target"), []byte("new data!"))
}

func testRenameFlags(b *box) {
	b.put("a", []byte("a"))
	b.put("b", []byte("b"))
	b.fails(b.fs.Rename(b.p("a"), b.p("b"), NoReplace), syscall.EEXIST)
	b.same("kept", b.get("b"), []byte("b"))
	b.ok(b.fs.Rename(b.p("a"), b.p("c"), NoReplace))
	b.ok(b.fs.Rename(b.p("c"), b.p("b"), Exchange))
	b.same("exchanged", b.get("c"), []byte("b"))
	b.same("exchanged", b.get("b"), []byte("a"))
	b.fails(b.fs.Rename(b.p("c"), b.p("none"), Exchange), syscall.ENOENT)
	b.fails(b.fs.Rename(b.p("c"), b.p("b"), NoReplace|Exchange), syscall.EINVAL)
	b.ok(b.fs.Mkdir(b.p("d"), 0o755))
	b.put("d/in", []byte("in"))
	b.ok(b.fs.Rename(b.p("d"), b.p("c"), Exchange)) // a directory against a file
	b.same("in the moved directory", b.get("c/in"), []byte("in"))
	b.same("the file", b.get("d"), []byte("b"))
}

func testRenameDirs(b *box) {
	b.ok(b.fs.Mkdir(b.p("a"), 0o755))
	b.ok(b.fs.Mkdir(b.p("a/b"), 0o755))
	b.ok(b.fs.Mkdir(b.p("c"), 0o755))
	b.put("a/b/f", []byte("f"))
	b.fails(b.fs.Rename(b.p("a"), b.p("a/b/x"), 0), syscall.EINVAL)
	b.put("c/f", nil)
	b.fails(b.fs.Rename(b.p("a"), b.p("c"), 0), syscall.ENOTEMPTY)
	b.ok(b.fs.Unlink(b.p("c/f")))
	b.ok(b.fs.Rename(b.p("a"), b.p("c"), 0))
	b.same("moved along", b.get("c/b/f"), []byte("f"))
	if n := b.stat("c").Nlink; n != 3 {
		b.Fatalf("directory has %d links, want 3", n)
	}
	if n := b.stat(".").Nlink; n != 3 {
		b.Fatalf("parent has %d links, want 3", n)
	}
	b.ok(b.fs.Rename(b.p("c/b"), b.p("b"), 0))
	if n := b.stat("c").Nlink; n != 2 {
		b.Fatalf("directory has %d links, want 2", n)
	}
	b.put("f", nil)
	b.fails(b.fs.Rename(b.p("f"), b.p("c"), 0), syscall.EISDIR)
	b.fails(b.fs.Rename(b.p("c"), b.p("f"), 0), syscall.ENOTDIR)
}

func testLinks(b *box) {
	b.put("a", []byte("shared"))
	b.ok(b.fs.Link(b.p("a"), b.p("b")))
	b.fails(b.fs.Link(b.p("a"), b.p("b")), syscall.EEXIST)
	b.fails(b.fs.Link(b.p("none"), b.p("c")), syscall.ENOENT)
	b.ok(b.fs.Mkdir(b.p("d"), 0o755))
	b.fails(b.fs.Link(b.p("d"), b.p("e")), syscall.EPERM)
	if x, y := b.stat("a"), b.stat("b"); x.Ino != y.Ino || x.Nlink != 2 {
		b.Fatalf("linked files: %+v and %+v", x, y)
	}
	f := b.open("a", os.O_RDWR)
	b.write(f, []byte("SH"), 0)
	b.same("through the other name", b.get("b"), []byte("SHared"))
	b.close(f)
	b.ok(b.fs.Unlink(b.p("a")))
	b.same("the other name stays", b.get("b"), []byte("SHared"))
	if n := b.stat("b").Nlink; n != 1 {
		b.Fatalf("%d links, want 1", n)
	}
}

func testSymlinks(b *box) {
	for _, target := range []string{"a", "/absolute/path", strings.Repeat("x", 4000)} {
		b.ok(b.fs.Symlink(target, b.p("l")))
		got, err := b.fs.Readlink(b.p("l"))
		b.ok(err)
		if got != target {
			b.Fatalf("target is %q, want %q", got, target)
		}
		if st := b.stat("l"); st.Mode != syscall.S_IFLNK|0o777 || st.Size != int64(len(target)) {
			b.Fatalf("stat: %+v", st)
		}
		b.ok(b.fs.Unlink(b.p("l")))
	}
	b.put("f", nil)
	_, err := b.fs.Readlink(b.p("f"))
	b.fails(err, syscall.EINVAL)
	b.fails(b.fs.Symlink("x", b.p("f")), syscall.EEXIST)
	b.fails(b.fs.Symlink("", b.p("g")), syscall.ENOENT)
}

func testDirs(b *box) {
	b.ok(b.fs.Mkdir(b.p("d"), 0o750))
	b.fails(b.fs.Mkdir(b.p("d"), 0o750), syscall.EEXIST)
	if st := b.stat("d"); st.Mode != syscall.S_IFDIR|0o750 || st.Nlink != 2 {
		b.Fatalf("stat: %+v", st)
	}
	b.put("d/f", nil)
	b.fails(b.fs.Rmdir(b.p("d")), syscall.ENOTEMPTY)
	b.fails(b.fs.Rmdir(b.p("d/f")), syscall.ENOTDIR)
	b.fails(b.fs.Unlink(b.p("d")), syscall.EISDIR)
	b.fails(b.fs.Mkdir(b.p("d/f/x"), 0o755), syscall.ENOTDIR)
	b.fails(b.fs.Mkdir(b.p("none/x"), 0o755), syscall.ENOENT)
	b.ok(b.fs.Unlink(b.p("d/f")))
	before := b.stat(".")
	b.ok(b.fs.Rmdir(b.p("d")))
	b.gone("d")
	after := b.stat(".")
	if after.Nlink != before.Nlink-1 || after.Mtime.Before(before.Mtime) {
		b.Fatalf("parent was %+v, is %+v", before, after)
	}
	b.fails(b.fs.Rmdir(b.p("d")), syscall.ENOENT)
}

func testNames(b *box) {
	long := strings.Repeat("n", 255)
	b.put(long, []byte("long"))
	b.same("long name", b.get(long), []byte("long"))
	_, err := b.fs.Open(b.p(long+"n"), os.O_CREATE|os.O_WRONLY, 0o644)
	b.fails(err, syscall.ENAMETOOLONG)
	b.fails(b.fs.Mkdir(b.p(long+"n"), 0o755), syscall.ENAMETOOLONG)
	_, err = b.fs.Lstat(b.p(long + "n"))
	b.fails(err, syscall.ENAMETOOLONG)
	for _, name := range []string{" ", "a\nb", "ü", "\xff\xfe", "-", "a b", "...", "%00"} {
		b.put(name, []byte(name))
		b.same(name, b.get(name), []byte(name))
	}
	if n := len(b.list(".")); n != 9 {
		b.Fatalf("%d names, want 9", n)
	}
}
