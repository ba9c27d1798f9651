package metatest

import (
	"syscall"
	"time"

	"mirrorfs/meta"
)

func (b *table) truncate(ino meta.Ino, size uint64) meta.Node {
	b.t.Helper()
	return b.do(meta.SetAttr{Ino: ino, Set: meta.SetSize, Size: size})
}

func testTruncate(b *table) {
	file := b.file(root, "file")
	b.write(file, 1, 0, 10_000)
	for _, size := range []uint64{5000, 4999, 10_000, 100, 0, 10_000, 10_000} {
		b.truncate(file, size)
	}
	b.write(file, 2, 0, 10_000)
	b.write(file, 3, 2000, 3000)
	for _, size := range []uint64{6000, 5000, 4999, 2001, 2000, 1999, 1, 0} {
		b.truncate(file, size)
	}
	large := b.file(root, "large")
	b.truncate(large, meta.MaxFileBytes)
	b.do(meta.Commit{Ino: large, Chunks: []meta.ChunkExtents{
		{Index: 0, Extents: []meta.Extent{{Pos: 7, Len: 10, Slice: 4, Size: 10}}},
		{Index: 2, Extents: []meta.Extent{{Pos: 0, Len: 20, Slice: 5, Size: 20}}},
		{Index: 1<<20 - 1, Extents: []meta.Extent{{Pos: meta.ChunkBytes - 1, Len: 1, Slice: 6, Size: 1}}},
	}})
	for _, size := range []uint64{meta.MaxFileBytes - 1, 2*meta.ChunkBytes + 1, 2 * meta.ChunkBytes, meta.ChunkBytes, 8, 7, meta.MaxFileBytes} {
		b.truncate(large, size)
	}
}

func testCommit(b *table) {
	file := b.file(root, "file")
	b.p.clock.advance(time.Second)
	now := b.p.clock.now().UnixNano()
	n := b.write(file, 1, 0, 100)
	if a := n.Attr; a.Size != 100 || a.Mtime != now || a.Ctime != now || a.Inline == nil || a.HasChunks {
		b.t.Errorf("a small file is %+v", a)
	}
	// A write in the middle does not change the size, one that ends later does.
	b.write(file, 2, 20, 10)
	if n := b.write(file, 3, 90, 20); n.Attr.Size != 110 {
		b.t.Errorf("size %d", n.Attr.Size)
	}
	// Whole again: what is below is free, and the file is inline.
	if n := b.write(file, 4, 0, 110); n.Attr.Inline == nil {
		b.t.Errorf("a file written over is %+v", n.Attr)
	}
	c := commitOf(file, meta.Extent{Pos: 50, Len: 10}) // a hole
	c.Mtime, c.Atime = -1, 77
	if n := b.do(c); n.Attr.Mtime != -1 || n.Attr.Atime != 77 || n.Attr.Ctime != now {
		b.t.Errorf("a commit with times gave %s", renderAttr(&n.Attr))
	}
	// One call may write over itself, and hide a slice altogether.
	b.do(commitOf(file, meta.Extent{Len: 50, Slice: 5, Size: 50}, meta.Extent{Len: 50, Slice: 6, Size: 50}))
	b.do(commitOf(file, meta.Extent{Pos: 0, Len: 50, Slice: 7, Size: 100}, meta.Extent{Pos: 10, Len: 20, Slice: 7, Size: 100, Off: 50}))
	empty := b.file(root, "hole")
	b.do(meta.Commit{Ino: empty, Size: meta.ChunkBytes})
	b.write(empty, 8, 0, meta.ChunkBytes)
	b.do(meta.Unlink{Parent: root, Name: "hole"})
	b.write(empty, 9, 5, 5)
	// Other bytes of the same slice are other bytes.
	again := b.file(root, "again")
	for off := range uint32(3) {
		b.do(commitOf(again, meta.Extent{Len: 10, Slice: 10, Size: 100, Off: off * 10}))
	}
}

