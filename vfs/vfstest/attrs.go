package vfstest

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func testMknod(b *box) {
	dev := uint32(unix.Mkdev(5, 700))
	for name, mode := range map[string]uint32{
		"fifo": syscall.S_IFIFO | 0o640, "sock": syscall.S_IFSOCK | 0o600, "file": syscall.S_IFREG | 0o604,
		"char": syscall.S_IFCHR | 0o666, "block": syscall.S_IFBLK | 0o660,
	} {
		d := uint32(0)
		if name == "char" || name == "block" {
			d = dev
		}
		b.ok(b.fs.Mknod(b.p(name), mode, d))
		st := b.stat(name)
		if want := mode &^ umask(b); st.Mode != want || st.Rdev != d || st.Nlink != 1 {
			b.Fatalf("%s: mode %o device %d links %d, want mode %o device %d", name, st.Mode, st.Rdev, st.Nlink, want, d)
		}
	}
	b.fails(b.fs.Mknod(b.p("fifo"), syscall.S_IFIFO|0o600, 0), syscall.EEXIST)
}

// umask is what the kernel takes from modes; without a kernel, nobody does.
func umask(b *box) uint32 {
	if b.target.Dir == "" {
		return 0
	}
	return 0o022
}

func testChmod(b *box) {
	b.put("f", nil)
	for _, mode := range []uint32{0, 0o777, 0o4755, 0o2755, 0o1777, 0o644} {
		before := b.stat("f")
		b.ok(b.fs.Chmod(b.p("f"), mode))
		st := b.stat("f")
		if st.Mode != syscall.S_IFREG|mode {
			b.Fatalf("mode is %o, want %o", st.Mode, mode)
		}
		if st.Ctime.Before(before.Ctime) || !st.Mtime.Equal(before.Mtime) {
			b.Fatalf("times were %+v, are %+v", before, st)
		}
	}
	f := b.open("f", os.O_RDWR)
	b.write(f, []byte("data"), 0)
	b.ok(f.Chmod(0o600))
	st, err := f.Stat()
	b.ok(err)
	if st.Mode != syscall.S_IFREG|0o600 || st.Size != 4 {
		b.Fatalf("with buffered data: %+v", st)
	}
	b.close(f)
	if st := b.stat("f"); st.Mode != syscall.S_IFREG|0o600 || st.Size != 4 {
		b.Fatalf("after close: %+v", st)
	}
	b.fails(b.fs.Chmod(b.p("none"), 0o600), syscall.ENOENT)
}

func testChown(b *box) {
	b.put("f", nil)
	b.ok(b.fs.Chown(b.p("f"), 1234, 4321))
	b.ok(b.fs.Chown(b.p("f"), -1, 99))
	if st := b.stat("f"); st.UID != 1234 || st.GID != 99 {
		b.Fatalf("owner: %+v", st)
	}
	b.ok(b.fs.Symlink("f", b.p("l")))
	b.ok(b.fs.Chown(b.p("l"), 7, 8))
	if l, f := b.stat("l"), b.stat("f"); l.UID != 7 || f.UID != 1234 {
		b.Fatalf("owner of link %d and file %d", l.UID, f.UID)
	}
	b.ok(b.fs.Mkdir(b.p("d"), 0o2755)) // the group of a setgid directory is handed down
	b.ok(b.fs.Chown(b.p("d"), 0, 555))
	b.ok(b.fs.Chmod(b.p("d"), 0o2775))
	b.put("d/f", nil)
	b.ok(b.fs.Mkdir(b.p("d/d"), 0o755))
	if st := b.stat("d/f"); st.GID != 555 {
		b.Fatalf("group is %d, want 555", st.GID)
	}
	if st := b.stat("d/d"); st.GID != 555 || st.Mode&0o2000 == 0 {
		b.Fatalf("directory in a setgid directory: %+v", st)
	}
}

func testTimes(b *box) {
	atime, mtime := time.Unix(1_000_000_000, 123_456_789), time.Unix(1_234_567_890, 987_654_321)
	b.put("f", []byte("x"))
	b.ok(b.fs.Mkdir(b.p("d"), 0o755))
	b.ok(b.fs.Symlink("x", b.p("l")))
	for _, name := range []string{"f", "d", "l"} {
		b.ok(b.fs.Utimes(b.p(name), atime, mtime))
		if st := b.stat(name); !st.Atime.Equal(atime) || !st.Mtime.Equal(mtime) {
			b.Fatalf("%s: times %v and %v, want %v and %v", name, st.Atime, st.Mtime, atime, mtime)
		}
	}
	old := time.Unix(-5, 7) // before 1970
	b.ok(b.fs.Utimes(b.p("f"), old, old))
	if st := b.stat("f"); !st.Mtime.Equal(old) {
		b.Fatalf("mtime is %v, want %v", st.Mtime, old)
	}
	before := b.stat("d")
	b.put("d/x", nil)
	if st := b.stat("d"); !st.Mtime.After(before.Mtime) {
		b.Fatal("making a file left the directory's mtime")
	}
	f := b.open("f", os.O_RDWR)
	b.write(f, []byte("y"), 0)
	b.close(f)
	if st := b.stat("f"); !st.Mtime.After(old) || st.Ctime.Before(st.Mtime.Add(-time.Second)) {
		b.Fatalf("times after a write: %+v", st)
	}
}

