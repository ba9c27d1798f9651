package vfs_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// BenchmarkRead reads 128 KiB at a time from a file of 32 MiB that is cached.
func BenchmarkRead(b *testing.B) {
	r := newRig(b, vfs.Options{})
	const size, n = 32 << 20, 128 << 10
	r.put("f", fill(1, size))
	f := r.open("f", syscall.O_RDONLY)
	for off := int64(0); off < size; off += n {
		spans, err := f.Read(b.Context(), off, n)
		r.ok(err)
		chunk.ReleaseAll(spans)
	}
	b.SetBytes(n)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		spans, err := f.Read(b.Context(), int64(i)*n%size, n)
		r.ok(err)
		chunk.ReleaseAll(spans)
	}
	r.closes(f)
}

// BenchmarkReadBuffered reads what is not committed.
func BenchmarkReadBuffered(b *testing.B) {
	r := newRig(b, vfs.Options{})
	const size, n = 4 << 20, 128 << 10
	f := r.create("f")
	r.write(f, fill(1, size), 0)
	b.SetBytes(n)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		spans, err := f.Read(b.Context(), int64(i)*n%size, n)
		r.ok(err)
		chunk.ReleaseAll(spans)
	}
	r.closes(f)
}

// BenchmarkWrite writes in order, cutting the file to nothing now and then.
func BenchmarkWrite(b *testing.B) {
	for _, n := range []int{4 << 10, 128 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			r := newRig(b, vfs.Options{})
			f := r.create("f")
			p := fill(1, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			off := int64(0)
			for b.Loop() {
				if _, err := f.Write(b.Context(), p, off); err != nil {
					b.Fatal(err)
				}
				if off += int64(n); off >= 64<<20 {
					_, err := r.fs.SetAttr(b.Context(), meta.SetAttr{Ino: f.Ino(), Set: meta.SetSize})
					r.ok(err)
					off = 0
				}
			}
			r.closes(f)
		})
	}
}

// BenchmarkLookup includes the model's own.
func BenchmarkLookup(b *testing.B) {
	r := newRig(b, vfs.Options{})
	r.put("f", fill(1, 10))
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := r.fs.Lookup(b.Context(), meta.RootIno, "f"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCreateWriteClose makes small files.
func BenchmarkCreateWriteClose(b *testing.B) {
	r := newRig(b, vfs.Options{})
	p := fill(1, 4096)
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			name := fmt.Sprint(next.Add(1))
			_, f, err := r.fs.Create(b.Context(), meta.Make{Parent: meta.RootIno, Name: name, Mode: 0o644}, syscall.O_RDWR)
			if err == nil {
				_, err = f.Write(b.Context(), p, 0)
			}
			if err == nil {
				err = f.Flush(b.Context())
			}
			if err != nil {
				b.Fatal(err)
			}
			f.Release()
		}
	})
}