// testCommitChunks writes many chunks in one call, and as many extents as may be.
func testCommitChunks(b *table) {
	file := b.file(root, "file")
	var c meta.Commit
	c.Ino = file
	for i := range uint32(300) {
		c.Chunks = append(c.Chunks, meta.ChunkExtents{Index: i * 2, Extents: []meta.Extent{{Pos: i, Len: 9, Slice: uint64(i) + 1, Size: 9}}})
	}
	if n := b.do(c); n.Attr.Size != 598*meta.ChunkBytes+299+9 {
		b.t.Errorf("size %d", n.Attr.Size)
	}
	for _, from := range []uint32{0, 1, 255, 256, 597, 599} {
		for _, count := range []int{1, 2, meta.MaxExtentChunks, 1000} {
			want, wantLists, err1 := b.p.model.Extents(b.t.Context(), file, from, count)
			got, gotLists, err2 := b.p.engine.Extents(b.t.Context(), file, from, count)
			if err1 != nil || err2 != nil || renderNode(&want) != renderNode(&got) || len(wantLists) != len(gotLists) {
				b.t.Errorf("extents from %d, %d chunks: %d lists, %v; want %d, %v", from, count, len(gotLists), err2, len(wantLists), err1)
				continue
			}
			for i := range wantLists {
				if wantLists[i].Index != gotLists[i].Index {
					b.t.Errorf("list %d is of chunk %d, want %d", i, gotLists[i].Index, wantLists[i].Index)
				}
			}
		}
	}
	b.truncate(file, 300*meta.ChunkBytes)
	b.same("extents", file, "", 0)
	many := b.file(root, "many")
	b.do(commitOf(many, apart(meta.MaxCommitExtents, 0, 1000)...))
	b.truncate(many, meta.MaxCommitExtents)
	b.do(meta.Unlink{Parent: root, Name: "many"})
	b.do(meta.Unlink{Parent: root, Name: "file"})
	b.purgeAll()
}

func testCommitRefused(b *table) {
	file, dir := b.file(root, "file"), b.dir(root, "dir")
	good := meta.Extent{Len: 1, Slice: 1, Size: 1}
	b.fail(syscall.ENOENT, commitOf(12345, good))
	b.fail(syscall.EISDIR, commitOf(dir, good))
	b.fail(syscall.EINVAL, commitOf(b.symlink(root, "link", "t"), good))
	b.fail(syscall.EINVAL, commitOf(file))
	b.fail(syscall.EINVAL, meta.Commit{Ino: file})
	b.fail(syscall.EINVAL, commitOf(file, meta.Extent{Slice: 1, Size: 1}))
	b.fail(syscall.EINVAL, commitOf(file, meta.Extent{Pos: meta.ChunkBytes, Len: 1, Slice: 1, Size: 1}))
	b.fail(syscall.EINVAL, commitOf(file, meta.Extent{Len: 2, Slice: 1, Size: 1}))
	b.fail(syscall.EFBIG, meta.Commit{Ino: file, Chunks: []meta.ChunkExtents{{Index: 1 << 20, Extents: []meta.Extent{good}}}})
	b.fail(syscall.EINVAL, meta.Commit{Ino: file, Chunks: []meta.ChunkExtents{{Index: 1, Extents: []meta.Extent{good}}, {Index: 0, Extents: []meta.Extent{good}}}})
	if a := b.attr(file); a.Size != 0 || a.Inline != nil || a.HasChunks {
		b.t.Errorf("after refused commits the file is %+v", a)
	}
	b.refuses(syscall.ENOENT, "extents", 12345, "", 0)
	b.refuses(syscall.EINVAL, "extents", dir, "", 0)
}

// testAppend has commits that go to the end of the file, wherever that is.
func testAppend(b *table) {
	file := b.file(root, "file")
	add := func(want uint64, slice uint64, length uint32, extents ...meta.Extent) {
		b.t.Helper()
		if extents == nil {
			extents = []meta.Extent{{Len: length, Slice: slice, Home: 1, Size: length}}
		}
		c := commitOf(file, extents...)
		c.Append = true
		b.do(c)
		if a := b.attr(file); a.Size != want {
			b.t.Errorf("after an append of slice %d the size is %d, want %d", slice, a.Size, want)
		}
	}
	add(100, 1, 100)
	add(150, 2, 50)
	add(150, 2, 50) // sent again
	if !b.p.last.Position.IsZero() {
		b.t.Errorf("an append that was made before is made again at %v", b.p.last.Position)
	}
	b.write(file, 3, 0, 200)
	add(250, 4, 50)
	// Over the border of a chunk: one slice in two chunks.
	b.do(meta.SetAttr{Ino: file, Set: meta.SetSize, Size: meta.ChunkBytes - 10})
	add(meta.ChunkBytes+20, 5, 30)
	const large = 40 << 20
	add(meta.ChunkBytes+20+meta.ChunkBytes, 6, 0,
		meta.Extent{Len: large, Slice: 6, Size: meta.ChunkBytes}, meta.Extent{Pos: large, Len: meta.ChunkBytes - large, Slice: 6, Size: meta.ChunkBytes, Off: large},
		meta.Extent{Len: 1 << 20}) // the last one is a hole, over the first
	many := meta.Commit{Ino: file, Append: true, Chunks: []meta.ChunkExtents{{Extents: make([]meta.Extent, meta.MaxAppendExtents+1)}}}
	for i := range many.Chunks[0].Extents {
		many.Chunks[0].Extents[i] = meta.Extent{Pos: uint32(i), Len: 1, Slice: 7, Size: meta.ChunkBytes, Off: uint32(2 * i)}
	}
	b.fail(syscall.EINVAL, many)
	many.Chunks[0].Extents = many.Chunks[0].Extents[1:]
	b.do(many)
	b.do(meta.SetAttr{Ino: file, Set: meta.SetSize, Size: meta.MaxFileBytes - 10})
	over := commitOf(file, meta.Extent{Len: 11, Slice: 8, Size: 11})
	over.Append = true
	b.fail(syscall.EFBIG, over)
	add(meta.MaxFileBytes, 8, 10)
}