// testTimesOfBuffered: what tar does. Times that were set stay when the data
// is committed later, and a write after that sets them anew.
func testTimesOfBuffered(b *box) {
	atime, mtime := time.Unix(1_000_000_000, 5), time.Unix(1_234_567_890, 7)
	f := b.create("f")
	b.write(f, noise(1, 9000), 0)
	b.ok(f.Utimes(atime, mtime))
	b.ok(f.Chmod(0o640))
	st, err := f.Stat()
	b.ok(err)
	if !st.Mtime.Equal(mtime) || !st.Atime.Equal(atime) || st.Size != 9000 {
		b.Fatalf("before close: %+v", st)
	}
	b.close(f)
	if st := b.stat("f"); !st.Mtime.Equal(mtime) || !st.Atime.Equal(atime) || st.Size != 9000 || st.Mode != syscall.S_IFREG|0o640 {
		b.Fatalf("after close: %+v", st)
	}
	g := b.create("g")
	b.write(g, noise(2, 100), 0)
	b.ok(g.Utimes(atime, mtime))
	b.write(g, noise(3, 100), 50)
	b.close(g)
	if st := b.stat("g"); st.Mtime.Equal(mtime) || !st.Atime.Equal(atime) {
		b.Fatalf("a later write must set mtime, and only that: %+v", st)
	}
	h := b.create("h") // stat before and after close agree
	b.write(h, noise(2, 100), 0)
	before, err := h.Stat()
	b.ok(err)
	b.close(h)
	if st := b.stat("h"); !st.Mtime.Equal(before.Mtime) {
		b.Fatalf("mtime was %v before close and is %v after", before.Mtime, st.Mtime)
	}
}

func testXattrs(b *box) {
	b.put("f", nil)
	_, err := b.fs.GetXattr(b.p("f"), "user.a")
	b.fails(err, syscall.ENODATA)
	b.ok(b.fs.SetXattr(b.p("f"), "user.a", []byte("1"), 0))
	b.fails(b.fs.SetXattr(b.p("f"), "user.a", []byte("2"), XattrCreate), syscall.EEXIST)
	b.fails(b.fs.SetXattr(b.p("f"), "user.b", []byte("2"), XattrReplace), syscall.ENODATA)
	b.ok(b.fs.SetXattr(b.p("f"), "user.a", []byte("22"), XattrReplace))
	big := bytes.Repeat([]byte{0, 255}, 20_000)
	b.ok(b.fs.SetXattr(b.p("f"), "user.big", big, XattrCreate))
	b.ok(b.fs.SetXattr(b.p("f"), "user.empty", nil, 0))
	for name, want := range map[string][]byte{"user.a": []byte("22"), "user.big": big, "user.empty": nil} {
		got, err := b.fs.GetXattr(b.p("f"), name)
		b.ok(err)
		b.same(name, got, want)
	}
	names, err := b.fs.ListXattr(b.p("f"))
	b.ok(err)
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "user.") })
	slices.Sort(names)
	if !slices.Equal(names, []string{"user.a", "user.big", "user.empty"}) {
		b.Fatalf("names: %q", names)
	}
	b.ok(b.fs.RemoveXattr(b.p("f"), "user.a"))
	b.fails(b.fs.RemoveXattr(b.p("f"), "user.a"), syscall.ENODATA)
	_, err = b.fs.GetXattr(b.p("f"), "user.a")
	b.fails(err, syscall.ENODATA)
	b.ok(b.fs.Mkdir(b.p("d"), 0o755))
	b.ok(b.fs.SetXattr(b.p("d"), "user.on-dir", []byte("x"), 0))
}

func testStatFS(b *box) {
	before, err := b.fs.StatFS()
	b.ok(err)
	b.put("f", noise(1, 1<<20))
	after, err := b.fs.StatFS()
	b.ok(err)
	if used := (after.Total - after.Free) - (before.Total - before.Free); used != 1<<20 {
		b.Fatalf("1 MiB uses %d bytes", used)
	}
	if used := (after.Inodes - after.Ifree) - (before.Inodes - before.Ifree); used != 1 {
		b.Fatalf("a file uses %d inodes", used)
	}
	if after.Free < after.Total/2 || after.Ifree < after.Inodes/2 {
		b.Fatalf("a nearly empty volume looks full: %+v", after)
	}
}
