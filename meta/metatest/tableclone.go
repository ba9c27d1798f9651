package metatest

import (
	"syscall"

	"mirrorfs/meta"
)

// apart makes extents of one byte that do not touch each other, of one slice.
func apart(n int, from uint32, slice uint64) []meta.Extent {
	list := make([]meta.Extent, n)
	for i := range list {
		list[i] = meta.Extent{Pos: from + uint32(i)*2, Len: 1, Slice: slice, Size: meta.ChunkBytes, Off: uint32(i)}
	}
	return list
}

// testHoles takes bytes away: holes never make a file longer, Size does.
func testHoles(b *table) {
	file := b.file(root, "file")
	size := func(want uint64, c meta.Commit) {
		b.t.Helper()
		if n := b.do(c); n.Attr.Size != want {
			b.t.Errorf("size %d, want %d", n.Attr.Size, want)
		}
	}
	size(0, commitOf(file, meta.Extent{Len: 100}))
	b.write(file, 1, 0, 10_000)
	size(10_000, commitOf(file, meta.Extent{Pos: 2000, Len: 1000}))
	size(10_000, commitOf(file, meta.Extent{Pos: 9000, Len: 5000}))
	size(10_000, commitOf(file, meta.Extent{Pos: 100, Len: 10, Slice: 2, Size: 10}, meta.Extent{Pos: 105, Len: 3}))
	size(10_001, meta.Commit{Ino: file, Size: 10_001})
	size(10_001, meta.Commit{Ino: file, Size: 5})
	grown := commitOf(file, meta.Extent{Pos: 10_000, Len: 1000})
	grown.Size = 11_000
	size(11_000, grown)
	size(11_000, commitOf(file, meta.Extent{Len: meta.ChunkBytes}))
	if a := b.attr(file); a.HasChunks || a.Inline != nil {
		b.t.Errorf("a file without data is %+v", a)
	}
	b.write(file, 3, 0, 11_000)
	size(meta.MaxFileBytes, meta.Commit{Ino: file, Size: meta.MaxFileBytes})
	b.fail(syscall.EFBIG, meta.Commit{Ino: file, Size: meta.MaxFileBytes + 1})
	b.fail(syscall.ENOENT, meta.Commit{Ino: 12345, Size: 1})
}

func testClone(b *table) {
	src, dst := b.file(root, "src"), b.file(root, "dst")
	b.write(src, 1, 0, 10_000)
	if n := b.do(meta.Clone{Src: src, Dst: dst, Len: 10_000}); n.Ino != dst || n.Attr.Inline == nil || n.Attr.Size != 10_000 {
		b.t.Errorf("a cloned file is %+v", n)
	}
	b.write(src, 2, 5000, 100)
	large := uint64(meta.ChunkBytes)
	for _, c := range []meta.Clone{
		{SrcOff: 4990, DstOff: 0, Len: 200},                    // three extents into one
		{SrcOff: 0, DstOff: large - 5050, Len: 10_000},         // over the end of a chunk
		{SrcOff: 9999, DstOff: 3 * large, Len: 1},              // behind a hole
		{Src: dst, SrcOff: large - 10, DstOff: 7, Len: 20_000}, // within a file, hole included
		{Src: dst, Dst: src, SrcOff: large / 2, DstOff: large / 4, Len: 2 * large},
		{Src: src, Dst: src, SrcOff: 0, DstOff: 10_000, Len: 10_000},
		{Src: dst, Dst: src, SrcOff: 0, DstOff: 0, Len: 3*large + 1},
	} {
		if c.Src == 0 {
			c.Src = src
		}
		if c.Dst == 0 {
			c.Dst = dst
		}
		b.do(c)
		if diff := b.p.compareAll(b.t); diff != "" {
			b.t.Fatalf("%+v: %s", c, diff)
		}
	}
	b.do(meta.SetAttr{Ino: dst, Set: meta.SetMode, Mode: 0o6777})
	if n := b.do(meta.Clone{Src: src, Dst: dst, Len: 1, ClearSetID: true}); n.Attr.Mode != meta.TypeFile|0o777 {
		b.t.Errorf("the mode is %o", n.Attr.Mode)
	}
	// What one lets go of stays with the other.
	b.truncate(src, 0)
	b.do(meta.Unlink{Parent: root, Name: "src"})
	b.purgeAll()
	if diff := b.p.compareAll(b.t); diff != "" {
		b.t.Fatal(diff)
	}
	b.do(meta.Clone{Src: dst, Dst: b.file(root, "far"), SrcOff: 0, DstOff: meta.MaxFileBytes - 100, Len: 100})
	b.do(meta.Unlink{Parent: root, Name: "dst"}) // orphans too
	b.do(meta.Clone{Src: dst, Dst: dst, DstOff: 5 * large, Len: 1000})
	b.purgeAll()
}

