package metatest

import (
	"fmt"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// holds compares what a directory's quota counts.
func (b *table) holds(dir meta.Ino, bytes, inodes uint64) {
	b.t.Helper()
	b.same("quotas", 0, "", 0)
	b.same("quotasat", dir, "", 0)
	all, err := b.p.engine.QuotasAt(b.t.Context(), dir)
	if err != nil || all[0].Dir != dir {
		b.t.Fatalf("quotas at %d: %+v, %v", dir, all, err)
	}
	if want := (meta.Usage{Bytes: bytes, Inodes: inodes}); all[0].Used != want {
		b.t.Errorf("the quota of %d counts %+v, want %+v", dir, all[0].Used, want)
	}
}

func (b *table) limit(dir meta.Ino, bytes, inodes uint64) {
	b.t.Helper()
	b.do(meta.SetQuota{Dir: dir, Limit: meta.Usage{Bytes: bytes, Inodes: inodes}})
}

// count calls Count until there is nothing to count, and gives the number of calls.
func (b *table) count(dir meta.Ino) int {
	b.t.Helper()
	for n := 0; ; n++ {
		if b.do(meta.Count{Dir: dir}); b.p.last.Position.IsZero() {
			return n
		}
	}
}

func testQuota(b *table) {
	dir := b.dir(root, "dir")
	b.limit(dir, 10*4096, 4)
	if n := b.count(dir); n != 0 {
		b.t.Errorf("an empty directory took %d counts", n)
	}
	b.holds(dir, 0, 0)
	file, sub := b.file(dir, "file"), b.dir(dir, "sub")
	b.holds(dir, 0, 2)
	b.truncate(file, 5*4096-1)
	b.holds(dir, 5*4096, 2)
	deep := b.file(sub, "deep")
	b.write(deep, 1, 0, 5*4096)
	b.holds(dir, 10*4096, 3)
	// Full: no growth, but anything else.
	b.fail(syscall.EDQUOT, meta.SetAttr{Ino: file, Set: meta.SetSize | meta.SetMode, Size: 5*4096 + 1})
	b.truncate(file, 5*4096)
	b.fail(syscall.EDQUOT, commitOf(deep, meta.Extent{Pos: 5 * 4096, Len: 1, Slice: 2, Home: 1, Size: 1}))
	b.write(deep, 3, 100, 5*4096-100)
	b.fail(syscall.EDQUOT, commitOf(deep, meta.Extent{Pos: 1 << 20, Len: 1, Slice: 4, Home: 1, Size: 1}))
	b.symlink(sub, "link", "target")
	for _, kind := range []uint32{meta.TypeFile, meta.TypeDir, meta.TypeSymlink, meta.TypeFifo} {
		b.fail(syscall.EDQUOT, meta.Make{Parent: sub, Name: "more", Mode: kind | 0o644, Target: "t"})
	}
	b.fail(syscall.EEXIST, meta.Make{Parent: sub, Name: "link", Mode: meta.TypeFile})
	b.do(meta.Link{Ino: file, Parent: sub, Name: "hard"})
	b.holds(dir, 10*4096, 4)
	// Lower limits than what is there are no error, and what is there may shrink.
	b.limit(dir, 4096, 1)
	b.truncate(file, 3*4096)
	b.fail(syscall.EDQUOT, meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 4 * 4096})
	b.do(meta.Unlink{Parent: sub, Name: "link"})
	b.fail(syscall.EDQUOT, meta.Make{Parent: dir, Name: "more", Mode: meta.TypeFile})
	b.holds(dir, 8*4096, 3)
	// An orphan takes nothing, however it grows.
	b.do(meta.Unlink{Parent: sub, Name: "deep"})
	b.holds(dir, 3*4096, 2)
	b.truncate(deep, 1<<30)
	b.holds(dir, 3*4096, 2)
}

