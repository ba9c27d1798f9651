package metatest

import (
	"syscall"

	"mirrorfs/meta"
)

// row gives an inode's row as an effect.
func (b *table) row(ino meta.Ino) meta.Effect {
	b.t.Helper()
	n, err := b.p.engine.GetAttr(b.t.Context(), ino)
	if err != nil {
		b.t.Fatal(err)
	}
	return meta.Effect{Kind: meta.EffectInode, Ino: ino, Attr: n.Attr}
}

// testRepair writes each kind of row that fsck mends, away from what is right and back.
func testRepair(b *table) {
	file, dir := b.file(root, "file"), b.dir(root, "dir")
	b.do(meta.Commit{Ino: file, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{{Len: 10, Slice: 7, Size: 10}}}}})
	was, wasRoot := b.row(file), b.row(root)
	wrong := was
	wrong.Attr.Nlink = 9
	b.do(meta.Repair{Expect: []meta.Effect{was}, Effects: []meta.Effect{wrong}})
	if n := b.row(file); n.Attr.Nlink != 9 {
		b.t.Errorf("a repair left %d links", n.Attr.Nlink)
	}
	b.fail(syscall.EAGAIN, meta.Repair{Expect: []meta.Effect{was}, Effects: []meta.Effect{wrong}})
	b.do(meta.Repair{Expect: []meta.Effect{wrong}, Effects: []meta.Effect{was}})

	entry := meta.Effect{Kind: meta.EffectEntry, Parent: root, Name: "file", Type: meta.TypeFile, Ino: file}
	gone := meta.Effect{Kind: meta.EffectEntryGone, Parent: root, Name: "file"}
	b.do(meta.Repair{Expect: []meta.Effect{entry, wasRoot}, Effects: []meta.Effect{gone}})
	b.fail(syscall.EAGAIN, meta.Repair{Expect: []meta.Effect{entry}, Bytes: 1})
	b.do(meta.Repair{Expect: []meta.Effect{gone}, Effects: []meta.Effect{wasRoot, entry}})
	b.fail(syscall.EAGAIN, meta.Repair{Expect: []meta.Effect{gone}, Bytes: 1})

	refs := func(n uint32) meta.Effect {
		return meta.Effect{Kind: meta.EffectRefs, Slice: meta.Slice{ID: 7}, Count: n}
	}
	b.do(meta.Repair{Expect: []meta.Effect{refs(0)}, Effects: []meta.Effect{refs(3)}})
	b.fail(syscall.EAGAIN, meta.Repair{Expect: []meta.Effect{refs(0)}, Effects: []meta.Effect{refs(4)}})
	b.do(meta.Repair{Expect: []meta.Effect{refs(3)}, Effects: []meta.Effect{refs(0)}})

	orphan := meta.Effect{Kind: meta.EffectOrphan, Time: 5, Ino: dir, Parent: root, Name: "dir"}
	noOrphan := orphan
	noOrphan.Kind = meta.EffectOrphanGone
	b.do(meta.Repair{Expect: []meta.Effect{noOrphan}, Effects: []meta.Effect{orphan}})
	b.fail(syscall.EAGAIN, meta.Repair{Expect: []meta.Effect{noOrphan}, Bytes: 1})
	b.do(meta.Repair{Expect: []meta.Effect{orphan}, Effects: []meta.Effect{noOrphan}})

	b.do(meta.SetQuota{Dir: dir, Limit: meta.Usage{Bytes: 1 << 20}})
	quota := meta.Effect{Kind: meta.EffectQuota, Quota: meta.Quota{Dir: dir, Limit: meta.Usage{Bytes: 1 << 20}}}
	more := quota
	more.Quota.Used.Bytes = 4096
	b.do(meta.Repair{Expect: []meta.Effect{quota}, Effects: []meta.Effect{more}})
	b.fail(syscall.EAGAIN, meta.Repair{Expect: []meta.Effect{quota}, Bytes: 1})
	b.do(meta.Repair{Expect: []meta.Effect{more}, Effects: []meta.Effect{quota}})

	slice := meta.Slice{ID: 40, Home: 1, Size: 5}
	known := meta.Effect{Kind: meta.EffectSliceWritten, Slice: meta.Slice{ID: 7}}
	b.do(meta.Repair{Expect: []meta.Effect{known}, Free: []meta.Slice{slice}})
	seq := b.p.last.Position.Seq
	freed := meta.Effect{Kind: meta.EffectFreed, Seq: seq, Time: b.p.clock.now().UnixMilli(), Slices: []meta.Slice{slice}}
	b.do(meta.Repair{Effects: []meta.Effect{{Kind: meta.EffectFreedGone, Seq: seq, Time: freed.Time}}})
	b.fail(syscall.EAGAIN, meta.Repair{Expect: []meta.Effect{freed}, Bytes: 1})
	b.fail(syscall.EAGAIN, meta.Repair{Expect: []meta.Effect{{Kind: meta.EffectInodeGone, Ino: file}}, Bytes: 1})
	b.do(meta.Repair{Expect: []meta.Effect{{Kind: meta.EffectInodeGone, Ino: 12345}}, Bytes: 4096, Inodes: 2})
	b.do(meta.Repair{Bytes: -4096, Inodes: -2})
}

func testRepairRefused(b *table) {
	b.fail(syscall.EINVAL, meta.Repair{})
	b.fail(syscall.EINVAL, meta.Repair{Bytes: -1 << 40})
	b.fail(syscall.EAGAIN, meta.Repair{NextIno: 1, NextSlice: 1}) // they are further
	b.fail(syscall.EINVAL, meta.Repair{Effects: []meta.Effect{{Kind: meta.EffectReply}}})
	b.fail(syscall.EINVAL, meta.Repair{Expect: []meta.Effect{{Kind: meta.EffectSession}}, Bytes: 1})
	b.fail(syscall.EINVAL, meta.Repair{Effects: []meta.Effect{{Kind: meta.EffectEntryGone, Parent: root, Name: "a"}}})
	b.fail(syscall.EINVAL, meta.Repair{Effects: []meta.Effect{
		{Kind: meta.EffectRefs, Slice: meta.Slice{ID: 1}}, b.row(root),
	}})
	b.fail(syscall.E2BIG, meta.Repair{Free: make([]meta.Slice, meta.MaxRepairEffects+1)})
	b.do(meta.Repair{NextIno: 100, NextSlice: 200})
	if made := b.file(root, "file"); made != 100 {
		b.t.Errorf("the inode after the next was raised is %d", made)
	}
}
