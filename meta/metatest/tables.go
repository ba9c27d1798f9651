package metatest

import (
	"syscall"
	"testing"

	"mirrorfs/meta"
)

// table is a pair with the words that the table tests are written in. Every
// change is also compared with the model.
type table struct {
	t *testing.T
	p *pair
}

func runTables(t *testing.T, cfg Config) {
	for name, run := range map[string]func(*table){
		"Make":          testMake,
		"MakeRefused":   testMakeRefused,
		"SetGID":        testSetGID,
		"Names":         testNames,
		"Link":          testLink,
		"MaxLinks":      testMaxLinks,
		"MaxDepth":      testMaxDepth,
		"Unlink":        testUnlink,
		"Rmdir":         testRmdir,
		"Rename":        testRename,
		"RenameMatrix":  testRenameMatrix,
		"RenameDirs":    testRenameDirs,
		"SetAttr":       testSetAttr,
		"ClearSetID":    testClearSetID,
		"Truncate":      testTruncate,
		"Commit":        testCommit,
		"CommitChunks":  testCommitChunks,
		"CommitRefused": testCommitRefused,
		"Append":        testAppend,
		"SharedSlices":  testSharedSlices,
		"Holes":         testHoles,
		"Clone":         testClone,
		"CloneRefused":  testCloneRefused,
		"Compact":       testCompact,
		"Limits":        testLimits,
		"Usage":         testUsage,
		"Xattrs":        testXattrs,
		"Reserve":       testReserve,
		"Reads":         testReads,
		"ReadDir":       testReadDir,
		"View":          testView,
		"Sessions":      testSessions,
		"OtherSessions": testOtherSessions,
		"Purge":         testPurge,
		"PurgeOpen":     testPurgeOpen,
		"Restore":       testRestore,
		"Overwritten":   testOverwritten,
		"Reclaim":       testReclaim,
		"OrphanOrder":   testOrphanOrder,
		"Settings":      testSettings,
		"ACLs":          testACLs,
		"ACLInherit":    testACLInherit,
		"XattrList":     testXattrList,
		"Capability":    testCapability,
		"HardLinks":     testHardLinks,
		"Quota":         testQuota,
		"QuotaChanged":  testQuotaChanged,
		"QuotaNested":   testQuotaNested,
		"QuotaVolume":   testQuotaVolume,
		"QuotaRename":   testQuotaRename,
		"QuotaLinks":    testQuotaLinks,
		"QuotaCounting": testQuotaCounting,
		"QuotaRemoved":  testQuotaRemoved,
		"Repair":        testRepair,
		"RepairRefused": testRepairRefused,
	} {
		t.Run(name, func(t *testing.T) {
			b := &table{t: t, p: newPair(t, cfg, nil)}
			run(b)
			if diff := b.p.compareAll(t); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// do makes a change that must succeed, and gives the inode that it was about.
func (b *table) do(c meta.Change) meta.Node {
	b.t.Helper()
	if diff := b.p.change(b.t.Context(), c); diff != "" {
		b.t.Fatalf("%#v: %s", c, diff)
	}
	if b.p.lastErr != nil {
		b.t.Fatalf("%#v: %v", c, b.p.lastErr)
	}
	return b.p.last.Node
}

// fail makes a change that must fail.
func (b *table) fail(want syscall.Errno, c meta.Change) {
	b.t.Helper()
	if diff := b.p.change(b.t.Context(), c); diff != "" {
		b.t.Fatalf("%#v: %s", c, diff)
	}
	if got := meta.Errno(b.p.lastErr); got != want {
		b.t.Errorf("%#v: got %v, want %v", c, b.p.lastErr, want)
	}
}

// same asks model and engine a question and gives the answer.
func (b *table) same(what string, ino meta.Ino, name string, n int) string {
	b.t.Helper()
	q := question{what: what, ino: ino, name: name, n: n}
	answer := q.answer(b.t.Context(), b.p.engine, ino)
	if diff := difference(q.answer(b.t.Context(), b.p.model, ino), answer); diff != "" {
		b.t.Errorf("%s %d %q %d: %s", what, ino, name, n, diff)
	}
	return answer
}

// asks makes a question that must fail.
func (b *table) refuses(want syscall.Errno, what string, ino meta.Ino, name string, n int) {
	b.t.Helper()
	if got := b.same(what, ino, name, n); got != "error "+want.Error() {
		b.t.Errorf("%s %d %q %d: got %s, want %v", what, ino, name, n, got, want)
	}
}

func (b *table) attr(ino meta.Ino) meta.Attr {
	b.t.Helper()
	b.same("getattr", ino, "", 0)
	n, err := b.p.engine.GetAttr(b.t.Context(), ino)
	if err != nil {
		b.t.Fatalf("getattr %d: %v", ino, err)
	}
	return n.Attr
}

func (b *table) file(parent meta.Ino, name string) meta.Ino {
	b.t.Helper()
	return b.do(meta.Make{Parent: parent, Name: name, Mode: meta.TypeFile | 0o644}).Ino
}

func (b *table) dir(parent meta.Ino, name string) meta.Ino {
	b.t.Helper()
	return b.do(meta.Make{Parent: parent, Name: name, Mode: meta.TypeDir | 0o755}).Ino
}

func (b *table) symlink(parent meta.Ino, name, target string) meta.Ino {
	b.t.Helper()
	return b.do(meta.Make{Parent: parent, Name: name, Mode: meta.TypeSymlink | 0o777, Target: target}).Ino
}

// write commits one extent of a whole new slice.
func (b *table) write(ino meta.Ino, slice uint64, pos, length uint32) meta.Node {
	b.t.Helper()
	return b.do(commitOf(ino, meta.Extent{Pos: pos, Len: length, Slice: slice, Home: 1, Size: length}))
}

func commitOf(ino meta.Ino, extents ...meta.Extent) meta.Commit {
	return meta.Commit{Ino: ino, Chunks: []meta.ChunkExtents{{Extents: extents}}}
}
