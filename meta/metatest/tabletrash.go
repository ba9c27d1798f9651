package metatest

import (
	"strings"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// keepFor sets the volume's trash time.
func (b *table) keepFor(trash time.Duration) {
	b.t.Helper()
	if diff := b.p.made(b.t.Context(), meta.Settings{Volume: meta.Volume{Trash: trash}}); diff != "" {
		b.t.Fatal(diff)
	}
}

// orphan finds the orphan of a number in the model.
func (b *table) orphan(ino meta.Ino) meta.Orphan {
	b.t.Helper()
	o, err := b.p.model.Orphan(b.t.Context(), ino)
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

func testRestore(b *table) {
	dir, away := b.dir(root, "dir"), b.dir(root, "away")
	file := b.file(dir, "file")
	b.write(file, 1, 0, 5000)
	b.write(file, 2, 100, 10)
	b.do(meta.SetXattr{Ino: file, Name: "user.a", Value: []byte("1")})
	b.do(meta.Link{Ino: file, Parent: away, Name: "other"})
	link := b.symlink(dir, "link", "target")
	b.fail(syscall.ENOENT, meta.Restore{Orphan: meta.Orphan{UnlinkedMs: 1, Ino: file, Parent: dir, Name: "file"}, Parent: root, Name: "x"})
	usage := b.same("statfs", 0, "", 0)
	b.do(meta.Unlink{Parent: away, Name: "other"})
	content := b.same("extents", file, "", 0)
	for _, name := range []string{"file", "link"} {
		b.do(meta.Unlink{Parent: dir, Name: name})
	}
	b.do(meta.Rmdir{Parent: root, Name: "dir"})
	o := b.orphan(file)
	b.p.clock.advance(time.Second)

	b.fail(syscall.ENOENT, meta.Restore{Orphan: o, Parent: dir, Name: "file"}) // its directory is not there
	b.fail(syscall.ENOTDIR, meta.Restore{Orphan: o, Parent: link, Name: "file"})
	b.fail(syscall.EEXIST, meta.Restore{Orphan: o, Parent: root, Name: "away"})
	b.fail(syscall.EINVAL, meta.Restore{Orphan: o, Parent: root, Name: ".."})
	wrong := o
	wrong.Name = "another"
	b.fail(syscall.ENOENT, meta.Restore{Orphan: wrong, Parent: root, Name: "file"})

	b.do(meta.Restore{Orphan: b.orphan(dir), Parent: away, Name: "back"})
	b.do(meta.Restore{Orphan: b.orphan(link), Parent: dir, Name: "link"})
	n := b.do(meta.Restore{Orphan: o, Parent: dir, Name: "file"})
	if n.Attr.Nlink != 1 || n.Attr.Parent != dir || n.Attr.Ctime != b.p.clock.now().UnixNano() || !n.Attr.HasXattrs {
		b.t.Errorf("the restored file is %s", renderNode(&n))
	}
	if got := b.same("extents", file, "", 0); got != content {
		b.t.Errorf("the file held %s, and holds %s", content, got)
	}
	if got := b.same("statfs", 0, "", 0); got != usage {
		b.t.Errorf("the volume held %s, and holds %s", usage, got)
	}
	if a := b.attr(dir); a.Nlink != 2 || a.Size != 2 || a.Parent != away {
		b.t.Errorf("the restored directory is %s", renderAttr(&a))
	}
	b.same("readlink", link, "", 0)
	b.same("lookup", dir, "..", 0)
	b.fail(syscall.ENOENT, meta.Restore{Orphan: o, Parent: root, Name: "twice"})
	b.fail(syscall.ENOENT, meta.Purge{Orphan: o})
	b.do(meta.Unlink{Parent: dir, Name: "file"})
	o = b.orphan(file)
	b.do(meta.Purge{Orphan: o})
	b.fail(syscall.ENOENT, meta.Restore{Orphan: o, Parent: root, Name: "late"})
}

// testOverwritten cuts files to nothing: what they held is kept, or not.
func testOverwritten(b *table) {
	b.keepFor(time.Hour)
	file := b.file(root, "file")
	b.write(file, 1, 0, 5000)
	b.do(meta.SetXattr{Ino: file, Name: "user.a", Value: []byte("1")})
	b.do(meta.SetXattr{Ino: file, Name: "user.b", Value: nil})
	before, content := b.attr(file), b.same("extents", file, "", 0)
	b.p.clock.advance(time.Second)
	next := b.p.nextIno(b.t.Context())
	n := b.do(meta.SetAttr{Ino: file, Set: meta.SetSize | meta.ClearSetID})
	if n.Ino != file || n.Attr.Size != 0 || n.Attr.Inline != nil || !n.Attr.HasXattrs || n.Attr.Mtime == before.Mtime {
		b.t.Errorf("the file is %s", renderNode(&n))
	}
	kept := b.attr(next)
	want := before
	want.Nlink, want.Parent = 0, file
	if renderAttr(&kept) != renderAttr(&want) {
		b.t.Errorf("kept is %s, want %s", renderAttr(&kept), renderAttr(&want))
	}
	b.write(file, 2, 0, 100)
	b.do(meta.Unlink{Parent: root, Name: "file"})
	b.do(meta.Restore{Orphan: b.orphan(next), Parent: root, Name: "file"})
	b.same("getxattr", next, "user.a", 0)
	b.same("listxattr", next, "", 0)
	_, content, _ = strings.Cut(content, ",")
	if got := b.same("extents", next, "", 0); !strings.HasSuffix(got, content) {
		b.t.Errorf("the file held %s, and the restored one holds %s", content, got)
	}

	// Lists of many chunks go as they are.
	large := b.file(root, "large")
	for i := range uint32(3) {
		b.write(large, 10+uint64(i), i*10, 5)
		b.do(meta.Commit{Ino: large, Chunks: []meta.ChunkExtents{{Index: 1 + 7*i, Extents: []meta.Extent{{Len: 5, Slice: 20 + uint64(i), Size: 5}}}}})
	}
	b.truncate(large, 0)
	b.truncate(large, 0) // there is nothing more to keep
	b.write(large, 30, 0, 10)
	again := b.p.nextIno(b.t.Context())
	b.do(meta.SetAttr{Ino: large, Set: meta.SetSize})
	b.same("extents", again-1, "", 0)
	b.same("extents", again, "", 0)

	b.notKept(large)
}

// notKept cuts files of which nothing is kept: holes, what is cut in part, and what has no
// name; nor one with more attributes than are kept, nor any without a trash time.
func (b *table) notKept(large meta.Ino) {
	b.t.Helper()
	next := b.p.nextIno(b.t.Context())
	b.truncate(large, 100)
	b.truncate(large, 0)
	b.write(large, 31, 0, 10)
	b.truncate(large, 1)
	b.do(meta.Unlink{Parent: root, Name: "large"})
	b.truncate(large, 0)
	many := b.file(root, "many")
	b.write(many, 40, 0, 10)
	b.do(meta.SetXattr{Ino: many, Name: "user.c", Value: make([]byte, meta.MaxKeptXattrBytes-5)})
	b.truncate(many, 0)
	b.keepFor(0)
	small := b.file(root, "small")
	b.write(small, 41, 0, 10)
	b.truncate(small, 0)
	if now := b.p.nextIno(b.t.Context()); now != next+2 {
		b.t.Errorf("%d inodes were made, want the two files", now-next)
	}
}

// testReclaim frees slices, and lets go of them.
func testReclaim(b *table) {
	ctx := b.t.Context()
	r, ok := b.p.engine.(meta.Reclaimer)
	if !ok {
		b.t.Skip("the engine is no meta.Reclaimer")
	}
	b.keepFor(time.Hour)
	file := b.file(root, "file")
	begin := b.p.clock.now()
	for i := range uint64(10) {
		b.write(file, 1+i, 0, 100)
		b.p.clock.advance(time.Second)
	}
	b.do(meta.Unlink{Parent: root, Name: "file"})
	b.do(meta.Purge{Orphan: b.orphan(file)}) // has been in the trash: an hour older than the others
	rows, err := r.Freed(ctx, meta.Freed{}, begin.Add(time.Hour), 100)
	if err != nil || len(rows) != 10 || rows[0].Ms != begin.Add(10*time.Second-time.Hour).UnixMilli() || rows[0].Slices[0].ID != 10 {
		b.t.Fatalf("freed are %v, %v", rows, err)
	}
	for _, c := range []struct {
		after, limit, from, to int
		before                 time.Duration
	}{{-1, 100, 0, 1, time.Second}, {-1, 4, 0, 4, time.Hour}, {3, 4, 4, 8, time.Hour}, {8, 4, 9, 10, time.Hour}, {9, 1, 10, 10, time.Hour}, {2, 0, 3, 3, time.Hour}} {
		var after meta.Freed
		if c.after >= 0 {
			after = rows[c.after]
		}
		got, err := r.Freed(ctx, after, begin.Add(c.before), c.limit)
		if err != nil || renderFreed(got) != renderFreed(rows[c.from:c.to]) {
			b.t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	known := func(want ...bool) {
		b.t.Helper()
		got, err := r.Known(ctx, []uint64{1, 10, 11, 1 << 40})
		if err != nil || len(got) != 4 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] || got[3] {
			b.t.Errorf("known are %v, %v; want %v", got, err, want)
		}
	}
	known(true, true, false)
	other := b.file(root, "other")
	late := meta.Commit{Ino: other, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{
		{Len: 10, Slice: 11, Home: 1, Size: 100}, {Pos: 10, Len: 10, Slice: 10, Home: 1, Size: 100},
	}}}}
	b.do(late)
	known(true, true, true)
	b.do(meta.Unlink{Parent: root, Name: "other"})
	b.do(meta.Purge{Orphan: b.orphan(other)}) // frees both again
	if rows, err = r.Freed(ctx, meta.Freed{}, begin.Add(time.Hour), 100); err != nil || len(rows) != 10 || len(rows[0].Slices) != 2 {
		b.t.Fatalf("freed are %v, %v", rows, err)
	}
	if diff := b.p.reclaim(ctx, 0); diff != "" { // none
		b.t.Error(diff)
	}
	if diff := b.p.reclaim(ctx, 11); diff != "" { // the first
		b.t.Error(diff)
	}
	known(true, false, false)
	if _, err := b.p.engine.Change(ctx, meta.Reclaim{Rows: rows[:1]}); meta.Errno(err) != syscall.ENOENT {
		b.t.Errorf("reclaiming twice: %v", err)
	}
	b.fail(syscall.EINVAL, meta.Reclaim{})
	b.fail(syscall.EINVAL, meta.Reclaim{Rows: make([]meta.Freed, meta.MaxReclaimRows+1)})
	part := late
	part.Ino = b.file(root, "again")
	part.Chunks = []meta.ChunkExtents{{Extents: late.Chunks[0].Extents[1:]}}
	b.do(part)
	known(true, true, false)
}

// testOrphanOrder lists many orphans of one moment, in parts, while some go.
func testOrphanOrder(b *table) {
	p, ok := b.p.engine.(meta.Purger)
	if !ok {
		b.t.Skip("the engine is no meta.Purger")
	}
	var made []meta.Ino
	for range 200 {
		made = append(made, b.file(root, "x"))
		b.do(meta.Unlink{Parent: root, Name: "x"})
		if len(made)%90 == 0 {
			b.p.clock.advance(time.Millisecond)
		}
	}
	var after meta.Orphan
	for i := 0; i < len(made); {
		page, err := p.Orphans(b.t.Context(), after, farFuture(), 7)
		if err != nil || len(page) == 0 {
			b.t.Fatalf("orphans after %+v: %v, %v", after, page, err)
		}
		for _, o := range page {
			if o.Ino != made[i] || o != b.orphan(o.Ino) {
				b.t.Fatalf("orphan %d is %+v, want inode %d", i, o, made[i])
			}
			i++
		}
		after = page[len(page)-1]
		b.do(meta.Purge{Orphan: after}) // the next page does not need it
	}
	if _, err := p.Orphan(b.t.Context(), made[6]); meta.Errno(err) != syscall.ENOENT {
		b.t.Errorf("an orphan that was purged: %v", err)
	}
}
