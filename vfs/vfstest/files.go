package vfstest

import (
	"bytes"
	"io"
	"os"
	"slices"
	"syscall"
)

const chunkBytes = 64 << 20

func testWriteRead(b *box) {
	for i, size := range []int{0, 1, 4095, 4096, 4097, 1 << 20, 5<<20 + 17} {
		name := string(rune('a' + i))
		want := noise(uint64(i), size)
		b.put(name, want)
		b.same("content", b.get(name), want)
		if st := b.stat(name); st.Size != int64(size) || st.Mode != syscall.S_IFREG|0o644 || st.Nlink != 1 {
			b.Fatalf("stat of %d bytes: %+v", size, st)
		}
	}
	f := b.open("e", os.O_RDONLY)
	defer b.close(f)
	buf := make([]byte, 10)
	if n, err := f.ReadAt(buf, 4097); n != 0 || err != io.EOF { //nolint:errorlint // File.ReadAt gives io.EOF itself
		b.Fatalf("read at the end: %d, %v", n, err)
	}
	if n, _ := f.ReadAt(buf, 4090); n != 7 {
		b.Fatalf("read across the end: %d bytes, want 7", n)
	}
}

func testOverlap(b *box) {
	want := noise(1, 1<<20)
	b.put("f", want)
	f := b.open("f", os.O_RDWR)
	for i, w := range []struct{ off, n int }{{0, 10}, {1000, 5000}, {3000, 100}, {500, 1000}, {1 << 19, 1 << 18}, {1<<20 - 5, 10}, {0, 1 << 16}} {
		p := noise(uint64(100+i), w.n)
		b.write(f, p, int64(w.off))
		if grow := w.off + w.n - len(want); grow > 0 {
			want = append(want, make([]byte, grow)...)
		}
		copy(want[w.off:], p)
		b.holds(f, want)
		if i == 3 {
			b.ok(f.Sync())
			b.holds(f, want)
		}
	}
	b.close(f)
	b.same("after close", b.get("f"), want)
}

func testAppend(b *box) {
	var want []byte
	b.put("f", nil)
	for i := range 4 {
		f := b.open("f", os.O_RDWR|os.O_APPEND)
		for j := range 20 {
			p := noise(uint64(i*100+j), 100+j)
			b.write(f, p, 0) // the offset does not count
			want = append(want, p...)
		}
		b.holds(f, want)
		b.close(f)
	}
	b.same("content", b.get("f"), want)
}

func testTruncate(b *box) {
	want := noise(2, 300_000)
	b.put("f", want)
	for _, size := range []int{200_000, 100, 0, 5000, 250_000, 249_999} {
		b.ok(b.fs.Truncate(b.p("f"), int64(size)))
		want = resized(want, size)
		b.same("content", b.get("f"), want)
		if st := b.stat("f"); st.Size != int64(size) {
			b.Fatalf("size is %d, want %d", st.Size, size)
		}
	}
	b.fails(b.fs.Truncate(b.p("nothing"), 0), syscall.ENOENT)
	b.ok(b.fs.Mkdir(b.p("d"), 0o755))
	b.fails(b.fs.Truncate(b.p("d"), 0), syscall.EISDIR)
}

func resized(p []byte, size int) []byte {
	if size <= len(p) {
		return slices.Clone(p[:size])
	}
	return append(slices.Clone(p), make([]byte, size-len(p))...)
}

// testTruncateBuffered cuts and grows files whose data is not committed.
func testTruncateBuffered(b *box) {
	f := b.create("f")
	want := noise(3, 100_000)
	b.write(f, want, 0)
	for i, size := range []int{60_000, 10, 80_000, 0, 30_000} {
		b.ok(f.Truncate(int64(size)))
		want = resized(want, size)
		b.holds(f, want)
		p := noise(uint64(i), 5000)
		b.write(f, p, 20_000)
		want = resized(want, max(len(want), 25_000))
		copy(want[20_000:], p)
		b.holds(f, want)
		if i%2 == 1 {
			b.ok(f.Sync())
		}
	}
	b.close(f)
	b.same("after close", b.get("f"), want)
	g := b.create("g") // cut to nothing and closed
	b.write(g, want, 0)
	b.ok(g.Truncate(0))
	b.close(g)
	b.same("cut to nothing", b.get("g"), nil)
	h := b.create("h") // grown by truncation only
	b.write(h, want[:100], 0)
	b.ok(h.Truncate(1 << 20))
	b.close(h)
	b.same("grown", b.get("h"), resized(want[:100], 1<<20))
}

