package vfstest

import (
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"syscall"
)

// testRandom compares random writes, cuts and reads with a slice of bytes.
func testRandom(b *box) {
	for _, seed := range b.seeds(3) {
		b.replay(seed)
		b.randomFile(seed, 0)
	}
}

// testRandomAtChunkBorder does so around the end of the first chunk.
func testRandomAtChunkBorder(b *box) {
	for _, seed := range b.seeds(2) {
		b.replay(seed)
		b.randomFile(seed, chunkBytes-500_000)
	}
}

// randomFile acts on the bytes of a file from base on; before it is a hole.
func (b *box) randomFile(seed uint64, base int64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	const room = 1 << 20
	var want []byte // from base on
	b.put("f", nil)
	b.ok(b.fs.Truncate(b.p("f"), base))
	handles := []File{b.open("f", os.O_RDWR), b.open("f", os.O_RDWR)}
	check := func(f File) {
		b.Helper()
		off := rng.IntN(room)
		got := make([]byte, rng.IntN(200_000)+1)
		n, _ := f.ReadAt(got, base+int64(off))
		end := min(off+len(got), len(want))
		b.same("read", got[:n], want[min(off, end):end])
	}
	for range b.target.Steps {
		i := rng.IntN(len(handles))
		f := handles[i]
		switch op := rng.IntN(20); {
		case op < 9: // mostly small writes, at times a large one
			n := rng.IntN(9000) + 1
			if op == 0 {
				n = rng.IntN(300_000) + 1
			}
			off := rng.IntN(room - n)
			p := noise(rng.Uint64(), n)
			b.write(f, p, base+int64(off))
			want = resized(want, max(len(want), off+n))
			copy(want[off:], p)
		case op < 11:
			size := rng.IntN(room)
			b.ok(f.Truncate(base + int64(size)))
			want = resized(want, size)
		case op == 11:
			b.ok(f.Sync())
		case op < 14:
			b.close(f)
			handles[i] = b.open("f", os.O_RDWR)
		default:
			check(f)
		}
	}
	for _, f := range handles {
		st, err := f.Stat()
		b.ok(err)
		if st.Size != base+int64(len(want)) {
			b.Fatalf("size is %d, want %d", st.Size, base+int64(len(want)))
		}
		b.close(f)
	}
	f := b.open("f", os.O_RDONLY)
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, base); len(want) > 0 {
		b.ok(err)
	}
	b.same("at the end", got, want)
	b.close(f)
	b.ok(b.fs.Unlink(b.p("f")))
}

// tree is what a directory tree should hold: path to content, nil for a directory.
type tree map[string][]byte

// testRandomTree compares random operations on names with a map.
func testRandomTree(b *box) {
	for _, seed := range b.seeds(2) {
		b.replay(seed)
		rng := rand.New(rand.NewPCG(seed, 2))
		want := tree{".": nil}
		for range b.target.Steps {
			b.randomName(rng, want)
		}
		b.compareTree(want)
		for _, p := range slices.Backward(want.sorted()) {
			switch {
			case p == ".":
			case want[p] == nil:
				b.ok(b.fs.Rmdir(b.p(p)))
			default:
				b.ok(b.fs.Unlink(b.p(p)))
			}
		}
	}
}

func (w tree) sorted() []string {
	var list []string
	for p := range w {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

func (w tree) children(dir string) []string {
	var list []string
	for p := range w {
		if p != "." && path.Dir(p) == dir {
			list = append(list, path.Base(p))
		}
	}
	slices.Sort(list)
	return list
}

// pick chooses a path: of dirs, files or new names in a directory.
func (w tree) pick(rng *rand.Rand, dirs bool) (string, bool) {
	var list []string
	for _, p := range w.sorted() {
		if (w[p] == nil) == dirs {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return "", false
	}
	return list[rng.IntN(len(list))], true
}

func (b *box) randomName(rng *rand.Rand, want tree) {
	dir, _ := want.pick(rng, true)
	fresh := path.Join(dir, string(rune('a'+rng.IntN(12))))
	_, taken := want[fresh]
	switch rng.IntN(7) {
	case 0, 1:
		data := noise(rng.Uint64(), rng.IntN(5000)+1)
		f, err := b.fs.Open(b.p(fresh), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if taken {
			b.fails(err, syscall.EEXIST)
			return
		}
		b.ok(err)
		b.write(f, data, 0)
		b.close(f)
		want[fresh] = data
	case 2:
		err := b.fs.Mkdir(b.p(fresh), 0o755)
		if taken {
			b.fails(err, syscall.EEXIST)
			return
		}
		b.ok(err)
		want[fresh] = nil
	case 3:
		if p, ok := want.pick(rng, false); ok {
			b.fails(b.fs.Rmdir(b.p(p)), syscall.ENOTDIR)
			b.ok(b.fs.Unlink(b.p(p)))
			delete(want, p)
		}
	case 4:
		b.randomRmdir(dir, want)
	case 5, 6:
		b.randomRename(rng, want, fresh)
	}
}

func (b *box) randomRmdir(dir string, want tree) {
	if dir == "." {
		return
	}
	err := b.fs.Rmdir(b.p(dir))
	if len(want.children(dir)) > 0 {
		b.fails(err, syscall.ENOTEMPTY)
		return
	}
	b.ok(err)
	delete(want, dir)
}

func (b *box) randomRename(rng *rand.Rand, want tree, to string) {
	from, ok := want.pick(rng, rng.IntN(2) == 0)
	if !ok || from == "." || from == to {
		return
	}
	err := b.fs.Rename(b.p(from), b.p(to), 0)
	old, taken := want[to]
	isDir := want[from] == nil
	switch {
	case isDir && len(to) > len(from) && to[:len(from)+1] == from+"/":
		b.fails(err, syscall.EINVAL)
		return
	case taken && isDir && old != nil:
		b.fails(err, syscall.ENOTDIR)
		return
	case taken && len(from) > len(to) && from[:len(to)+1] == to+"/":
		b.fails(err, syscall.ENOTEMPTY, syscall.EISDIR)
		return
	case taken && !isDir && old == nil:
		b.fails(err, syscall.EISDIR)
		return
	case taken && isDir && len(want.children(to)) > 0:
		b.fails(err, syscall.ENOTEMPTY)
		return
	}
	b.ok(err)
	moved := tree{}
	for p, data := range want {
		if p == from || len(p) > len(from) && p[:len(from)+1] == from+"/" {
			moved[to+p[len(from):]] = data
			delete(want, p)
		}
	}
	for p, data := range moved {
		want[p] = data
	}
}

func (b *box) compareTree(want tree) {
	b.Helper()
	for _, p := range want.sorted() {
		if want[p] != nil {
			b.same(p, b.get(p), want[p])
			continue
		}
		got := b.list(p)
		if !slices.Equal(got, want.children(p)) {
			b.Fatalf("directory %s: %q, want %q", p, got, want.children(p))
		}
	}
}