func testCloneRefused(b *table) {
	file, other, dir := b.file(root, "file"), b.file(root, "other"), b.dir(root, "dir")
	b.write(file, 1, 0, 1000)
	b.fail(syscall.ENOENT, meta.Clone{Src: 12345, Dst: other, Len: 1})
	b.fail(syscall.ENOENT, meta.Clone{Src: file, Dst: 12345, Len: 1})
	b.fail(syscall.EISDIR, meta.Clone{Src: dir, Dst: other, Len: 1})
	b.fail(syscall.EISDIR, meta.Clone{Src: file, Dst: dir, Len: 1})
	b.fail(syscall.EINVAL, meta.Clone{Src: file, Dst: b.symlink(root, "link", "t"), Len: 1})
	b.fail(syscall.EINVAL, meta.Clone{Src: file, Dst: other})
	b.fail(syscall.EINVAL, meta.Clone{Src: file, Dst: other, Len: 1001})
	b.fail(syscall.EINVAL, meta.Clone{Src: file, Dst: other, SrcOff: 1000, Len: 1})
	b.fail(syscall.EINVAL, meta.Clone{Src: file, Dst: other, SrcOff: 1 << 63, Len: 1})
	b.fail(syscall.EINVAL, meta.Clone{Src: file, Dst: file, DstOff: 999, Len: 1000})
	b.fail(syscall.EINVAL, meta.Clone{Src: file, Dst: file, SrcOff: 1, Len: 999})
	b.fail(syscall.EFBIG, meta.Clone{Src: file, Dst: other, DstOff: meta.MaxFileBytes - 999, Len: 1000})
	b.fail(syscall.EFBIG, meta.Clone{Src: file, Dst: other, DstOff: 1<<64 - 1, Len: 1000})
	b.truncate(file, meta.MaxFileBytes)
	b.fail(syscall.EINVAL, meta.Clone{Src: file, Dst: other, Len: meta.MaxCloneBytes + 1})
	b.do(meta.Clone{Src: file, Dst: other, Len: meta.MaxCloneBytes})
}

func testCompact(b *table) {
	file := b.file(root, "file")
	b.do(commitOf(file, apart(10, 0, 1)...))
	old := apart(10, 0, 1)
	whole := meta.Extent{Len: 19, Slice: 5, Size: 19}
	b.do(commitOf(file, meta.Extent{Pos: 4, Len: 3, Slice: 6, Size: 3}))
	b.fail(syscall.EAGAIN, meta.Compact{Ino: file, Old: old, New: []meta.Extent{whole}}) // written meanwhile
	_, lists, err := b.p.engine.Extents(b.t.Context(), file, 0, 1)
	if err != nil {
		b.t.Fatal(err)
	}
	before := b.attr(file)
	if n := b.do(meta.Compact{Ino: file, Old: lists[0].Extents, New: []meta.Extent{whole}}); n.Attr.Inline == nil || n.Attr.Mtime != before.Mtime || n.Attr.Ctime != before.Ctime {
		b.t.Errorf("a file that is whole again is %+v", n)
	}
	b.fail(syscall.EAGAIN, meta.Compact{Ino: file, Old: lists[0].Extents, New: []meta.Extent{whole}})
	// A part of a list, with a hole in it: the version stays.
	b.do(meta.Commit{Ino: file, Chunks: []meta.ChunkExtents{{Index: 2, Extents: apart(20, 100, 8)}}})
	before = b.attr(file)
	parts := []meta.Extent{{Pos: 100, Len: 3, Slice: 7, Size: 10}, {Pos: 104, Len: 5, Slice: 7, Size: 10, Off: 3}}
	if n := b.do(meta.Compact{Ino: file, Index: 2, Old: apart(20, 100, 8)[:5], New: parts}); n.Attr.Version != before.Version || n.Attr.Size != before.Size {
		b.t.Errorf("the file became %+v, was %+v", n.Attr, before)
	}
	b.do(meta.Compact{Ino: file, Old: []meta.Extent{whole}}) // all was zeros
	if diff := b.p.compareAll(b.t); diff != "" {
		b.t.Fatal(diff)
	}
	b.fail(syscall.ENOENT, meta.Compact{Ino: 12345, Old: old})
	b.fail(syscall.EISDIR, meta.Compact{Ino: root, Old: old})
	b.fail(syscall.EINVAL, meta.Compact{Ino: file, New: []meta.Extent{whole}})
	b.fail(syscall.EINVAL, meta.Compact{Ino: file, Old: old, New: []meta.Extent{{Len: 0, Slice: 5, Size: 1}}})
	b.fail(syscall.EINVAL, meta.Compact{Ino: file, Old: old, New: []meta.Extent{whole, whole}})
}

// testLimits goes to what one call may touch. The model has no such limits, so the engine
// is asked alone and its bytes are compared afterwards.
func testLimits(b *table) {
	// A file of many long lists is cut and purged in parts, from its end.
	file := b.file(root, "file")
	const chunks, each = 12, 1000
	for i := range uint32(chunks) {
		b.do(meta.Commit{Ino: file, Chunks: []meta.ChunkExtents{{Index: i, Extents: apart(each, 0, 1+uint64(i))}}})
	}
	for _, size := range []uint64{10*meta.ChunkBytes + 500, 500} {
		b.cutInParts(file, size)
	}
	if diff := b.p.compareAll(b.t); diff != "" {
		b.t.Fatal(diff)
	}
}

// cutInParts truncates a file as far as each call goes.
func (b *table) cutInParts(ino meta.Ino, size uint64) {
	b.t.Helper()
	cut := meta.SetAttr{Ino: ino, Set: meta.SetSize, Size: size}
	before := b.attr(ino).Size
	for {
		res, err := b.p.engine.Change(b.t.Context(), cut)
		if err != nil || res.Node.Attr.Size >= before && before != size {
			b.t.Fatalf("a cut to %d came from %d to %d: %v", size, before, res.Node.Attr.Size, err)
		}
		if before = res.Node.Attr.Size; before == size {
			break
		}
		// The model goes the same way.
		part := cut
		part.Size = before
		if _, err := b.p.model.Change(b.t.Context(), part); err != nil {
			b.t.Fatal(err)
		}
	}
	if _, err := b.p.model.Change(b.t.Context(), cut); err != nil {
		b.t.Fatal(err)
	}
	b.same("extents", ino, "", 0)
}
