package vfs_test

import (
	"strings"
	"syscall"
	"testing"

	"mirrorfs/object"
	"mirrorfs/vfs"
)

// TestTakenSliceNumber: a number that a Redis gave out before it lost its last changes has data
// in the bucket. The program that is given it again does not notice.
func TestTakenSliceNumber(t *testing.T) {
	r := newRig(t, vfs.Options{})
	taken := 0
	r.store.failWith(func(key string) error {
		if taken < 3 && strings.HasSuffix(key, "-0") {
			taken++
			return object.ErrExist
		}
		return nil
	})
	f := r.create("f")
	want := fill(1, 5<<20)
	for off := 0; off < len(want); off += 1 << 19 {
		r.write(f, want[off:off+1<<19], int64(off))
	}
	r.holds(f, want)
	r.ok(f.Fsync(t.Context()))
	r.holds(f, want)
	r.closes(f)
	if taken != 3 {
		t.Fatalf("%d numbers were taken", taken)
	}
	r.mount(vfs.Options{}) // with nothing cached
	f = r.open("f", syscall.O_RDONLY)
	r.holds(f, want)
	r.closes(f)
}
