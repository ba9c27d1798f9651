package vfstest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
)

// list gives the names of a directory, sorted, without dots; each must come once.
func (b *box) list(dir string) []string {
	b.Helper()
	d, err := b.fs.OpenDir(b.p(dir))
	b.ok(err)
	defer func() { b.ok(d.Close()) }()
	names := b.rest(d)
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return n == "." || n == ".." })
}

// rest reads a stream to its end.
func (b *box) rest(d Dir) []string {
	b.Helper()
	var names []string
	seen := map[string]bool{}
	for {
		name, _, err := d.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		b.ok(err)
		if seen[name] {
			b.Fatalf("%q comes twice", name)
		}
		seen[name] = true
		names = append(names, name)
	}
}

func (b *box) fill(n int) []string {
	b.Helper()
	var names []string
	for i := range n {
		name := fmt.Sprintf("n%06d", i)
		b.ok(b.fs.Mknod(b.p(name), syscall.S_IFREG|0o644, 0))
		names = append(names, name)
	}
	return names
}

func testReadDir(b *box) {
	d, err := b.fs.OpenDir(b.p("."))
	b.ok(err)
	if got := b.rest(d); !slices.Equal(sorted(got), []string{".", ".."}) {
		b.Fatalf("empty directory: %q", got)
	}
	want := b.fill(10)
	b.ok(d.SeekTo(0)) // rewinddir sees what is new
	if got := b.rest(d); !slices.Equal(sorted(got), append([]string{".", ".."}, want...)) {
		b.Fatalf("after rewinding: %q", got)
	}
	b.ok(d.Close())
	b.put("n000000", nil)
	_, err = b.fs.OpenDir(b.p("n000000"))
	b.fails(err, syscall.ENOTDIR)
	_, err = b.fs.OpenDir(b.p("none"))
	b.fails(err, syscall.ENOENT)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

func testReadDirLarge(b *box) {
	want := b.fill(b.target.Entries)
	if got := b.list("."); !slices.Equal(got, want) {
		b.Fatalf("%d names, want %d", len(got), len(want))
	}
	for _, name := range want {
		b.ok(b.fs.Unlink(b.p(name)))
	}
	if got := b.list("."); len(got) != 0 {
		b.Fatalf("%d names are left", len(got))
	}
}

// testReadDirWhileChanging: names that exist throughout come exactly once,
// whatever comes and goes around them.
func testReadDirWhileChanging(b *box) {
	stay := b.fill(b.target.Entries / 3)
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("n%06dx", (i*37)%len(stay))
			if err := b.fs.Mknod(b.p(name), syscall.S_IFREG|0o644, 0); err != nil {
				b.Errorf("make %s: %v", name, err)
				return
			}
			if err := b.fs.Rename(b.p(name), b.p("a"+name), 0); err != nil {
				b.Errorf("rename %s: %v", name, err)
				return
			}
			if err := b.fs.Unlink(b.p("a" + name)); err != nil {
				b.Errorf("unlink %s: %v", name, err)
				return
			}
		}
	})
	defer all.Wait()
	defer close(stop)
	for range 5 {
		d, err := b.fs.OpenDir(b.p("."))
		b.ok(err)
		got := slices.DeleteFunc(b.rest(d), func(n string) bool { return len(n) != len(stay[0]) })
		b.ok(d.Close())
		if !slices.Equal(sorted(got), stay) {
			b.Fatalf("%d names that exist throughout, want %d", len(got), len(stay))
		}
	}
}

// testReadDirSeek goes back to places told before, with changes between.
func testReadDirSeek(b *box) {
	want := b.fill(300)
	d, err := b.fs.OpenDir(b.p("."))
	b.ok(err)
	defer func() { b.ok(d.Close()) }()
	type place struct {
		name   string
		cookie int64
	}
	var places []place
	for {
		name, cookie, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		b.ok(err)
		places = append(places, place{name, cookie})
	}
	if len(places) != 302 {
		b.Fatalf("%d entries, want 302", len(places))
	}
	b.ok(b.fs.Unlink(b.p(want[100])))
	b.ok(b.fs.Unlink(b.p(want[200])))
	b.ok(b.fs.Mknod(b.p("n000150x"), syscall.S_IFREG|0o644, 0))
	for _, i := range []int{299, 250, 10, 150, 101, 100, 2, 3} {
		b.ok(d.SeekTo(places[i].cookie))
		var expect []string
		for _, p := range places[i+1:] {
			if p.name != want[100] && p.name != want[200] {
				expect = append(expect, p.name)
			}
		}
		got := slices.DeleteFunc(b.rest(d), func(n string) bool { return n == "n000150x" || n == want[100] || n == want[200] })
		if !slices.Equal(got, expect) {
			b.Fatalf("after seeking to %s: %d names, want %d", places[i].name, len(got), len(expect))
		}
	}
	b.ok(d.SeekTo(0))
	if got := b.rest(d); len(got) != 301 {
		b.Fatalf("after rewinding: %d names, want 301", len(got))
	}
}

// testRemoveWhileReading: what rm -r does. A removed name is not found again.
func testRemoveWhileReading(b *box) {
	b.fill(b.target.Entries / 3)
	d, err := b.fs.OpenDir(b.p("."))
	b.ok(err)
	defer func() { b.ok(d.Close()) }()
	for {
		name, _, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		b.ok(err)
		if name == "." || name == ".." {
			continue
		}
		b.ok(b.fs.Unlink(b.p(name)))
		b.gone(name)
	}
	if got := b.list("."); len(got) != 0 {
		b.Fatalf("%d names are left: %q ...", len(got), got[0])
	}
}
