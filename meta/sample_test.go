package meta_test

import (
	"encoding/binary"

	"mirrorfs/meta"
)

// sampleAttrs has one inode of each form that an inode value can take.
func sampleAttrs() map[string]meta.Attr {
	times := func(a meta.Attr) meta.Attr {
		a.UID, a.GID = 1000, 1<<32-1
		a.Atime, a.Mtime, a.Ctime = -1, 1_700_000_000_123_456_789, 1<<62
		a.Parent = meta.MaxIno
		return a
	}
	inline := &meta.Extent{Len: 4097, Slice: meta.MaxSlice, Home: 255, Size: meta.ChunkBytes, Off: 7}
	return map[string]meta.Attr{
		"empty file":  times(meta.Attr{Mode: meta.TypeFile | 0o7777, Nlink: meta.MaxLinks, Version: meta.MaxSlice << 1}),
		"inline file": times(meta.Attr{Mode: meta.TypeFile | 0o644, Nlink: 1, Size: 4097, Inline: inline, Version: meta.MaxSlice<<27&(1<<64-1) | 7<<1 | 1}),
		"large file":  times(meta.Attr{Mode: meta.TypeFile | 0o600, Nlink: 2, Size: meta.MaxFileBytes, HasChunks: true, HasXattrs: true, Spread: true, Version: 42 << 1}),
		"orphan":      times(meta.Attr{Mode: meta.TypeFile | 0o600}),
		"directory":   times(meta.Attr{Mode: meta.TypeDir | 0o1777, Nlink: 2, Size: 3}),
		"removed":     times(meta.Attr{Mode: meta.TypeDir | 0o700, HasXattrs: true}),
		"directories": times(meta.Attr{Mode: meta.TypeDir | 0o755, Nlink: 1<<32 - 1, HasXattrs: true}),
		"symlink":     times(meta.Attr{Mode: meta.TypeSymlink | 0o777, Nlink: 1, Size: 4095}),
		"fifo":        times(meta.Attr{Mode: meta.TypeFifo | 0o600, Nlink: 1}),
		"socket":      times(meta.Attr{Mode: meta.TypeSocket | 0o600, Nlink: 1}),
		"char device": times(meta.Attr{Mode: meta.TypeChar | 0o600, Nlink: 1, Rdev: 1<<32 - 1}),
		"disk":        times(meta.Attr{Mode: meta.TypeBlock | 0o600, Nlink: 1, Rdev: 8}),
	}
}

// sampleEffects has one effect of every kind, with the extreme values of its fields.
func sampleEffects() []meta.Effect {
	long := string(make([]byte, 255))
	list := meta.AppendExtents(nil, []meta.Extent{{Pos: 1, Len: 2, Slice: 3, Home: 4, Size: 5, Off: 6}})
	slice := meta.Slice{ID: meta.MaxSlice, Home: 255, Size: meta.ChunkBytes}
	return []meta.Effect{
		{Kind: meta.EffectInode, Ino: meta.MaxIno, Attr: sampleAttrs()["inline file"]},
		{Kind: meta.EffectInodeGone, Ino: 2},
		{Kind: meta.EffectEntry, Parent: 1, Name: long, Type: meta.TypeFile, Ino: 3},
		{Kind: meta.EffectEntryGone, Parent: 1, Name: "\x00\xff/"},
		{Kind: meta.EffectChunk, Ino: 3, Index: 1<<32 - 1, Keep: 23, Value: list},
		{Kind: meta.EffectChunkGone, Ino: 3, Index: 1},
		{Kind: meta.EffectTarget, Ino: 4, Value: []byte("../x")},
		{Kind: meta.EffectTargetGone, Ino: 4},
		{Kind: meta.EffectXattr, Ino: 5, Name: "user.k", Value: []byte{}},
		{Kind: meta.EffectXattrGone, Ino: 5, Name: "user.k"},
		{Kind: meta.EffectRefs, Slice: meta.Slice{ID: 6}, Count: 1<<32 - 1},
		{Kind: meta.EffectFreed, Seq: 1 << 47, Time: 1 << 47, Slices: []meta.Slice{slice, {ID: 1}}},
		{Kind: meta.EffectFreed, Seq: 1, Slices: []meta.Slice{}},
		{Kind: meta.EffectFreedGone, Seq: 7, Time: 1_700_000_000_123},
		{Kind: meta.EffectOrphan, Time: 1_700_000_000_123, Ino: 8, Parent: 9, Name: "o"},
		{Kind: meta.EffectOrphanGone, Time: 1_700_000_000_123, Ino: 8, Parent: 9, Name: "o"},
		{Kind: meta.EffectSession, Session: 1<<64 - 1, Value: []byte(`{"host":"h"}`)},
		{Kind: meta.EffectSessionGone, Session: 1},
		{Kind: meta.EffectSetting, Name: "volume", Value: []byte(`{}`)},
		{Kind: meta.EffectSettingGone, Name: ""},
		{Kind: meta.EffectReply, Session: 1, Slot: 1<<16 - 1, Value: []byte("reply")},
		{Kind: meta.EffectMarks, Seq: 1<<48 - 1, Value: []byte{0, 0x80}},
		{Kind: meta.EffectQuota, Quota: meta.Quota{
			Dir: meta.MaxIno, Limit: meta.Usage{Bytes: 1<<56 - 1, Inodes: 1<<48 - 1}, Used: meta.Usage{Bytes: 1 << 55, Inodes: 7},
			Next: 1, End: meta.MaxIno,
		}},
		{Kind: meta.EffectQuotaGone, Ino: 2},
		{Kind: meta.EffectNames, Ino: 3, Parent: meta.MaxIno, Count: 1<<32 - 1},
		{Kind: meta.EffectNames, Ino: 3, Parent: 1},
		{Kind: meta.EffectSliceWritten, Slice: slice},
	}
}

