package metatest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"mirrorfs/meta"
)

func testReads(b *table) {
	dir := b.dir(root, "dir")
	sub := b.dir(dir, "sub")
	file := b.file(sub, "file")
	link := b.symlink(root, "link", "dir/sub")
	b.symlink(root, "\xff", strings.Repeat("t", meta.MaxTargetBytes))
	for _, q := range []question{
		{what: "lookup", ino: sub, name: "file"},
		{what: "lookup", ino: sub, name: "."},
		{what: "lookup", ino: sub, name: ".."},
		{what: "lookup", ino: root, name: ".."},
		{what: "getattr", ino: root},
		{what: "getattr", ino: link},
		{what: "readlink", ino: link},
		{what: "resolve", ino: root, name: ""},
		{what: "resolve", ino: root, name: "/"},
		{what: "resolve", ino: root, name: "/dir/sub/file"},
		{what: "resolve", ino: root, name: "dir//sub/./../sub/"},
		{what: "resolve", ino: sub, name: "../../../dir"},
		{what: "resolve", ino: root, name: "dir/nothing/file"},
		{what: "resolve", ino: root, name: "link/file"},
		{what: "resolve", ino: root, name: "dir/sub/file/x"},
		{what: "resolve", ino: 12345, name: "x"},
		{what: "resolve", ino: file, name: "x"},
		{what: "resolve", ino: root, name: "dir/" + strings.Repeat("n", 256)},
		{what: "resolve", ino: root, name: strings.Repeat("dir/../", 100) + "dir"},
		{what: "statfs"},
	} {
		b.same(q.what, q.ino, q.name, q.n)
	}
	b.refuses(syscall.ENOENT, "lookup", 12345, "a", 0)
	b.refuses(syscall.ENOTDIR, "lookup", file, "a", 0)
	b.refuses(syscall.ENOTDIR, "lookup", file, "..", 0)
	b.refuses(syscall.ENOENT, "lookup", root, "nothing", 0)
	b.refuses(syscall.ENAMETOOLONG, "lookup", root, strings.Repeat("n", 256), 0)
	b.refuses(syscall.ENOENT, "getattr", 12345, "", 0)
	b.refuses(syscall.ENOENT, "getattr", 0, "", 0)
	b.refuses(syscall.ENOENT, "getattr", meta.MaxIno, "", 0)
	b.refuses(syscall.EINVAL, "readlink", file, "", 0)
	b.refuses(syscall.EINVAL, "readlink", dir, "", 0)
	b.refuses(syscall.ENOENT, "readlink", 12345, "", 0)
	b.refuses(syscall.ENOENT, "listxattr", 12345, "", 0)
}

// testReadDir fills a directory past several pages in an order that is neither
// that of names nor random, reads it from everywhere with many limits, and
// empties it in another order.
func testReadDir(b *table) {
	const n = 700
	dir := b.dir(root, "dir")
	name := func(i int) string { return fmt.Sprintf("%c%d", 'a'+i%5, i*7919%n) }
	for i := range n {
		b.file(dir, name(i))
	}
	for _, after := range []string{"", "\x01", "a", "b30", "b300", "b3\xff", "c699", "e", "e99", "zzz", strings.Repeat("b", 300)} {
		for _, limit := range []int{1, 2, 63, 127, 128, 129, 300, 4096, 100_000} {
			b.same("readdir", dir, after, limit)
		}
	}
	b.refuses(syscall.ENOENT, "readdir", 12345, "", 10)
	b.refuses(syscall.ENOTDIR, "readdir", b.file(root, "file"), "", 10)
	b.refuses(syscall.EINVAL, "readdir", dir, "", 0)
	b.refuses(syscall.EINVAL, "readdir", dir, "", -1)
	for i := range n {
		b.same("lookup", dir, name(i), 0)
		b.do(meta.Unlink{Parent: dir, Name: name(n - 1 - i*3%n)})
		if i%50 == 0 {
			b.same("readdir", dir, "", 4096)
		}
	}
	b.same("readdir", dir, "", 10)
	b.do(meta.Rmdir{Parent: root, Name: "dir"})
	dir = b.dir(root, "dir")
	for i := range 300 { // in order: pages fill up one after the other
		b.file(dir, fmt.Sprintf("%05d", i))
	}
	b.same("readdir", dir, "00100", 150)
}

func testView(b *table) {
	ctx := b.t.Context()
	b.file(root, "a")
	at := b.p.last.Position
	var seen []meta.Position
	view := b.p.engine.View(meta.ViewOptions{AtLeast: at, Observe: func(p meta.Position) { seen = append(seen, p) }})
	reads := map[string]func(r meta.Reader) error{
		"lookup":    func(r meta.Reader) error { _, err := r.Lookup(ctx, root, "a"); return err },
		"missing":   func(r meta.Reader) error { _, err := r.Lookup(ctx, root, "b"); return err },
		"getattr":   func(r meta.Reader) error { _, err := r.GetAttr(ctx, root); return err },
		"resolve":   func(r meta.Reader) error { _, err := r.Resolve(ctx, root, "a"); return err },
		"readdir":   func(r meta.Reader) error { _, err := r.ReadDir(ctx, root, "", 10); return err },
		"readlink":  func(r meta.Reader) error { _, err := r.ReadLink(ctx, root); return err },
		"extents":   func(r meta.Reader) error { _, _, err := r.Extents(ctx, root, 0, 1); return err },
		"getxattr":  func(r meta.Reader) error { _, err := r.GetXattr(ctx, root, "user.a"); return err },
		"listxattr": func(r meta.Reader) error { _, err := r.ListXattr(ctx, root); return err },
		"quotas":    func(r meta.Reader) error { _, err := r.Quotas(ctx); return err },
		"quotas at": func(r meta.Reader) error { _, err := r.QuotasAt(ctx, root); return err },
		"statfs":    func(r meta.Reader) error { _, err := r.StatFS(ctx); return err },
	}
	for name, read := range reads {
		seen = nil
		err := read(view)
		if plain := read(b.p.engine); meta.Errno(err) != meta.Errno(plain) {
			b.t.Errorf("%s: a view of %v, which is reached, gave %v; without one: %v", name, at, err, plain)
		}
		if len(seen) != 1 || seen[0] != at {
			b.t.Errorf("%s: observed %v, want %v once", name, seen, at)
		}
	}
	later := at
	later.Seq++
	behind := b.p.engine.View(meta.ViewOptions{AtLeast: later})
	for name, read := range reads {
		if err := read(behind); !errors.Is(err, meta.ErrBehind) || !errors.Is(err, syscall.EAGAIN) {
			b.t.Errorf("%s: a view of what has not happened gave %v", name, err)
		}
	}
	b.file(root, "b")
	if err := reads["lookup"](behind); err != nil {
		b.t.Errorf("a view of what has happened gave %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.p.engine.GetAttr(cancelled, root); err == nil {
		b.t.Error("a read went on after its context was cancelled")
	}
}
