package meta_test

import (
	"bytes"
	"runtime"
	"testing"

	"mirrorfs/meta"
)

// allocated gives the bytes that f allocates. Other goroutines count too, so it
// is good for catching a length field that is believed, and for no more.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// maxAllocPerByte bounds what decoding may allocate: an effect of 7 bytes becomes
// a value of about 300, and growing the list copies it a few times.
const maxAllocPerByte = 400

func FuzzDecodeInode(f *testing.F) {
	for _, a := range sampleAttrs() {
		f.Add(meta.AppendInode(nil, &a))
	}
	for _, b := range badInodes() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := meta.DecodeInode(b)
		if err != nil {
			return
		}
		if again := meta.AppendInode(nil, &a); !bytes.Equal(again, b) {
			t.Errorf("encode(decode(b)) = %x, b = %x", again, b)
		}
	})
}

func FuzzDecodeExtents(f *testing.F) {
	f.Add([]byte{})
	f.Add(meta.AppendExtents(nil, []meta.Extent{{Len: 1, Slice: 2, Home: 1, Size: 3}, {Pos: 9, Len: 4}}))
	f.Add(make([]byte, 24))
	f.Fuzz(func(t *testing.T, b []byte) {
		extents, err := meta.DecodeExtents(b)
		if err != nil {
			return
		}
		if again := meta.AppendExtents(nil, extents); !bytes.Equal(again, b) {
			t.Errorf("encode(decode(b)) = %x, b = %x", again, b)
		}
	})
}

func FuzzDecodeEffects(f *testing.F) {
	all := sampleEffects()
	f.Add(encode(all))
	for i := range all {
		f.Add(encode(all[i : i+1]))
	}
	f.Add([]byte("F\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff"))
	f.Add([]byte("L\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var effects []meta.Effect
		var err error
		if n := allocated(func() { effects, err = meta.DecodeEffects(b) }); n > 64<<10+maxAllocPerByte*uint64(len(b)) {
			t.Errorf("%d bytes allocated for %d", n, len(b))
		}
		if err != nil {
			return
		}
		if again := encode(effects); !bytes.Equal(again, b) {
			t.Errorf("encode(decode(b)) = %x, b = %x", again, b)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	r := sampleRecord()
	raw, chain := meta.AppendRecord(nil, &r, meta.EmptyChain)
	f.Add(raw)
	r.Effects = sampleEffects()
	raw, _ = meta.AppendRecord(nil, &r, chain)
	f.Add(raw)
	f.Add(raw[:len(raw)-1])
	f.Add(raw[:49+16])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := meta.DecodeRecord(b)
		if err != nil {
			return
		}
		body := b[:len(b)-len(meta.EmptyChain)]
		again, chain := meta.AppendRecord(nil, &r, meta.EmptyChain)
		if !bytes.Equal(again[:len(body)], body) {
			t.Errorf("encode(decode(b)) = %x, b = %x", again, b)
		}
		if after, ok := meta.CheckChain(meta.EmptyChain, again); !ok || after != chain {
			t.Errorf("the record's own chain does not hold: %s, want %s", after, chain)
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	r := sampleRecord()
	f.Add(meta.AppendReply(nil, meta.Position{Epoch: 1, Seq: 2}, 66, &r))
	r.Effects = sampleEffects()
	f.Add(meta.AppendReply(nil, meta.Position{Epoch: 1, Seq: 2}, 3, &r))
	f.Add(meta.AppendReply(nil, meta.Position{Epoch: 1, Seq: 3}, 4096, &meta.Record{Op: meta.OpReserve}))
	f.Fuzz(func(t *testing.T, b []byte) {
		res, err := meta.DecodeReply(b)
		if err != nil {
			return
		}
		if encoded := encode(res.Effects); !bytes.HasSuffix(b, encoded) {
			t.Errorf("effects are %x, b = %x", encoded, b)
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"", "0-0", "1-1042", "01-1", "1-1-1", "281474976710656-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := meta.ParsePosition(s); err == nil && p.String() != s {
			t.Errorf("%q parsed as %v", s, p)
		}
	})
}