// sampleRecord is a create as an engine logs it.
func sampleRecord() meta.Record {
	r := meta.Record{
		Op: meta.OpCreate, Time: 1_700_000_000_000_000_001, Session: 0x0123456789abcdef, Slot: 7, Number: 9,
		Effects: []meta.Effect{
			{Kind: meta.EffectInode, Ino: 66, Attr: meta.Attr{Mode: meta.TypeFile | 0o644, Nlink: 1, UID: 1, GID: 2, Atime: 3, Mtime: 4, Ctime: 5, Parent: 1}},
			{Kind: meta.EffectInode, Ino: 1, Attr: meta.Attr{Mode: meta.TypeDir | 0o755, Nlink: 3, Size: 12, Parent: 1}},
			{Kind: meta.EffectEntry, Parent: 1, Name: "data.bin", Type: meta.TypeFile, Ino: 66},
		},
	}
	r.After = meta.Counters{NextIno: 67, NextSlice: 1 << 40, Usage: meta.Usage{Bytes: 1<<56 - 1, Inodes: 13}}
	return r
}

// encode gives the encoded form of effects.
func encode(effects []meta.Effect) []byte {
	var b []byte
	for i := range effects {
		b = meta.AppendEffect(b, &effects[i])
	}
	return b
}

// badInodes are inode values that must be refused, by what is wrong with them.
func badInodes() map[string][]byte {
	attrs := sampleAttrs()
	value := func(name string, change func(b []byte)) []byte {
		a := attrs[name]
		b := meta.AppendInode(nil, &a)
		change(b)
		return b
	}
	return map[string][]byte{
		"nothing":                 nil,
		"no tail":                 value("large file", func([]byte) {})[:49],
		"long tail":               append(value("fifo", func([]byte) {}), 0),
		"unknown flag":            value("fifo", func(b []byte) { b[0] |= 16 }),
		"spread directory":        value("directory", func(b []byte) { b[0] |= 8 }),
		"spread with one name":    value("fifo", func(b []byte) { b[0] |= 8 }),
		"inline directory":        value("directory", func(b []byte) { b[0] |= 2 }),
		"directory with extents":  value("directory", func(b []byte) { b[0] |= 4 }),
		"inline and lists":        value("inline file", func(b []byte) { b[0] |= 4 }),
		"inline of nothing":       value("inline file", func(b []byte) { binary.BigEndian.PutUint32(b[39:], 0) }),
		"inline past its slice":   value("inline file", func(b []byte) { binary.BigEndian.PutUint32(b[56:], 4103) }),
		"inline past a chunk":     value("inline file", func(b []byte) { b[37] = 1 }),
		"inline of a giant slice": value("inline file", func(b []byte) { binary.BigEndian.PutUint32(b[56:], 1<<31) }),
		"directory with links":    value("directory", func(b []byte) { b[4] = 2 }),
		"subdirectories removed":  value("removed", func(b []byte) { b[54] = 1 }),
		"too many subdirectories": value("directory", func(b []byte) { b[49] = 1 }),
	}
}