func testQuotaChanged(b *table) {
	dir := b.dir(root, "dir")
	b.limit(dir, 4096, 3)
	file := b.file(dir, "file")
	b.dir(dir, "sub")
	b.fail(syscall.EDQUOT, meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 1 << 40})
	b.limit(dir, 0, 3)
	b.truncate(file, 1<<40)
	b.file(dir, "third")
	b.fail(syscall.EDQUOT, meta.Make{Parent: dir, Name: "fourth", Mode: meta.TypeFile})
	b.limit(dir, 0, 0)
	b.file(dir, "fourth")
	b.fail(syscall.ENODATA, meta.SetQuota{Dir: dir})
	b.fail(syscall.ENODATA, meta.Count{Dir: dir})
	b.fail(syscall.ENOTDIR, meta.SetQuota{Dir: file, Limit: meta.Usage{Bytes: 1}})
	b.fail(syscall.ENOENT, meta.SetQuota{Dir: 12345, Limit: meta.Usage{Bytes: 1}})
	b.fail(syscall.ENOENT, meta.Count{Dir: 12345})
	b.fail(syscall.EINVAL, meta.SetQuota{Dir: dir, Limit: meta.Usage{Bytes: meta.MaxQuotaBytes + 1}})
	// A quota goes with its directory.
	gone := b.dir(root, "gone")
	b.limit(gone, 1, 0)
	b.do(meta.Rmdir{Parent: root, Name: "gone"})
	gone = b.dir(root, "gone")
	b.limit(gone, 1, 1)
	b.do(meta.Rename{OldParent: dir, OldName: "sub", NewParent: dir, NewName: "sub2"})
	b.dir(root, "empty")
	b.do(meta.Rename{OldParent: root, OldName: "empty", NewParent: root, NewName: "gone"})
	b.same("quotas", 0, "", 0)
}

func testQuotaNested(b *table) {
	outer := b.dir(root, "outer")
	b.limit(outer, 8*4096, 6)
	inner := b.dir(outer, "inner")
	b.limit(inner, 4*4096, 3)
	b.holds(outer, 0, 1)
	file := b.file(inner, "file")
	b.truncate(file, 3*4096)
	b.holds(inner, 3*4096, 1)
	b.holds(outer, 3*4096, 2)
	other := b.file(outer, "other")
	b.truncate(other, 5*4096)
	b.fail(syscall.EDQUOT, meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 4 * 4096}) // the outer is full
	b.truncate(other, 4096)
	b.truncate(file, 4*4096)
	b.fail(syscall.EDQUOT, meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 4*4096 + 1}) // the inner is
	b.do(meta.SetQuota{Dir: inner})
	b.truncate(file, 7*4096)
	b.fail(syscall.EDQUOT, meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 7*4096 + 1})
	b.holds(outer, 8*4096, 3)
}

func testQuotaVolume(b *table) {
	file := b.file(root, "file")
	b.truncate(file, 4096)
	used, err := b.p.engine.StatFS(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	b.limit(root, used.Bytes+4096, used.Inodes+1)
	b.holds(root, used.Bytes, used.Inodes)
	b.truncate(file, 2*4096)
	b.fail(syscall.ENOSPC, meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 3 * 4096})
	b.fail(syscall.ENOSPC, commitOf(file, meta.Extent{Pos: 2 * 4096, Len: 1, Slice: 1, Home: 1, Size: 1}))
	dir := b.dir(root, "dir")
	b.fail(syscall.ENOSPC, meta.Make{Parent: dir, Name: "x", Mode: meta.TypeFile})
	b.fail(syscall.EEXIST, meta.Make{Parent: root, Name: "dir", Mode: meta.TypeFile})
	b.do(meta.Rename{OldParent: root, OldName: "file", NewParent: root, NewName: "renamed"})
	b.do(meta.Link{Ino: file, Parent: dir, Name: "hard"})
	b.limit(dir, 1, 0) // both are exceeded: the directory's is told
	b.count(dir)
	b.fail(syscall.EDQUOT, meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 3 * 4096})
	b.do(meta.SetQuota{Dir: root})
	b.do(meta.SetQuota{Dir: dir})
	b.truncate(file, 3*4096)
}

