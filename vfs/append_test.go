package vfs_test

import (
	"bytes"
	"syscall"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// appends puts p at the end of a file.
func (r *rig) appends(f *vfs.File, p []byte) {
	r.Helper()
	if _, n, err := f.Append(r.Context(), p); err != nil || n != len(p) {
		r.Fatalf("appended %d bytes of %d: %v", n, len(p), err)
	}
}

// neighbour is another client with the file open for appends.
func (r *rig) neighbour(name string) (*rig, *vfs.File) {
	r.Helper()
	other := &rig{TB: r.TB, model: r.model, store: r.store}
	other.mount(vfs.Options{})
	return other, other.open(name, syscall.O_RDWR|syscall.O_APPEND)
}

// TestAppendInParts: appended data that is too much for one change is put at the end in
// parts, whatever comes between them: another client's appends, or a reply that is lost.
func TestAppendInParts(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		r := newRig(t, vfs.Options{})
		r.fs.LimitExtents(1)
		f := r.create("log")
		const first = chunk.Bytes - 5<<20 // three slices: to the end of the chunk, a chunk, the rest
		r.ok(f.Allocate(t.Context(), 0, first))
		other, g := r.neighbour("log")
		var parts [][]byte
		for i := range byte(71) {
			parts = append(parts, bytes.Repeat([]byte{i + 1}, 1<<20))
			r.appends(f, parts[i])
		}
		between := fill(200, 1000)
		commits := 0
		r.meter.hold = func(op string) {
			if commits++; op == "commit" && commits <= 2 {
				other.appends(g, between)
				other.ok(g.Fsync(t.Context()))
			}
		}
		r.meter.lose = func(op string) bool { return op == "commit" && lossy && commits == 2 }
		if err := f.Fsync(t.Context()); (err != nil) != lossy {
			t.Fatalf("fsync: %v", err)
		}
		r.ok(f.Fsync(t.Context()))
		if commits < 3 {
			t.Fatalf("%d commits: the test must make several", commits)
		}
		r.appends(f, []byte("end"))
		want := bytes.Join(append([][]byte{nil}, parts[:5]...), nil)
		want = append(want, between...)
		want = append(want, bytes.Join(parts[5:69], nil)...)
		want = append(want, between...)
		want = append(want, bytes.Join(parts[69:], nil)...)
		r.holdsAt(f, first, append(want, "end"...))
		r.closes(f)
		other.closes(g)
		_, g = r.neighbour("log")
		other.holdsAt(g, first, append(want, "end"...))
		other.closes(g)
	}
}

// holdsAt checks that a file ends with want, which begins at a place.
func (r *rig) holdsAt(f *vfs.File, at int64, want []byte) {
	r.Helper()
	if f.Size() != at+int64(len(want)) {
		r.Fatalf("the file has %d bytes, want %d", f.Size(), at+int64(len(want)))
	}
	for len(want) > 0 {
		n := min(len(want), 1<<20)
		got, err := r.tryRead(f, at, n)
		r.ok(err)
		if !bytes.Equal(got, want[:n]) {
			r.Fatalf("wrong bytes in the %d at %d", n, at)
		}
		at, want = at+int64(n), want[n:]
	}
}

// TestAppendToAFullList: an append that finds no room in the list of the last chunk is put
// behind what others appended meanwhile all the same.
func TestAppendToAFullList(t *testing.T) {
	r := newRig(t, vfs.Options{CompactExtents: -1})
	f := r.create("log")
	want := fill(1, 100)
	r.appends(f, want)
	r.ok(f.Fsync(t.Context()))
	other, g := r.neighbour("log")
	for round := range byte(5) {
		mine, theirs := fill(round, 300), fill(100+round, 500)
		r.appends(f, mine)
		other.appends(g, theirs)
		other.ok(g.Fsync(t.Context()))
		full := true
		r.meter.failWith(func(op string) error {
			if op == "commit" && full {
				full = false
				return &meta.Error{Op: op, Errno: syscall.E2BIG, Err: meta.ErrTooMuch}
			}
			return nil
		})
		r.ok(f.Fsync(t.Context()))
		want = append(append(want, theirs...), mine...)
		r.holds(f, want)
	}
	r.closes(f)
	other.closes(g)
	f = r.open("log", syscall.O_RDONLY)
	r.holds(f, want)
	r.closes(f)
}
