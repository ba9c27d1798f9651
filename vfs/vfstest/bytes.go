package vfstest

import (
	"bytes"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// RunBytes runs the test of random operations on bytes alone: it is worth running with
// every setting of caches. MIRRORFS_OPS says how many steps, MIRRORFS_LONG takes many.
func RunBytes(t *testing.T, target Target) {
	if target.Steps == 0 {
		target.Steps = 400
	}
	if os.Getenv("MIRRORFS_LONG") != "" {
		target.Steps = 20_000
	}
	if n, err := strconv.Atoi(os.Getenv("MIRRORFS_OPS")); err == nil {
		target.Steps = n
	}
	b := &box{T: t, target: target, fs: target.FS, dir: "bytes"}
	b.ok(b.fs.Mkdir(b.dir, 0o777))
	testRandomBytes(b)
}

// testRandomBytes does to files whatever changes bytes, through several handles and, in
// turns, two clients, and compares all bytes with those of slices in memory after each step.
// One run begins near the end of a chunk.
func testRandomBytes(b *box) {
	for i, seed := range b.seeds(2) {
		b.replay(seed)
		r := &bytesRun{box: b, rng: rand.New(rand.NewPCG(seed, 5)), base: int64(seed%2) * (chunkBytes - 200_000)}
		b.Logf("run %d: seed %d, from %d on", i, seed, r.base)
		r.run()
	}
}

const (
	bytesFiles = 2
	bytesRoom  = 500_000
)

// bytesRun acts on a few files from base on; before it they are holes.
type bytesRun struct {
	*box
	rng  *rand.Rand
	base int64
	want [bytesFiles][]byte // from base on

	client  *box
	handles []bytesHandle
	log     []string // the last steps
}

type bytesHandle struct {
	file    int
	f       File
	appends bool
}

func (r *bytesRun) name(file int) string { return string(rune('A' + file)) }

func (r *bytesRun) run() {
	r.client = r.box
	for file := range bytesFiles {
		r.put(r.name(file), nil)
		r.ok(r.fs.Truncate(r.p(r.name(file)), r.base))
		r.want[file] = []byte{}
	}
	for range r.target.Steps {
		if len(r.handles) == 0 || r.rng.IntN(40) == 0 {
			r.turn()
		}
		what := r.step()
		r.log = append(r.log[max(0, len(r.log)-30):], what)
		r.compare()
		if r.Failed() {
			for _, line := range r.log {
				r.Log(line)
			}
			r.FailNow()
		}
	}
	r.closeAll()
	for file := range bytesFiles {
		r.ok(r.fs.Unlink(r.p(r.name(file))))
	}
}

// turn closes all and goes on with the other client, if there is one, and new handles.
func (r *bytesRun) turn() {
	r.closeAll()
	if r.target.Settle != nil {
		r.target.Settle()
	}
	if r.target.Other != nil && r.rng.IntN(2) == 0 {
		r.client = r.other()
	} else {
		r.client = r.box
	}
	for file := range bytesFiles {
		for range 1 + r.rng.IntN(2) {
			h := bytesHandle{file: file, appends: r.rng.IntN(4) == 0}
			flags := os.O_RDWR | r.target.Flags
			if h.appends {
				flags |= os.O_APPEND
			}
			h.f = r.client.open(r.name(file), flags)
			r.handles = append(r.handles, h)
		}
	}
	r.log = append(r.log, "a new turn")
}

func (r *bytesRun) closeAll() {
	for _, h := range r.handles {
		r.client.close(h.f)
	}
	r.handles = nil
}

// length is a number of bytes, mostly few.
func (r *bytesRun) length() int {
	switch r.rng.IntN(10) {
	case 0:
		return 1 + r.rng.IntN(250_000)
	case 1:
		return 4096 * (1 + r.rng.IntN(20))
	default:
		return 1 + r.rng.IntN(9000)
	}
}

func (r *bytesRun) off(n int) int {
	off := r.rng.IntN(bytesRoom - n)
	if r.rng.IntN(4) == 0 {
		off &^= 4095
	}
	return off
}

// lay puts bytes into what a file should hold.
func (r *bytesRun) lay(file, off int, p []byte) {
	r.grow(file, off+len(p))
	copy(r.want[file][off:], p)
}

// grow makes what a file should hold longer, if it is shorter than n.
func (r *bytesRun) grow(file, n int) {
	if more := n - len(r.want[file]); more > 0 {
		r.want[file] = append(r.want[file], make([]byte, more)...)
	}
}

// step does one thing and says what.
func (r *bytesRun) step() string {
	h := r.handles[r.rng.IntN(len(r.handles))]
	n := r.length()
	off := r.off(n)
	at := r.base + int64(off)
	switch op := r.rng.IntN(24); {
	case op < 8:
		p := noise(r.rng.Uint64(), n)
		if h.appends {
			off = len(r.want[h.file])
			if off+n > bytesRoom {
				return "nothing"
			}
		}
		r.write(h.f, p, at)
		r.lay(h.file, off, p)
		return r.say(h, "write", off, n)
	case op < 10:
		r.ok(h.f.Truncate(at))
		r.grow(h.file, off)
		r.want[h.file] = r.want[h.file][:off]
		return r.say(h, "truncate", off, 0)
	case op < 15:
		return r.fallocate(h, off, n)
	case op < 18:
		return r.copyRange(h, off, n)
	case op < 20:
		return r.mapped(h)
	case op < 22:
		r.ok(h.f.Sync())
		return r.say(h, "fsync", 0, 0)
	default:
		r.checkHoles(h)
		return r.say(h, "seek", 0, 0)
	}
}

func (r *bytesRun) say(h bytesHandle, what string, off, n int) string {
	return what + " " + r.name(h.file) + " at " + strconv.Itoa(off) + ", " + strconv.Itoa(n) + " bytes; it is " + strconv.Itoa(len(r.want[h.file])) + " long"
}

func (r *bytesRun) fallocate(h bytesHandle, off, n int) string {
	mode := []uint32{punch, punch, zeroKeep, zero, 0}[r.rng.IntN(5)]
	r.ok(h.f.Fallocate(mode, r.base+int64(off), int64(n)))
	w := r.want[h.file]
	if mode != 0 {
		clear(w[min(off, len(w)):min(off+n, len(w))])
	}
	if mode == 0 || mode == zero {
		r.grow(h.file, off+n)
	}
	return r.say(h, "fallocate "+strconv.Itoa(int(mode)), off, n)
}

// copyRange copies to another handle.
func (r *bytesRun) copyRange(h bytesHandle, off, n int) string {
	to := r.handles[r.rng.IntN(len(r.handles))]
	at := r.off(n)
	if to.appends || h.file == to.file && off < at+n && at < off+n {
		return "nothing"
	}
	w := r.want[h.file]
	data := append([]byte(nil), w[min(off, len(w)):min(off+n, len(w))]...)
	if h.file == to.file {
		n = len(data) // the copy may make its source longer
	}
	r.copyAll(h.f, r.base+int64(off), to.f, r.base+int64(at), int64(n))
	if len(data) > 0 {
		r.lay(to.file, at, data)
	}
	return r.say(h, "copy to "+r.name(to.file)+" at "+strconv.Itoa(at)+" from", off, n)
}

// mapped changes bytes through memory.
func (r *bytesRun) mapped(h bytesHandle) string {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil { // a page that could not be read
			r.Errorf("file %s, mapped: %v", r.name(h.file), fault)
		}
	}()
	f, ok := h.f.(*osFile)
	w := r.want[h.file]
	if !ok || r.target.Flags&unix.O_DIRECT != 0 || len(w) == 0 {
		return "nothing"
	}
	// As programs do, who map what fstat tells: mmap does not ask how long a file is, and
	// the kernel goes by what it was told last.
	st, err := h.f.Stat()
	r.ok(err)
	if st.Size != r.base+int64(len(w)) {
		r.Errorf("file %s is %d long before it is mapped, want %d", r.name(h.file), st.Size-r.base, len(w))
		return "nothing"
	}
	first := r.base &^ 4095
	m, err := unix.Mmap(f.fd, first, len(w)+int(r.base-first), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	r.ok(err)
	r.same("mapped content", m[r.base-first:], w)
	off := r.rng.IntN(len(w))
	p := noise(r.rng.Uint64(), min(1+r.rng.IntN(20_000), len(w)-off))
	copy(m[r.base-first+int64(off):], p)
	copy(w[off:], p)
	if r.rng.IntN(2) == 0 {
		r.ok(unix.Msync(m, unix.MS_SYNC))
	}
	r.ok(unix.Munmap(m))
	return r.say(h, "map", off, len(p))
}

// checkHoles goes through a file by data and holes: no hole may hide a byte.
func (r *bytesRun) checkHoles(h bytesHandle) {
	w := r.want[h.file]
	for at := 0; at < len(w); {
		hole, err := h.f.Seek(r.base+int64(at), unix.SEEK_HOLE)
		r.ok(err)
		end := int64(len(w)) + r.base
		if hole < end {
			if data, err := h.f.Seek(hole, unix.SEEK_DATA); err == nil {
				end = data
			} else {
				r.fails(err, unix.ENXIO)
			}
		}
		if gap := w[hole-r.base : end-r.base]; len(bytes.TrimLeft(gap, "\x00")) > 0 {
			r.Fatalf("file %s has a hole from %d to %d, but should have data", r.name(h.file), hole-r.base, end-r.base)
		}
		at = int(end - r.base)
	}
}

// compare reads all files through a handle each.
func (r *bytesRun) compare() {
	seen := [bytesFiles]bool{}
	for _, h := range r.handles {
		if seen[h.file] {
			continue
		}
		seen[h.file] = true
		w := r.want[h.file]
		got := make([]byte, len(w)+100)
		n, _ := h.f.ReadAt(got, r.base)
		st, err := h.f.Stat()
		r.ok(err)
		if st.Size != r.base+int64(len(w)) {
			r.Errorf("file %s is %d long, want %d", r.name(h.file), st.Size-r.base, len(w))
		}
		if !bytes.Equal(got[:n], w) {
			i := 0
			for i < n && i < len(w) && got[i] == w[i] {
				i++
			}
			j := min(n, len(w))
			for j > i && got[j-1] == w[j-1] {
				j--
			}
			again := make([]byte, len(w))
			_, _ = h.f.ReadAt(again, r.base)
			r.Errorf("file %s: %d bytes, want %d; they differ from %d to %d: %x, want %x; read again they are right: %v",
				r.name(h.file), n, len(w), i, j, got[i:min(i+8, n)], w[i:min(i+8, len(w))], bytes.Equal(again, w))
		}
	}
}
