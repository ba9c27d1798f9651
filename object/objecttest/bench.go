package objecttest

import (
	"fmt"
	"io"
	"testing"

	"mirrorfs/object"
)

// Bench measures putting and getting a block, with allocations: run it with
// -benchmem. At any time at most a few objects exist.
func Bench(b *testing.B, s object.Store) {
	b.Helper()
	const keys = 8
	data := bytesOf(1, block)
	into := make([]byte, block)
	key := func(i int) string { return fmt.Sprintf("data/1/%02x/%d-0", i%keys, i%keys) }
	b.Run("Put4MiB", func(b *testing.B) {
		b.SetBytes(block)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := s.Put(b.Context(), key(i), data); err != nil {
				b.Fatal(err)
			}
		}
	})
	for i := range keys {
		if err := s.Put(b.Context(), key(i), data); err != nil {
			b.Fatal(err)
		}
	}
	get := func(name string, off, n int64) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r, err := s.Get(b.Context(), key(i), off, n)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(r, into[:n]); err != nil {
					b.Fatal(err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	get("Get4MiB", 0, block)
	get("Get4KiB", 1<<20, 4096)
	b.Run("Put4KiB", func(b *testing.B) {
		b.SetBytes(4096)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := s.Put(b.Context(), key(i), data[:4096]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