func testHoles(b *box) {
	f := b.create("f")
	b.write(f, []byte("end"), 1<<20)
	b.write(f, []byte("middle"), 500_000)
	want := make([]byte, 1<<20+3)
	copy(want[500_000:], "middle")
	copy(want[1<<20:], "end")
	b.holds(f, want)
	b.close(f)
	b.same("after close", b.get("f"), want)
	b.ok(b.fs.Truncate(b.p("f"), 500_003))
	b.ok(b.fs.Truncate(b.p("f"), 600_000))
	want = resized(resized(want, 500_003), 600_000)
	b.same("cut and grown", b.get("f"), want)
}

func testOpenFlags(b *box) {
	b.put("f", []byte("content"))
	_, err := b.fs.Open(b.p("f"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	b.fails(err, syscall.EEXIST)
	_, err = b.fs.Open(b.p("none"), os.O_RDWR, 0)
	b.fails(err, syscall.ENOENT)
	b.ok(b.fs.Mkdir(b.p("d"), 0o755))
	_, err = b.fs.Open(b.p("d"), os.O_RDWR, 0)
	b.fails(err, syscall.EISDIR)
	b.close(b.open("f", os.O_RDWR|os.O_CREATE))
	b.same("opened with O_CREAT", b.get("f"), []byte("content"))
	r := b.open("f", os.O_RDONLY)
	_, err = r.WriteAt([]byte("x"), 0)
	b.fails(err, syscall.EBADF)
	w := b.open("f", os.O_WRONLY|os.O_TRUNC)
	_, err = w.ReadAt(make([]byte, 1), 0)
	b.fails(err, syscall.EBADF)
	b.holds(r, nil)
	b.write(w, []byte("new"), 0)
	b.holds(r, []byte("new"))
	b.close(r)
	b.close(w)
}

// testTwoHandles: what one handle wrote, every other sees at once.
func testTwoHandles(b *box) {
	w := b.create("f")
	r := b.open("f", os.O_RDONLY)
	x := b.open("f", os.O_RDWR)
	var want []byte
	for i := range 50 {
		p := noise(uint64(i), 3000)
		b.write([]File{w, x}[i%2], p, int64(len(want)))
		want = append(want, p...)
		b.holds(r, want)
		switch i % 10 {
		case 3:
			b.ok(w.Sync())
		case 6:
			b.ok(x.Sync())
		}
	}
	b.close(w)
	b.holds(r, want)
	b.write(x, []byte("last"), 0)
	copy(want, "last")
	b.holds(r, want)
	b.close(x)
	b.holds(r, want)
	b.close(r)
}

func testTooLarge(b *box) {
	f := b.create("f")
	defer b.close(f)
	_, err := f.WriteAt([]byte("x"), 64<<40)
	b.fails(err, syscall.EFBIG)
	b.fails(f.Truncate(64<<40+1), syscall.EFBIG, syscall.EINVAL)
	b.write(f, []byte("x"), 64<<40-1)
	if st, err := f.Stat(); err != nil || st.Size != 64<<40 {
		b.Fatalf("size %d, %v", st.Size, err)
	}
	b.ok(f.Truncate(10))
	b.holds(f, make([]byte, 10))
}

// testChunks writes a file of several chunks in order, and reads it back.
func testChunks(b *box) {
	want := noise(7, 2*chunkBytes+12345)
	f := b.create("f")
	for off := 0; off < len(want); off += 1 << 20 {
		b.write(f, want[off:min(off+1<<20, len(want))], int64(off))
	}
	mid := make([]byte, 1000)
	_, err := f.ReadAt(mid, chunkBytes-500)
	b.ok(err)
	b.same("across the border, buffered", mid, want[chunkBytes-500:chunkBytes+500])
	b.close(f)
	b.same("content", b.get("f"), want)
	g := b.open("f", os.O_RDWR)
	b.write(g, bytes.Repeat([]byte("z"), 2000), chunkBytes-1000)
	copy(want[chunkBytes-1000:], bytes.Repeat([]byte("z"), 2000))
	b.close(g)
	b.same("overwritten across the border", b.get("f"), want)
}

// testUnlinked works on files without a name.
func testUnlinked(b *box) {
	old := noise(1, 10_000)
	b.put("old", old)
	f := b.open("old", os.O_RDWR)
	n := b.create("new")
	b.ok(b.fs.Unlink(b.p("old")))
	b.ok(b.fs.Unlink(b.p("new")))
	b.gone("old")
	b.gone("new")
	b.holds(f, old)
	for i, file := range []File{f, n} {
		p := noise(uint64(i), 50_000)
		b.write(file, p, 0)
		b.holds(file, p)
		b.ok(file.Sync())
		b.holds(file, p)
		b.write(file, []byte("more"), 50_000)
		b.ok(file.Truncate(50_002))
		b.holds(file, append(p, "mo"...))
		st, err := file.Stat()
		b.ok(err)
		if st.Nlink != 0 {
			b.Fatalf("%d links, want none", st.Nlink)
		}
		b.close(file)
	}
	b.put("old", []byte("another")) // the name is free
	b.same("new file of the same name", b.get("old"), []byte("another"))
}
