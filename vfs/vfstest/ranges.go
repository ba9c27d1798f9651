package vfstest

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	punch    = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	zero     = unix.FALLOC_FL_ZERO_RANGE
	zeroKeep = unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
)

// testFallocate takes bytes away and makes files longer, with data buffered and
// committed, before and after.
func testFallocate(b *box) {
	for _, synced := range []bool{false, true} {
		want := noise(1, 300_000)
		f := b.create("f")
		b.write(f, want, 0)
		step := func(mode uint32, off, n int) {
			b.Helper()
			if synced {
				b.ok(f.Sync())
			}
			b.ok(f.Fallocate(mode, int64(off), int64(n)))
			if end := off + n; end > len(want) && (mode == 0 || mode == zero) {
				want = resized(want, end)
			}
			if mode != 0 && mode != unix.FALLOC_FL_KEEP_SIZE {
				clear(want[min(off, len(want)):min(off+n, len(want))])
			}
			b.holds(f, want)
		}
		step(punch, 10_000, 50_000)
		b.write(f, noise(2, 100), 30_000) // over the hole
		copy(want[30_000:], noise(2, 100))
		b.holds(f, want)
		step(punch, 30_050, 10)
		step(zeroKeep, 290_000, 100_000)
		step(punch, 500_000, 10)
		step(zero, 299_000, 10_000)
		step(0, 100, 1000)
		step(0, 320_000, 80_000)
		step(unix.FALLOC_FL_KEEP_SIZE, 0, 10<<20)
		step(punch, 0, 10<<20)
		b.write(f, want[:10], 399_995)
		want = resized(want, 400_005)
		copy(want[399_995:], want[:10])
		b.close(f)
		b.same("after close", b.get("f"), want)
		b.ok(b.fs.Unlink(b.p("f")))
	}
	f := b.create("g")
	defer b.close(f)
	b.fails(f.Fallocate(punch, -1, 10), syscall.EINVAL)
	b.fails(f.Fallocate(punch, 0, 0), syscall.EINVAL)
	b.fails(f.Fallocate(0, math.MaxInt64-10, 5), syscall.EFBIG, syscall.ENOSPC)
	r := b.open("g", os.O_RDONLY)
	defer b.close(r)
	b.fails(r.Fallocate(0, 0, 10), syscall.EBADF)
}

// testFallocateTimes: what changes bytes changes the time of the file.
func testFallocateTimes(b *box) {
	for name, change := range map[string]func(f File) error{
		"punch": func(f File) error { return f.Fallocate(punch, 0, 10) },
		"grow":  func(f File) error { return f.Fallocate(0, 0, 1000) },
		"copy": func(f File) error {
			_, err := f.CopyTo(0, f, 50, 10)
			return err
		},
	} {
		b.put(name, noise(1, 100))
		b.ok(b.fs.Utimes(b.p(name), time.Unix(1000, 0), time.Unix(1000, 0)))
		f := b.open(name, os.O_RDWR)
		b.ok(change(f))
		b.close(f)
		if st := b.stat(name); st.Mtime.Unix() <= 1000 {
			b.Errorf("%s left mtime at %v", name, st.Mtime)
		}
	}
}

// testSeekData finds what was written between what was not.
func testSeekData(b *box) {
	f := b.create("f")
	const mib = 1 << 20
	seek := func(off int64, whence int, want int64) {
		b.Helper()
		got, err := f.Seek(off, whence)
		if want < 0 {
			b.fails(err, syscall.ENXIO)
			return
		}
		b.ok(err)
		if got != want {
			b.Fatalf("seek %d from %d gives %d, want %d", whence, off, got, want)
		}
	}
	seek(0, unix.SEEK_DATA, -1)
	seek(0, unix.SEEK_HOLE, -1)
	b.write(f, noise(1, mib), 3*mib)
	b.ok(f.Truncate(10 * mib))
	for _, sync := range []bool{false, true} {
		if sync {
			b.ok(f.Sync())
		}
		seek(0, unix.SEEK_DATA, 3*mib)
		seek(3*mib+5, unix.SEEK_DATA, 3*mib+5)
		seek(4*mib, unix.SEEK_DATA, -1)
		seek(0, unix.SEEK_HOLE, 0)
		seek(3*mib+5, unix.SEEK_HOLE, 4*mib)
		seek(7*mib, unix.SEEK_HOLE, 7*mib)
		seek(10*mib, unix.SEEK_HOLE, -1)
		seek(11*mib, unix.SEEK_DATA, -1)
	}
	b.write(f, noise(1, mib), 9*mib)
	seek(4*mib, unix.SEEK_DATA, 9*mib)
	seek(9*mib, unix.SEEK_HOLE, 10*mib) // the end
	b.ok(f.Fallocate(punch, 0, 5*mib))
	seek(0, unix.SEEK_DATA, 9*mib)
	b.close(f)
}

