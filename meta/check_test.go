package meta_test

import (
	"strings"
	"syscall"
	"testing"

	"mirrorfs/meta"
)

func TestCheckName(t *testing.T) {
	for name, want := range map[string]syscall.Errno{
		"a": 0, "...": 0, " ": 0, "\x01": 0, "\xff\xfe": 0, "-1": 0, "Straße": 0, strings.Repeat("n", 255): 0,
		"": syscall.EINVAL, ".": syscall.EINVAL, "..": syscall.EINVAL, "a/b": syscall.EINVAL, "/": syscall.EINVAL,
		"a\x00": syscall.EINVAL, strings.Repeat("n", 256): syscall.ENAMETOOLONG, strings.Repeat("/", 256): syscall.ENAMETOOLONG,
	} {
		if got := meta.CheckName(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	commit := func(index uint32, e meta.Extent) meta.Commit {
		return meta.Commit{Ino: 2, Chunks: []meta.ChunkExtents{{Index: index, Extents: []meta.Extent{e}}}}
	}
	good := meta.Extent{Pos: meta.ChunkBytes - 1, Len: 1, Slice: 1, Size: 8, Off: 7}
	for _, c := range []struct {
		what   string
		change meta.Change
		want   syscall.Errno
	}{
		{"make without a type", meta.Make{Parent: 1, Name: "a", Mode: 0o644}, syscall.EINVAL},
		{"make of every type", meta.Make{Parent: 1, Name: "a", Mode: meta.TypeSocket}, 0},
		{"empty target", meta.Make{Parent: 1, Name: "a", Mode: meta.TypeSymlink}, syscall.ENOENT},
		{"long target", meta.Make{Parent: 1, Name: "a", Mode: meta.TypeSymlink, Target: strings.Repeat("t", 4096)}, syscall.ENAMETOOLONG},
		{"longest target", meta.Make{Parent: 1, Name: "a", Mode: meta.TypeSymlink, Target: strings.Repeat("t", 4095)}, 0},
		{"size past the limit", meta.SetAttr{Ino: 2, Set: meta.SetSize, Size: meta.MaxFileBytes + 1}, syscall.EFBIG},
		{"largest size", meta.SetAttr{Ino: 2, Set: meta.SetSize, Size: meta.MaxFileBytes}, 0},
		{"unknown attribute", meta.SetAttr{Ino: 2, Set: meta.SetAccessed << 1}, syscall.EINVAL},
		{"both flags", meta.Rename{OldName: "a", NewName: "b", Flags: meta.RenameNoReplace | meta.RenameExchange}, syscall.EINVAL},
		{"unknown flag", meta.Rename{OldName: "a", NewName: "b", Flags: 4}, syscall.EINVAL},
		{"rename of ..", meta.Rename{OldName: "..", NewName: "b"}, syscall.EINVAL},
		{"rename to .", meta.Rename{OldName: "a", NewName: "."}, syscall.EINVAL},
		{"unlink of .", meta.Unlink{Name: "."}, syscall.EINVAL},
		{"rmdir of ..", meta.Rmdir{Name: ".."}, syscall.EINVAL},
		{"link to a path", meta.Link{Name: "a/b"}, syscall.EINVAL},
		{"xattr without a name", meta.SetXattr{}, syscall.ERANGE},
		{"xattr's long name", meta.RemoveXattr{Name: strings.Repeat("x", 256)}, syscall.ERANGE},
		{"xattr's zero byte", meta.SetXattr{Name: "user.\x00"}, syscall.EINVAL},
		{"xattr's large value", meta.SetXattr{Name: "user.x", Value: make([]byte, meta.MaxXattrValueBytes+1)}, syscall.E2BIG},
		{"xattr's unknown mode", meta.SetXattr{Name: "user.x", Mode: 3}, syscall.EINVAL},
		{"no slices", meta.Reserve{}, syscall.EINVAL},
		{"commit of nothing", meta.Commit{Ino: 2}, syscall.EINVAL},
		{"commit of an empty chunk", meta.Commit{Ino: 2, Chunks: []meta.ChunkExtents{{}}}, syscall.EINVAL},
		{"commit at the end of the largest file", commit(1<<20-1, good), 0},
		{"commit past it", commit(1<<20, good), syscall.EFBIG},
		{"extent of nothing", commit(0, meta.Extent{Slice: 1, Size: 8}), syscall.EINVAL},
		{"extent past its chunk", commit(0, meta.Extent{Pos: meta.ChunkBytes - 1, Len: 2, Slice: 1, Size: 8}), syscall.EINVAL},
		{"extent past its slice", commit(0, meta.Extent{Len: 2, Slice: 1, Size: 8, Off: 7}), syscall.EINVAL},
		{"extent that overflows", commit(0, meta.Extent{Len: 2, Slice: 1, Size: 8, Off: 1<<32 - 1}), syscall.EINVAL},
		{"extent of a giant slice", commit(0, meta.Extent{Len: 2, Slice: 1, Size: meta.ChunkBytes + 1}), syscall.EINVAL},
		{"extent of an impossible slice", commit(0, meta.Extent{Len: 1, Slice: 1 << 48, Size: 1}), syscall.EINVAL},
		{"hole", commit(0, meta.Extent{Len: 1}), 0},
		{"hole with an offset", commit(0, meta.Extent{Len: 1, Off: 1}), syscall.EINVAL},
		{"chunks out of order", meta.Commit{Chunks: []meta.ChunkExtents{{Index: 1, Extents: []meta.Extent{good}}, {Index: 1, Extents: []meta.Extent{good}}}}, syscall.EINVAL},
		{"too many extents", meta.Commit{Chunks: []meta.ChunkExtents{{Extents: manyExtents(meta.MaxCommitExtents + 1)}}}, syscall.EINVAL},
		{"as many extents as may be", meta.Commit{Chunks: []meta.ChunkExtents{{Extents: manyExtents(meta.MaxCommitExtents)}}}, 0},
		{"nothing", nil, syscall.ENOSYS},
	} {
		if got := meta.Check(c.change); got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
}

func manyExtents(n int) []meta.Extent {
	extents := make([]meta.Extent, n)
	for i := range extents {
		extents[i] = meta.Extent{Pos: uint32(i), Len: 1}
	}
	return extents
}