func testQuotaRename(b *table) {
	from, to, free := b.dir(root, "from"), b.dir(root, "to"), b.dir(root, "free")
	b.limit(from, 100*4096, 10)
	b.limit(to, 4*4096, 2)
	big, small := b.file(from, "big"), b.file(from, "small")
	b.truncate(big, 5*4096)
	b.truncate(small, 2*4096)
	move := func(a meta.Ino, name string, to meta.Ino, newName string) meta.Rename {
		return meta.Rename{OldParent: a, OldName: name, NewParent: to, NewName: newName}
	}
	b.fail(syscall.EDQUOT, move(from, "big", to, "big"))
	b.do(move(from, "small", to, "small"))
	b.holds(from, 5*4096, 1)
	b.holds(to, 2*4096, 1)
	// What is replaced makes room.
	third := b.file(free, "third")
	b.truncate(third, 4*4096)
	b.fail(syscall.EDQUOT, move(free, "third", to, "third"))
	b.do(move(free, "third", to, "small"))
	b.holds(to, 4*4096, 1)
	swap := move(from, "big", to, "small")
	swap.Flags = meta.RenameExchange
	b.fail(syscall.EDQUOT, swap)
	b.truncate(big, 4096)
	b.do(swap)
	b.holds(from, 4*4096, 1)
	b.holds(to, 4096, 1)
	// Directories stay on their side.
	sub := b.dir(from, "sub")
	b.dir(free, "dir")
	b.fail(syscall.EXDEV, move(from, "sub", to, "sub"))
	b.fail(syscall.EXDEV, move(from, "sub", free, "sub"))
	b.fail(syscall.EXDEV, move(free, "dir", to, "dir"))
	swap = move(from, "sub", free, "dir")
	swap.Flags = meta.RenameExchange
	b.fail(syscall.EXDEV, swap)
	b.do(move(from, "big", sub, "inside"))
	b.do(move(root, "from", free, "moved")) // a quota goes along
	b.do(move(free, "moved", root, "from"))
	b.do(move(sub, "inside", free, "out"))
	b.holds(from, 0, 1)
}

// A file counts where its latest name is, and when that goes where another one is.
func testQuotaLinks(b *table) {
	left, right := b.dir(root, "left"), b.dir(root, "right")
	b.limit(left, 10*4096, 5)
	b.limit(right, 10*4096, 5)
	file := b.file(left, "file")
	b.truncate(file, 2*4096)
	b.do(meta.Link{Ino: file, Parent: right, Name: "file"})
	b.holds(left, 0, 0)
	b.holds(right, 2*4096, 1)
	b.truncate(file, 6*4096)
	b.limit(left, 4*4096, 5)
	b.do(meta.Unlink{Parent: right, Name: "file"}) // never refused
	b.holds(left, 6*4096, 1)
	b.holds(right, 0, 0)
	b.fail(syscall.EDQUOT, meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 7 * 4096})
	other := b.file(right, "other")
	b.truncate(other, 4096)
	b.fail(syscall.EDQUOT, meta.Link{Ino: other, Parent: left, Name: "other"})
	// The directory of a name that is gone may be removed.
	sub := b.dir(left, "sub")
	b.do(meta.Link{Ino: file, Parent: sub, Name: "again"})
	b.do(meta.Unlink{Parent: sub, Name: "again"})
	b.do(meta.Rmdir{Parent: left, Name: "sub"})
	b.truncate(file, 4096)
	b.holds(left, 4096, 1)
	b.do(meta.Unlink{Parent: left, Name: "file"})
	b.holds(left, 0, 0)
}

// testHardLinks follows the parent of a file through its names.
func testHardLinks(b *table) {
	dirs := []meta.Ino{b.dir(root, "a"), b.dir(root, "b"), b.dir(root, "c")}
	file := b.file(dirs[1], "0")
	parent := func(want meta.Ino, spread bool) {
		b.t.Helper()
		if a := b.attr(file); a.Parent != want || a.Spread != spread {
			b.t.Errorf("parent %d, spread %v; want %d, %v", a.Parent, a.Spread, want, spread)
		}
		if problems := b.p.compareAll(b.t); problems != "" {
			b.t.Fatal(problems)
		}
	}
	link := func(dir meta.Ino, name string) { b.t.Helper(); b.do(meta.Link{Ino: file, Parent: dir, Name: name}) }
	move := func(from meta.Ino, name string, to meta.Ino, newName string) {
		b.t.Helper()
		b.do(meta.Rename{OldParent: from, OldName: name, NewParent: to, NewName: newName})
	}
	link(dirs[1], "1")
	parent(dirs[1], false)
	link(dirs[2], "2")
	parent(dirs[2], true)
	link(dirs[0], "3")
	b.do(meta.Unlink{Parent: dirs[1], Name: "0"})
	parent(dirs[0], true)
	b.do(meta.Unlink{Parent: dirs[0], Name: "3"})
	parent(dirs[1], true)
	b.do(meta.Unlink{Parent: dirs[2], Name: "2"})
	parent(dirs[1], false)
	link(dirs[1], "4")
	move(dirs[1], "1", dirs[0], "1") // one of two names in one directory
	parent(dirs[0], true)
	move(dirs[1], "4", dirs[0], "4") // and the other: together again
	parent(dirs[0], false)
	move(dirs[0], "1", dirs[2], "1")
	move(dirs[0], "4", dirs[0], "5")
	parent(dirs[0], true)
	move(dirs[2], "1", dirs[1], "1")
	parent(dirs[1], true)
	b.file(dirs[2], "over")
	move(dirs[2], "over", dirs[1], "1") // is replaced where its parent was
	parent(dirs[0], false)
	link(dirs[2], "swap")
	b.do(meta.Rename{OldParent: dirs[2], OldName: "swap", NewParent: dirs[1], NewName: "1", Flags: meta.RenameExchange})
	parent(dirs[1], true)
	b.do(meta.Unlink{Parent: dirs[0], Name: "5"})
	b.do(meta.Unlink{Parent: dirs[1], Name: "1"})
	b.purgeAll()
}