// testCopyRange copies between files and within one, buffered data included.
func testCopyRange(b *box) {
	src, dst := b.create("src"), b.create("dst")
	from, to := noise(1, 700_000), noise(2, 200_000)
	b.write(src, from, 0)
	b.write(dst, to, 0)
	step := func(f File, off int, t File, at, n int) {
		b.Helper()
		in, out := &from, &to
		if f == dst {
			in = &to
		}
		if t == src {
			out = &from
		}
		b.copyAll(f, int64(off), t, int64(at), int64(n))
		n = min(n, max(0, len(*in)-off))
		data := append([]byte(nil), (*in)[min(off, len(*in)):min(off, len(*in))+n]...)
		if n > 0 {
			*out = resized(*out, max(len(*out), at+n))
			copy((*out)[at:], data)
		}
		b.holds(src, from)
		b.holds(dst, to)
	}
	step(src, 0, dst, 100, 50_000)
	step(src, 12_345, dst, 150_001, 300_000)
	step(dst, 0, dst, 500_000, 100_000)
	b.write(src, noise(3, 1000), 20_000)
	copy(from[20_000:], noise(3, 1000))
	step(src, 19_000, dst, 0, 3000)
	b.write(dst, noise(4, 1000), 500)
	copy(to[500:], noise(4, 1000))
	step(dst, 0, src, 690_000, 20_000)
	step(src, len(from)-10, dst, 7, 1000) // up to its end
	step(src, len(from)+10, dst, 7, 1000) // behind it
	b.ok(src.Fallocate(punch, 0, 100_000))
	clear(from[:100_000])
	step(src, 50_000, dst, 1000, 100_000) // a hole is a hole
	_, err := src.CopyTo(0, src, 10, 100)
	b.fails(err, syscall.EINVAL)
	b.close(src)
	b.close(dst)
	b.same("source", b.get("src"), from)
	b.same("target", b.get("dst"), to)
	r := b.open("src", os.O_RDONLY)
	_, err = r.CopyTo(0, r, 1<<30, 1)
	b.fails(err, syscall.EBADF)
	b.close(r)
	b.ok(b.fs.Unlink(b.p("src"))) // the other keeps what it shares
	b.same("target without source", b.get("dst"), to)
}

// copyAll copies as often as it takes.
func (b *box) copyAll(f File, off int64, to File, at, n int64) {
	b.Helper()
	for n > 0 {
		k, err := f.CopyTo(off, to, at, n)
		b.ok(err)
		if k == 0 {
			return
		}
		off, at, n = off+k, at+k, n-k
	}
}

// testHuge has files that are mostly holes, up to the largest there can be.
func testHuge(b *box) {
	const huge = 8 << 40
	f := b.create("f")
	tail := []byte("at the end")
	b.write(f, tail, huge-int64(len(tail)))
	b.write(f, []byte("middle"), huge/2)
	check := func(off int64, want []byte) {
		b.Helper()
		got := make([]byte, len(want))
		if n, err := f.ReadAt(got, off); n < len(want) && !errors.Is(err, io.EOF) {
			b.ok(err)
		}
		b.same("content", got, want)
	}
	for round := range 2 {
		check(huge-int64(len(tail)), tail)
		check(huge/2-3, []byte("\x00\x00\x00middle\x00\x00"))
		check(huge/4, make([]byte, 100_000))
		if at, err := f.Seek(0, unix.SEEK_DATA); err != nil || at < huge/2-chunkBytes || at > huge/2 {
			b.Fatalf("the first data is at %d, %v", at, err)
		}
		if st, err := f.Stat(); err != nil || st.Size != huge {
			b.Fatalf("size %d, %v", st.Size, err)
		}
		if round == 0 {
			b.ok(f.Sync())
		}
	}
	b.ok(f.Fallocate(punch, huge/4, huge/2))
	check(huge/2-3, make([]byte, 12))
	b.ok(f.Truncate(huge / 3))
	b.ok(f.Truncate(huge))
	check(huge-int64(len(tail)), make([]byte, len(tail)))
	_, err := f.Seek(0, unix.SEEK_DATA)
	b.fails(err, syscall.ENXIO)
	b.ok(f.Fallocate(0, 0, huge+1))
	b.close(f)
	if st := b.stat("f"); st.Size != huge+1 {
		b.Fatalf("size %d", st.Size)
	}
	b.ok(b.fs.Truncate(b.p("f"), 0))
	b.same("cut", b.get("f"), nil)
}

// testSparseCopy copies a sparse file by its data only, as programs do.
func testSparseCopy(b *box) {
	f := b.create("f")
	want := make([]byte, 3*chunkBytes)
	for i, off := range []int{5 << 20, chunkBytes - 1000, 2*chunkBytes + 77} {
		p := noise(uint64(i), 50_000)
		b.write(f, p, int64(off))
		copy(want[off:], p)
	}
	b.ok(f.Truncate(int64(len(want))))
	g := b.create("g")
	b.ok(g.Truncate(int64(len(want))))
	copied := 0
	for at := int64(0); ; {
		data, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, syscall.ENXIO) {
			break
		}
		b.ok(err)
		hole, err := f.Seek(data, unix.SEEK_HOLE)
		b.ok(err)
		p := make([]byte, hole-data)
		if n, err := f.ReadAt(p, data); n < len(p) {
			b.Fatalf("read %d of %d bytes: %v", n, len(p), err)
		}
		b.write(g, p, data)
		copied += len(p)
		at = hole
	}
	if copied > 1<<20 {
		b.Fatalf("%d bytes count as data", copied)
	}
	b.close(f)
	b.close(g)
	if !bytes.Equal(b.get("g"), want) {
		b.Fatal("the copy differs")
	}
}
