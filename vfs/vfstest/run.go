package vfstest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Run runs the suite. Each test works in a directory of its own, so that one
// volume serves all.
func Run(t *testing.T, target Target) {
	if target.Entries == 0 {
		target.Entries = 3000
	}
	if target.Steps == 0 {
		target.Steps = 400
	}
	for _, test := range tests() {
		if target.Foreign && test.ours {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			b := &box{T: t, target: target, fs: target.FS, dir: strings.ReplaceAll(t.Name(), "/", "_")}
			b.ok(b.fs.Mkdir(b.dir, 0o777))
			b.ok(b.fs.Chmod(b.dir, 0o777))
			test.run(b)
		})
	}
}

// test is one test; ours says that it asks for more than Linux promises.
type test struct {
	name string
	run  func(b *box)
	ours bool
}

func tests() []test {
	return []test{
		{name: "WriteRead", run: testWriteRead},
		{name: "Overlap", run: testOverlap},
		{name: "Append", run: testAppend},
		{name: "Truncate", run: testTruncate},
		{name: "TruncateBuffered", run: testTruncateBuffered},
		{name: "Holes", run: testHoles},
		{name: "OpenFlags", run: testOpenFlags},
		{name: "TwoHandles", run: testTwoHandles},
		{name: "TooLarge", run: testTooLarge, ours: true},
		{name: "Chunks", run: testChunks},
		{name: "Unlinked", run: testUnlinked},
		{name: "Fallocate", run: testFallocate},
		{name: "FallocateTimes", run: testFallocateTimes},
		{name: "SeekData", run: testSeekData},
		{name: "CopyRange", run: testCopyRange},
		{name: "SparseCopy", run: testSparseCopy},
		{name: "Huge", run: testHuge, ours: true},
		{name: "RandomBytes", run: testRandomBytes},
		{name: "Random", run: testRandom},
		{name: "RandomAtChunkBorder", run: testRandomAtChunkBorder},
		{name: "ConcurrentWriters", run: testConcurrentWriters},
		{name: "ConcurrentAppends", run: testConcurrentAppends},
		{name: "ConcurrentCreates", run: testConcurrentCreates},
		{name: "Rename", run: testRename},
		{name: "RenameOverOpen", run: testRenameOverOpen},
		{name: "RenameFlags", run: testRenameFlags},
		{name: "RenameDirs", run: testRenameDirs},
		{name: "Links", run: testLinks},
		{name: "Symlinks", run: testSymlinks},
		{name: "Dirs", run: testDirs},
		{name: "Names", run: testNames},
		{name: "Mknod", run: testMknod},
		{name: "Chmod", run: testChmod},
		{name: "Chown", run: testChown},
		{name: "Times", run: testTimes},
		{name: "TimesOfBuffered", run: testTimesOfBuffered},
		{name: "Xattrs", run: testXattrs, ours: true},
		{name: "StatFS", run: testStatFS, ours: true},
		{name: "ReadDir", run: testReadDir},
		{name: "ReadDirLarge", run: testReadDirLarge},
		{name: "ReadDirWhileChanging", run: testReadDirWhileChanging},
		{name: "ReadDirSeek", run: testReadDirSeek},
		{name: "RemoveWhileReading", run: testRemoveWhileReading},
		{name: "RandomTree", run: testRandomTree},
		{name: "CloseToOpen", run: testCloseToOpen},
		{name: "CloseToOpenInterleaved", run: testCloseToOpenInterleaved},
		{name: "AppendsAcrossClients", run: testAppendsAcrossClients},
		{name: "NamesAcrossClients", run: testNamesAcrossClients},
		{name: "UnlinkedElsewhere", run: testUnlinkedElsewhere},
		{name: "Mmap", run: testMmap},
		{name: "MmapOfAppended", run: testMmapOfAppended},
		{name: "SetIDCleared", run: testSetIDCleared},
		{name: "SetIDClearedByRanges", run: testSetIDClearedByRanges, ours: true},
		{name: "Permissions", run: testPermissions},
	}
}

// box is one test's directory and what is handy in it.
type box struct {
	*testing.T
	target Target
	fs     FS
	dir    string
}

// p is the path of a name in the box.
func (b *box) p(name string) string { return b.dir + "/" + name }

// other is the same box through the other client.
func (b *box) other() *box {
	b.Helper()
	if b.target.Other == nil {
		b.Skip("there is no second client")
	}
	return &box{T: b.T, target: b.target, fs: b.target.Other, dir: b.dir}
}

func (b *box) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("unexpected error: %v", err)
	}
}

func (b *box) fails(err error, want ...syscall.Errno) {
	b.Helper()
	for _, errno := range want {
		if errors.Is(err, errno) {
			return
		}
	}
	b.Fatalf("error is %v, want %v", err, want)
}

func (b *box) open(name string, flags int) File {
	b.Helper()
	f, err := b.fs.Open(b.p(name), flags, 0o644)
	b.ok(err)
	return f
}

// create makes a new file and leaves it open for reading and writing.
func (b *box) create(name string) File {
	b.Helper()
	return b.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (b *box) write(f File, data []byte, off int64) {
	b.Helper()
	n, err := f.WriteAt(data, off)
	b.ok(err)
	if n != len(data) {
		b.Fatalf("wrote %d bytes of %d", n, len(data))
	}
}

func (b *box) close(f File) {
	b.Helper()
	b.ok(f.Close())
}

// put makes a file with content.
func (b *box) put(name string, data []byte) {
	b.Helper()
	f := b.open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if len(data) > 0 {
		b.write(f, data, 0)
	}
	b.close(f)
}

// all reads an open file to its end.
func (b *box) all(f File) []byte {
	b.Helper()
	var got []byte
	buf := make([]byte, 300_000)
	for {
		n, err := f.ReadAt(buf, int64(len(got)))
		got = append(got, buf[:n]...)
		if errors.Is(err, io.EOF) {
			return got
		}
		b.ok(err)
	}
}

func (b *box) get(name string) []byte {
	b.Helper()
	f := b.open(name, os.O_RDONLY)
	defer b.close(f)
	return b.all(f)
}

func (b *box) same(what string, got, want []byte) {
	b.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	b.Fatalf("%s: %d bytes, want %d; the first difference is at %d", what, len(got), len(want), at)
}

// holds checks what an open file holds and says of its size.
func (b *box) holds(f File, want []byte) {
	b.Helper()
	b.same("content", b.all(f), want)
	st, err := f.Stat()
	b.ok(err)
	if st.Size != int64(len(want)) {
		b.Fatalf("size is %d, want %d", st.Size, len(want))
	}
}

func (b *box) stat(name string) Stat {
	b.Helper()
	st, err := b.fs.Lstat(b.p(name))
	b.ok(err)
	return st
}

func (b *box) gone(name string) {
	b.Helper()
	_, err := b.fs.Lstat(b.p(name))
	b.fails(err, syscall.ENOENT)
}

// seeds gives the seeds of a random test: one from MIRRORFS_SEED, or n.
func (b *box) seeds(n int) []uint64 {
	b.Helper()
	if s := os.Getenv("MIRRORFS_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		b.ok(err)
		return []uint64{seed}
	}
	var list []uint64
	for range n {
		list = append(list, rand.Uint64())
	}
	return list
}

// replay names the command that runs a seed again when the test has failed.
func (b *box) replay(seed uint64) {
	b.Cleanup(func() {
		if b.Failed() {
			b.Logf("replay with: MIRRORFS_SEED=%d go test -run '^%s$'", seed, b.Name())
		}
	})
}

// noise is n random bytes of a seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(p) // never fails
	return p
}
