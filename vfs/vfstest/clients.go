package vfstest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// testCloseToOpen: what one client closed, the other sees at its next open.
func testCloseToOpen(b *box) {
	o := b.other()
	for round := range 6 {
		w, r := b, o
		if round%2 == 1 {
			w, r = o, b
		}
		want := noise(uint64(round), 100_000+round)
		w.put("f", want)
		r.same("content", r.get("f"), want)
		f := w.open("f", os.O_WRONLY)
		w.write(f, []byte("patch"), int64(1000*round))
		copy(want[1000*round:], "patch")
		w.close(f)
		r.same("patched", r.get("f"), want)
		w.same("patched, own", w.get("f"), want)
		a := r.open("f", os.O_WRONLY|os.O_APPEND)
		r.write(a, []byte("tail"), 0)
		r.close(a)
		w.same("appended", w.get("f"), append(slices.Clone(want), "tail"...))
	}
}

// testCloseToOpenInterleaved: two clients write different parts of one file
// while both have it open; after both closed, everyone sees both.
func testCloseToOpenInterleaved(b *box) {
	o := b.other()
	want := noise(1, 200_000)
	b.put("f", want)
	b.same("before", b.get("f"), want)
	o.same("before", o.get("f"), want)
	for round := range 8 {
		x, y := b.open("f", os.O_RDWR), o.open("f", os.O_RDWR)
		p, q := noise(uint64(round), 5000), noise(uint64(round+100), 5000)
		at := 20_000 * round
		b.write(x, p, int64(at))
		b.ok(x.Sync())
		o.write(y, q, int64(at+7000))
		o.ok(y.Sync())
		b.write(x, p[:10], int64(at+6000))
		b.close(x)
		o.close(y)
		copy(want[at:], p)
		copy(want[at+7000:], q)
		copy(want[at+6000:], p[:10])
		b.same("one client", b.get("f"), want)
		o.same("the other", o.get("f"), want)
	}
}

func testNamesAcrossClients(b *box) {
	o := b.other()
	b.ok(b.fs.Mkdir(b.p("d"), 0o755))
	o.put("d/x", []byte("x"))
	b.same("made elsewhere", b.get("d/x"), []byte("x"))
	b.ok(b.fs.Rename(b.p("d/x"), b.p("d/y"), 0))
	o.same("renamed elsewhere", o.get("d/y"), []byte("x"))
	if got := o.list("d"); !slices.Equal(got, []string{"y"}) {
		b.Fatalf("the other client lists %q", got)
	}
}

// testUnlinkedElsewhere: a file that another client removed stays with who has
// it open.
func testUnlinkedElsewhere(b *box) {
	o := b.other()
	want := noise(1, 50_000)
	b.put("f", want)
	f := b.open("f", os.O_RDWR)
	o.ok(o.fs.Unlink(o.p("f")))
	b.same("content", b.all(f), want)
	b.write(f, []byte("more"), 0)
	copy(want, "more")
	b.ok(f.Sync())
	b.same("after a write", b.all(f), want)
	b.close(f)
	o.gone("f")
}

// testAppendsAcrossClients: two clients append to one file at the same time, each through two
// handles. No record is lost, doubled or torn, and those of one handle stay in order.
func testAppendsAcrossClients(b *box) {
	o := b.other()
	b.put("log", []byte("begin\n"))
	const records = 60
	var all sync.WaitGroup
	for i := range 4 {
		w := []*box{b, o}[i%2]
		all.Go(func() {
			f, err := w.fs.Open(w.p("log"), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				b.Error(err)
				return
			}
			for n := range records {
				if _, err := f.WriteAt(appendRecord(i, n), 0); err != nil {
					b.Error(err)
				}
				if n%(7+i) == 0 {
					if err := f.Sync(); err != nil {
						b.Error(err)
					}
				}
			}
			if err := f.Close(); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	for _, who := range []*box{b, o} {
		var next [4]int
		for line := range strings.Lines(string(who.get("log"))) {
			if line == "begin\n" {
				continue
			}
			var i, n int
			if _, err := fmt.Sscanf(line, "record %d of %d", &n, &i); err != nil || line != string(appendRecord(i, n)) || n != next[i] {
				b.Fatalf("after %v records there is %.60q", next, line)
			}
			next[i]++
		}
		if next != [4]int{records, records, records, records} {
			b.Fatalf("of %d records of each %v are there", records, next)
		}
	}
}

// appendRecord is a line of some hundred bytes.
func appendRecord(i, n int) []byte {
	return []byte(fmt.Sprintf("record %d of %d %s\n", n, i, strings.Repeat("x", 10+37*(i+n)%400)))
}
