package metatest

import (
	"bytes"
	"fmt"
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
	was := b.attr(file)
	b.p.clock.advance(time.Hour)
	if n := b.do(meta.SetAttr{Ino: file, Set: meta.SetAccessed, Atime: was.Atime + 1}); n.Attr.Atime != was.Atime+1 || n.Attr.Ctime != was.Ctime {
		b.t.Errorf("an access gave %s", renderAttr(&n.Attr))
	}
	if b.do(meta.SetAttr{Ino: file, Set: meta.SetAccessed, Atime: was.Atime}); !b.p.last.Position.IsZero() {
		b.t.Error("an access before the last one made a record")
	}
	b.fail(syscall.EINVAL, meta.SetAttr{Ino: file, Set: meta.SetAccessed | meta.SetMode})
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
	b.fail(syscall.EINVAL, meta.SetAttr{Ino: file, Set: meta.SetAccessed << 1})
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

// acl is the value of an ACL with the permissions given for owner, user 7, group,
// mask and others.
func acl(owner, user, group, mask, other uint16) []byte {
	const nobody = 1<<32 - 1
	return meta.AppendACL(nil, meta.ACL{
		{Tag: meta.ACLUserObj, Perm: owner, ID: nobody},
		{Tag: meta.ACLUser, Perm: user, ID: 7},
		{Tag: meta.ACLGroupObj, Perm: group, ID: nobody},
		{Tag: meta.ACLMask, Perm: mask, ID: nobody},
		{Tag: meta.ACLOther, Perm: other, ID: nobody},
	})
}

// aclIs compares an ACL, nil for none.
func (b *table) aclIs(ino meta.Ino, name string, want []byte) {
	b.t.Helper()
	b.same("getxattr", ino, name, 0)
	got, err := b.p.engine.GetXattr(b.t.Context(), ino, name)
	if want != nil && !bytes.Equal(got, want) || want == nil && meta.Errno(err) != syscall.ENODATA {
		b.t.Errorf("%s of %d is %x, %v; want %x", name, ino, got, err, want)
	}
}

// modeIs compares permission bits.
func (b *table) modeIs(n meta.Node, want uint32) {
	b.t.Helper()
	if n.Attr.Mode&0o7777 != want {
		b.t.Errorf("mode %o, want %o", n.Attr.Mode&0o7777, want)
	}
}

func setACL(ino meta.Ino, name string, value []byte) meta.SetXattr {
	return meta.SetXattr{Ino: ino, Name: name, Value: value}
}

func testACLs(b *table) {
	file, dir, link := b.file(root, "file"), b.dir(root, "dir"), b.symlink(root, "link", "target")
	b.modeIs(b.do(setACL(file, meta.XattrACL, acl(6, 7, 5, 4, 1))), 0o641)
	b.modeIs(b.do(meta.SetAttr{Ino: file, Set: meta.SetMode, Mode: 0o2753}), 0o2753)
	b.aclIs(file, meta.XattrACL, acl(7, 7, 5, 5, 3))
	c := setACL(file, meta.XattrACL, acl(6, 7, 5, 4, 1))
	c.ClearSetGID = true
	b.modeIs(b.do(c), 0o641)
	// What the mode says too is not stored.
	plain, err := meta.ParseACL(acl(6, 0, 4, 0, 0))
	if err != nil {
		b.t.Fatal(err)
	}
	plain = meta.ACL{plain[0], plain[2], plain[4]}
	n := b.do(setACL(file, meta.XattrACL, meta.AppendACL(nil, plain)))
	if b.modeIs(n, 0o640); n.Attr.HasXattrs {
		b.t.Error("an ACL that is only a mode is stored")
	}
	b.aclIs(file, meta.XattrACL, nil)
	b.fail(syscall.EINVAL, setACL(file, meta.XattrACL, nil))
	b.fail(syscall.EINVAL, setACL(file, meta.XattrACL, acl(8, 0, 0, 0, 0)))
	b.fail(syscall.EINVAL, setACL(dir, meta.XattrDefaultACL, meta.AppendACL(nil, plain[:2])))
	b.fail(syscall.EACCES, setACL(file, meta.XattrDefaultACL, acl(7, 7, 7, 7, 7)))
	b.fail(syscall.EOPNOTSUPP, setACL(link, meta.XattrACL, acl(7, 7, 7, 7, 7)))
}

// testACLInherit: what is made inherits, and the umask counts only without a default ACL.
func testACLInherit(b *table) {
	dir := b.dir(root, "dir")
	var n meta.Node
	b.modeIs(b.do(meta.Make{Parent: dir, Name: "masked", Mode: meta.TypeFile | 0o666, Umask: 0o027}), 0o640)
	b.do(setACL(dir, meta.XattrDefaultACL, acl(7, 6, 5, 7, 4)))
	n = b.do(meta.Make{Parent: dir, Name: "file", Mode: meta.TypeFile | 0o664, Umask: 0o077})
	b.modeIs(n, 0o664)
	b.aclIs(n.Ino, meta.XattrACL, acl(6, 6, 5, 6, 4))
	b.aclIs(n.Ino, meta.XattrDefaultACL, nil)
	sub := b.do(meta.Make{Parent: dir, Name: "sub", Mode: meta.TypeDir | 0o750, Umask: 0o077})
	b.modeIs(sub, 0o750)
	b.aclIs(sub.Ino, meta.XattrACL, acl(7, 6, 5, 5, 0))
	b.aclIs(sub.Ino, meta.XattrDefaultACL, acl(7, 6, 5, 7, 4))
	b.modeIs(b.do(meta.Make{Parent: sub.Ino, Name: "link", Mode: meta.TypeSymlink | 0o777, Umask: 0o077, Target: "t"}), 0o777)
	b.do(meta.RemoveXattr{Ino: sub.Ino, Name: meta.XattrDefaultACL})
	b.modeIs(b.do(meta.Make{Parent: sub.Ino, Name: "file", Mode: meta.TypeFile | 0o666, Umask: 0o022}), 0o644)
}

// testXattrList fills the list of names up to what listxattr can give.
func testXattrList(b *table) {
	file := b.file(root, "file")
	for i := range 256 {
		b.do(meta.SetXattr{Ino: file, Name: fmt.Sprintf("user.%0250d", i)})
	}
	b.fail(syscall.ENOSPC, meta.SetXattr{Ino: file, Name: "user.a"})
	b.do(meta.SetXattr{Ino: file, Name: fmt.Sprintf("user.%0250d", 7), Value: []byte("again")})
	b.do(meta.RemoveXattr{Ino: file, Name: fmt.Sprintf("user.%0250d", 7)})
	b.do(meta.SetXattr{Ino: file, Name: "user.a"})
	b.same("listxattr", file, "", 0)
}

// testCapability: what a program was trusted with goes when its bytes or its owner
// change, and with nothing else.
func testCapability(b *table) {
	file, dir := b.file(root, "file"), b.dir(root, "dir")
	for _, change := range []meta.Change{
		commitOf(file, meta.Extent{Len: 10, Slice: 1, Home: 1, Size: 10}),
		meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 5},
		meta.SetAttr{Ino: file, Set: meta.SetUID, UID: 5},
		meta.SetAttr{Ino: file, Set: meta.SetGID, GID: 5},
	} {
		b.do(meta.SetXattr{Ino: file, Name: meta.XattrCapability, Value: []byte("x")})
		b.do(meta.SetAttr{Ino: file, Set: meta.SetMode | meta.SetAtimeNow, Mode: 0o755})
		b.same("getxattr", file, meta.XattrCapability, 0)
		if n := b.do(change); n.Attr.HasXattrs {
			b.t.Errorf("%#v left the capability", change)
		}
		b.refuses(syscall.ENODATA, "getxattr", file, meta.XattrCapability, 0)
	}
	b.do(meta.SetXattr{Ino: dir, Name: meta.XattrCapability, Value: []byte("x")})
	if n := b.do(meta.SetAttr{Ino: dir, Set: meta.SetUID, UID: 5}); !n.Attr.HasXattrs {
		b.t.Error("chown took the capability of a directory")
	}
}
