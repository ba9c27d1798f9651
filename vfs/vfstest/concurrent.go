package vfstest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// testConcurrentWriters: each writes its own stripes of one file, small and
// large, with an fsync now and then, while others do.
func testConcurrentWriters(b *box) {
	const writers, stripes, stripe = 8, 12, 40_000
	b.put("f", nil)
	want := noise(5, writers*stripes*stripe)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			f, err := b.fs.Open(b.p("f"), os.O_RDWR, 0)
			if err != nil {
				b.Errorf("open: %v", err)
				return
			}
			for s := range stripes {
				off := (s*writers + w) * stripe
				for part := 0; part < stripe; part += 10_000 {
					if _, err := f.WriteAt(want[off+part:off+part+10_000], int64(off+part)); err != nil {
						b.Errorf("write: %v", err)
					}
				}
				if (s+w)%5 == 0 {
					err = errors.Join(err, f.Sync())
				}
				got := make([]byte, stripe)
				if _, err := f.ReadAt(got, int64(off)); err != nil || string(got) != string(want[off:off+stripe]) {
					b.Errorf("writer %d does not see its stripe %d: %v", w, s, err)
				}
			}
			if err := errors.Join(err, f.Close()); err != nil {
				b.Errorf("close: %v", err)
			}
		})
	}
	all.Wait()
	if !b.Failed() {
		b.same("content", b.get("f"), want)
	}
}

// testConcurrentAppends: no append overwrites another of the same client.
func testConcurrentAppends(b *box) {
	const writers, lines = 6, 60
	b.put("log", nil)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			f, err := b.fs.Open(b.p("log"), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				b.Errorf("open: %v", err)
				return
			}
			for i := range lines {
				if _, err := f.WriteAt(fmt.Appendf(nil, "%03d-%05d\n", w, i), 0); err != nil {
					b.Errorf("write: %v", err)
				}
			}
			if err := f.Close(); err != nil {
				b.Errorf("close: %v", err)
			}
		})
	}
	all.Wait()
	got := b.get("log")
	if len(got) != writers*lines*10 {
		b.Fatalf("%d bytes, want %d", len(got), writers*lines*10)
	}
	next := map[string]int{}
	for ; len(got) > 0; got = got[10:] {
		w := string(got[:3])
		if line := fmt.Sprintf("%s-%05d\n", w, next[w]); string(got[:10]) != line {
			b.Fatalf("line %q, want %q", got[:10], line)
		}
		next[w]++
	}
}

// testConcurrentCreates: of those who make one name, exactly one succeeds.
func testConcurrentCreates(b *box) {
	const makers, names = 6, 30
	var made [names]int
	var mu sync.Mutex
	var all sync.WaitGroup
	for m := range makers {
		all.Go(func() {
			for i := range names {
				name := fmt.Sprintf("n%d", i)
				f, err := b.fs.Open(b.p(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
				if errors.Is(err, syscall.EEXIST) {
					continue
				}
				if err == nil {
					_, err = f.WriteAt([]byte{byte(m)}, 0)
					err = errors.Join(err, f.Close())
				}
				if err != nil {
					b.Errorf("make %s: %v", name, err)
				}
				mu.Lock()
				made[i]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for i, n := range made {
		if n != 1 {
			b.Fatalf("name %d was made %d times", i, n)
		}
		if got := b.get(fmt.Sprintf("n%d", i)); len(got) != 1 {
			b.Fatalf("name %d holds %d bytes", i, len(got))
		}
	}
}
