package vfs_test

import (
	"bytes"
	"math/rand/v2"
	"syscall"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

const pageBytes = 4096

// kernel is one client with a page cache such as Linux keeps: filled by reads and
// writes, dropped by an open that may not keep it.
type kernel struct {
	*rig
	pages map[int64][]byte
	files []*vfs.File
}

func (k *kernel) openFile() *vfs.File {
	f := k.open("f", syscall.O_RDWR)
	if !f.KeepCache() {
		clear(k.pages)
	}
	k.files = append(k.files, f)
	return f
}

// page reads a page through the cache.
func (k *kernel) page(f *vfs.File, n int64) []byte {
	if p := k.pages[n]; p != nil {
		return p
	}
	got, err := k.tryRead(f, n*pageBytes, pageBytes)
	k.ok(err)
	p := make([]byte, pageBytes)
	copy(p, got)
	k.pages[n] = p
	return p
}

func (k *kernel) writeFile(f *vfs.File, p []byte, off int64) {
	for done := 0; done < len(p); {
		at := off + int64(done)
		done += copy(k.page(f, at/pageBytes)[at%pageBytes:], p[done:])
	}
	k.write(f, p, off)
}

func (k *kernel) truncate(f *vfs.File, size int64) {
	_, err := k.fs.SetAttr(k.Context(), meta.SetAttr{Ino: f.Ino(), Set: meta.SetSize, Size: uint64(size)})
	k.ok(err)
	for n, p := range k.pages { // as truncate_setsize does
		if from := max(0, size-n*pageBytes); from < pageBytes {
			clear(p[from:])
		}
	}
}

// content is the file as a program would read it.
func (k *kernel) content(f *vfs.File) []byte {
	var all []byte
	for int64(len(all)) < f.Size() {
		all = append(all, k.page(f, int64(len(all))/pageBytes)...)
	}
	return all[:f.Size()]
}

// TestPagesAreNeverStale: two clients with page caches write one file in turn
// and interleaved. What a client without buffered data reads after an open is
// what was committed.
func TestPagesAreNeverStale(t *testing.T) {
	for _, seed := range seeds(t, 30) {
		replay(t, seed)
		rng := rand.New(rand.NewPCG(seed, 4))
		a := newRig(t, vfs.Options{})
		a.put("f", fill(1, 20_000))
		clients := []*kernel{{rig: a, pages: map[int64][]byte{}}, {rig: &rig{TB: t, model: a.model, store: a.store}, pages: map[int64][]byte{}}}
		clients[1].mount(vfs.Options{})
		judge := &rig{TB: t, model: a.model, store: a.store}
		judge.mount(vfs.Options{ReadOnly: true, CachedInodes: 1})
		kept := 0
		for range 150 {
			k := clients[rng.IntN(2)]
			if len(k.files) == 0 || rng.IntN(6) == 0 {
				f := k.openFile()
				if f.KeepCache() {
					kept++
				}
				if k.fs.Dirty() > 0 {
					continue
				}
				g := judge.open("f", syscall.O_RDONLY)
				want, err := judge.tryRead(g, 0, 1<<20)
				judge.ok(err)
				g.Release()
				if got := k.content(f); !bytes.Equal(got, want) {
					t.Fatalf("seed %d: a client reads %d bytes that are not the %d committed", seed, len(got), len(want))
				}
				continue
			}
			i := rng.IntN(len(k.files))
			f := k.files[i]
			switch rng.IntN(8) {
			case 0, 1, 2:
				k.writeFile(f, fill(byte(rng.Uint32()), rng.IntN(6000)+1), rng.Int64N(60_000))
			case 3:
				k.ok(f.Fsync(t.Context()))
			case 4:
				k.content(f)
			case 5:
				if rng.IntN(3) == 0 {
					k.truncate(f, rng.Int64N(2)*rng.Int64N(60_000))
				}
			default:
				k.closes(f)
				k.files = append(k.files[:i], k.files[i+1:]...)
			}
		}
		if kept == 0 {
			t.Fatalf("seed %d: no open kept the pages, which makes this test empty", seed)
		}
		for _, k := range clients {
			for _, f := range k.files {
				k.closes(f)
			}
		}
	}
}