// testSharedSlices has files that share slices, in one commit and in several: the
// last one that lets go of a slice frees it, and nobody before.
func testSharedSlices(b *table) {
	var files []meta.Ino
	for _, name := range []string{"a", "b", "c"} {
		files = append(files, b.file(root, name))
	}
	for i, file := range files {
		b.do(commitOf(file, meta.Extent{Len: 10, Slice: 1, Size: 100, Off: uint32(i) * 10}))
	}
	b.do(commitOf(files[0], meta.Extent{Pos: 5, Len: 3, Slice: 1, Size: 100, Off: 50}, meta.Extent{Pos: 20, Len: 3, Slice: 2, Size: 3}))
	b.do(commitOf(files[1], meta.Extent{Pos: 3, Len: 4, Slice: 2, Size: 3 + 1}))
	for _, step := range []func(){
		func() { b.truncate(files[0], 6) },
		func() { b.truncate(files[0], 0) },
		func() { b.write(files[1], 3, 0, 50) },
		func() { b.do(meta.Unlink{Parent: root, Name: "c"}) },
		func() { b.purgeAll() },
	} {
		step()
		if diff := b.p.compareAll(b.t); diff != "" {
			b.t.Fatal(diff)
		}
	}
}

func testUsage(b *table) {
	before, err := b.p.engine.StatFS(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	expect := func(bytes, inodes uint64) {
		b.t.Helper()
		b.same("statfs", 0, "", 0)
		now, err := b.p.engine.StatFS(b.t.Context())
		if err != nil || now.Bytes-before.Bytes != bytes || now.Inodes-before.Inodes != inodes {
			b.t.Errorf("usage %+v, %v; before %+v; want %d bytes and %d inodes more", now, err, before, bytes, inodes)
		}
	}
	file := b.file(root, "file")
	expect(0, 1)
	b.write(file, 1, 0, 1)
	expect(4096, 1)
	b.write(file, 2, 0, 4096)
	expect(4096, 1)
	b.truncate(file, 4097)
	expect(8192, 1)
	b.do(meta.Link{Ino: file, Parent: root, Name: "second"})
	b.do(meta.Unlink{Parent: root, Name: "file"})
	expect(8192, 1)
	b.symlink(root, "link", "target")
	b.dir(root, "dir")
	expect(8192, 3)
	b.do(meta.Unlink{Parent: root, Name: "second"})
	expect(0, 2)
	b.truncate(file, 1<<30) // of an orphan
	b.write(file, 3, 5, 5)
	expect(0, 2)
	b.do(meta.Rmdir{Parent: root, Name: "dir"})
	b.do(meta.Unlink{Parent: root, Name: "link"})
	expect(0, 0)
	b.purgeAll()
	expect(0, 0)
	replaced := b.file(root, "replaced")
	b.truncate(replaced, 100)
	b.do(meta.Rename{OldParent: root, OldName: "replaced", NewParent: root, NewName: "other"})
	expect(4096, 1)
	b.file(root, "empty")
	b.do(meta.Rename{OldParent: root, OldName: "empty", NewParent: root, NewName: "other"})
	expect(0, 1)
	large := b.file(root, "large")
	b.truncate(large, meta.MaxFileBytes)
	expect(meta.MaxFileBytes, 2)
}

func testReserve(b *table) {
	b.do(meta.Reserve{Count: 1})
	first := b.p.last.FirstSlice
	if first == 0 {
		b.t.Error("slice 0 was given out")
	}
	for _, count := range []uint32{10, 1, 4096, 1 << 30, 1} {
		next := first + uint64(count)
		b.do(meta.Reserve{Count: count})
		if got := b.p.last.FirstSlice; got != first+1 {
			b.t.Errorf("got slices from %d, want %d", got, first+1)
		}
		first = next
	}
	b.fail(syscall.EINVAL, meta.Reserve{})
}
