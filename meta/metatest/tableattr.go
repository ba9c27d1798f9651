package metatest

import (
	"bytes"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mirrorfs/meta"
)

func testSetAttr(b *table) {
	file, dir := b.file(root, "file"), b.dir(root, "dir")
	link := b.symlink(root, "link", "target")
	b.p.clock.advance(time.Hour)
	now := b.p.clock.now().UnixNano()
	set := func(mask meta.AttrMask) meta.SetAttr {
		return meta.SetAttr{Ino: file, Set: mask, Mode: 0o7123, UID: 11, GID: 1<<32 - 1, Size: 12345, Atime: -5, Mtime: 1<<63 - 1}
	}
	for mask, is := range map[meta.AttrMask]func(a *meta.Attr) bool{
		meta.SetMode:                     func(a *meta.Attr) bool { return a.Mode == meta.TypeFile|0o7123 },
		meta.SetUID:                      func(a *meta.Attr) bool { return a.UID == 11 },
		meta.SetGID:                      func(a *meta.Attr) bool { return a.GID == 1<<32-1 },
		meta.SetSize:                     func(a *meta.Attr) bool { return a.Size == 12345 && a.Mtime == now },
		meta.SetAtime:                    func(a *meta.Attr) bool { return a.Atime == -5 },
		meta.SetMtime:                    func(a *meta.Attr) bool { return a.Mtime == 1<<63-1 },
		meta.SetAtimeNow:                 func(a *meta.Attr) bool { return a.Atime == now },
		meta.SetMtimeNow:                 func(a *meta.Attr) bool { return a.Mtime == now },
		meta.SetAtime | meta.SetAtimeNow: func(a *meta.Attr) bool { return a.Atime == now },
		meta.SetSize | meta.SetMtime:     func(a *meta.Attr) bool { return a.Size == 12345 && a.Mtime == 1<<63-1 },
	} {
		if n := b.do(set(mask)); !is(&n.Attr) || n.Attr.Ctime != now {
			b.t.Errorf("mask %b gave %s", mask, renderAttr(&n.Attr))
		}
	}
	if b.do(meta.SetAttr{Ino: file}); !b.p.last.Position.IsZero() {
		b.t.Error("nothing to set, and yet a record")
	}
	for _, ino := range []meta.Ino{dir, link, root} {
		if n := b.do(meta.SetAttr{Ino: ino, Set: meta.SetMode, Mode: 0o177_7777}); n.Attr.Mode&0o7777 != 0o7777 || n.Attr.Type() == 0 {
			b.t.Errorf("chmod gave %s", renderAttr(&n.Attr))
		}
	}
	b.fail(syscall.ENOENT, meta.SetAttr{Ino: 12345, Set: meta.SetMode})
	b.fail(syscall.ENOENT, meta.SetAttr{Ino: 12345})
	b.fail(syscall.EISDIR, meta.SetAttr{Ino: dir, Set: meta.SetSize})
	b.fail(syscall.EINVAL, meta.SetAttr{Ino: link, Set: meta.SetSize | meta.SetMode})
	b.fail(syscall.EFBIG, meta.SetAttr{Ino: file, Set: meta.SetSize, Size: meta.MaxFileBytes + 1})
	b.fail(syscall.EINVAL, meta.SetAttr{Ino: file, Set: meta.NoTrash << 1})
}

func testClearSetID(b *table) {
	file, dir := b.file(root, "file"), b.dir(root, "dir")
	for mode, want := range map[uint32]uint32{
		0o6755: 0o755, 0o4644: 0o644, 0o2755: 0o755, 0o2744: 0o2744, 0o7777: 0o1777, 0o755: 0o755,
	} {
		b.do(meta.SetAttr{Ino: file, Set: meta.SetMode, Mode: mode})
		if n := b.do(meta.SetAttr{Ino: file, Set: meta.ClearSetID}); n.Attr.Mode != meta.TypeFile|want {
			b.t.Errorf("clearing %o gave %o", mode, n.Attr.Mode)
		}
		if n := b.do(meta.SetAttr{Ino: file, Set: meta.SetMode | meta.ClearSetID, Mode: mode}); n.Attr.Mode != meta.TypeFile|want {
			b.t.Errorf("setting and clearing %o gave %o", mode, n.Attr.Mode)
		}
		b.do(meta.SetAttr{Ino: file, Set: meta.SetMode, Mode: mode})
		c := commitOf(file, meta.Extent{Len: 1, Slice: uint64(mode), Size: 1})
		if c.ClearSetID = true; b.do(c).Attr.Mode != meta.TypeFile|want {
			b.t.Errorf("writing to %o gave %o", mode, b.p.last.Node.Attr.Mode)
		}
	}
	b.do(meta.SetAttr{Ino: dir, Set: meta.SetMode, Mode: 0o6775})
	if n := b.do(meta.SetAttr{Ino: dir, Set: meta.ClearSetID | meta.SetUID}); n.Attr.Mode != meta.TypeDir|0o6775 {
		b.t.Errorf("a directory's chown gave %o", n.Attr.Mode)
	}
}

func testXattrs(b *table) {
	file, dir := b.file(root, "file"), b.dir(root, "dir")
	set := func(ino meta.Ino, name, value string, mode meta.XattrMode) meta.SetXattr {
		return meta.SetXattr{Ino: ino, Name: name, Value: []byte(value), Mode: mode}
	}
	b.p.clock.advance(time.Hour)
	if n := b.do(set(file, "user.a", "1", meta.XattrAny)); !n.Attr.HasXattrs || n.Attr.Ctime != b.p.clock.now().UnixNano() {
		b.t.Errorf("setxattr gave %s", renderAttr(&n.Attr))
	}
	b.fail(syscall.EEXIST, set(file, "user.a", "2", meta.XattrCreate))
	b.fail(syscall.ENODATA, set(file, "user.b", "2", meta.XattrReplace))
	b.do(set(file, "user.a", "", meta.XattrReplace))
	b.do(set(file, "user.b", "\x00\xff", meta.XattrCreate))
	b.do(set(dir, strings.Repeat("x", 255), string(bytes.Repeat([]byte("v"), meta.MaxXattrValueBytes)), meta.XattrAny))
	b.same("getxattr", dir, strings.Repeat("x", 255), 0)
	b.fail(syscall.E2BIG, set(dir, "user.c", string(make([]byte, meta.MaxXattrValueBytes+1)), meta.XattrAny))
	b.fail(syscall.ERANGE, set(dir, "", "", meta.XattrAny))
	b.fail(syscall.ENOENT, set(12345, "user.a", "", meta.XattrAny))
	b.fail(syscall.ENODATA, meta.RemoveXattr{Ino: file, Name: "user.c"})
	b.fail(syscall.ENOENT, meta.RemoveXattr{Ino: 12345, Name: "user.c"})
	for i := range 100 {
		b.do(set(root, "user."+strconv.Itoa(i*7919%100), "v", meta.XattrAny))
	}
	b.same("listxattr", root, "", 0)
	for _, name := range []string{"user.a", "user.b", "user.none", ""} {
		b.same("getxattr", file, name, 0)
	}
	b.refuses(syscall.ENOENT, "getxattr", 12345, "user.a", 0)
	b.do(meta.RemoveXattr{Ino: file, Name: "user.a"})
	if n := b.do(meta.RemoveXattr{Ino: file, Name: "user.b"}); n.Attr.HasXattrs {
		b.t.Errorf("removexattr of the last gave %s", renderAttr(&n.Attr))
	}
	b.refuses(syscall.ENODATA, "getxattr", file, "user.b", 0)
	b.same("listxattr", file, "", 0)
}