// testQuotaRemoved: what was removed and is kept as an orphan is not counted.
func testQuotaRemoved(b *table) {
	b.keepFor(time.Hour)
	dir := b.dir(root, "dir")
	sub := b.dir(dir, "sub")
	b.file(sub, "gone")
	b.do(meta.Unlink{Parent: sub, Name: "gone"})
	b.do(meta.Rmdir{Parent: dir, Name: "sub"})
	b.file(dir, "file")
	b.limit(dir, 0, 10)
	b.count(dir)
	b.holds(dir, 0, 1)
}

// testQuotaCounting sets a quota on a directory with something in it and changes
// what there is while it is counted.
func testQuotaCounting(b *table) {
	dir := b.dir(root, "dir")
	early := b.file(dir, "early")
	b.truncate(early, 4096)
	sub := b.dir(dir, "sub")
	out := b.file(root, "out")
	b.truncate(out, 3*4096)
	for i := range meta.MaxCountInodes + 50 { // two calls
		b.quick(meta.Make{Parent: root, Name: fmt.Sprint(i), Mode: meta.TypeFile | 0o644})
	}
	late := b.file(sub, "late")
	b.truncate(late, 2*4096)
	b.limit(dir, 4096, 1) // less than there is
	b.holds(dir, 0, 0)
	after := b.file(dir, "after")
	b.truncate(after, 4096) // not refused yet, and counted at once
	b.holds(dir, 4096, 1)
	b.truncate(late, 4*4096) // not counted yet
	b.holds(dir, 4096, 1)
	b.do(meta.Count{Dir: dir})
	b.holds(dir, 2*4096, 3)
	b.truncate(early, 2*4096)
	b.holds(dir, 3*4096, 3)
	b.do(meta.Rename{OldParent: root, OldName: "out", NewParent: dir, NewName: "in"})
	b.holds(dir, 6*4096, 4)
	b.do(meta.Rename{OldParent: sub, OldName: "late", NewParent: root, NewName: "late"})
	b.holds(dir, 6*4096, 4)
	b.do(meta.Rename{OldParent: root, OldName: "late", NewParent: sub, NewName: "late"})
	b.fail(syscall.EXDEV, meta.Rename{OldParent: dir, OldName: "sub", NewParent: root, NewName: "sub"})
	b.limit(dir, 100*4096, 6)
	if n := b.count(dir); n != 1 {
		b.t.Errorf("%d more counts", n)
	}
	b.holds(dir, 10*4096, 5)
	b.file(dir, "sixth")
	b.fail(syscall.EDQUOT, meta.Make{Parent: dir, Name: "seventh", Mode: meta.TypeFile})
}

// quick makes a change without comparing more than the position.
func (b *table) quick(c meta.Change) {
	b.t.Helper()
	want, err := b.p.model.Change(b.t.Context(), c)
	got, err2 := b.p.engine.Change(b.t.Context(), c)
	if err != nil || err2 != nil || want.Position.Seq-b.p.baseModel != got.Position.Seq-b.p.baseEngine {
		b.t.Fatalf("%#v: %v, %v", c, err, err2)
	}
}
