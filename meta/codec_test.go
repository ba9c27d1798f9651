package meta_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mirrorfs/meta"
)

// sameAttr compares attributes by their exported fields.
func sameAttr() cmp.Option { return cmpopts.IgnoreUnexported(meta.Attr{}) }

func TestInodeRoundTrip(t *testing.T) {
	for name, a := range sampleAttrs() {
		t.Run(name, func(t *testing.T) {
			b := meta.AppendInode([]byte("before"), &a)[6:]
			if len(b) > 64 {
				t.Errorf("%d bytes: 64 inodes would not stay a listpack", len(b))
			}
			got, err := meta.DecodeInode(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(a, got, sameAttr()); d != "" {
				t.Errorf("decode(encode(x)) differs from x (-want +got):\n%s", d)
			}
			if again := meta.AppendInode(nil, &got); !bytes.Equal(again, b) {
				t.Errorf("encoded again: %x, was %x", again, b)
			}
		})
	}
}

func TestDecodeInodeRefuses(t *testing.T) {
	for name, b := range badInodes() {
		if a, err := meta.DecodeInode(b); err == nil {
			t.Errorf("%s: decoded as %+v", name, a)
		}
	}
}

// A file may be given other bytes of the slice it had; its version must tell.
func TestVersionOfInlineFileDependsOnOffset(t *testing.T) {
	seen := map[uint64]meta.Extent{}
	for _, e := range []meta.Extent{{Slice: 5}, {Slice: 5, Off: 1}, {Slice: 6}, {Slice: 6, Off: meta.ChunkBytes - 1}, {Slice: 7}, {Slice: 1<<37 - 1}} {
		e.Len, e.Size = 1, meta.ChunkBytes
		got, err := meta.DecodeInode(meta.AppendInode(nil, &meta.Attr{Mode: meta.TypeFile, Size: 1, Inline: &e}))
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[got.Version]; ok {
			t.Errorf("%+v and %+v have the same version %d", e, other, got.Version)
		}
		seen[got.Version] = e
	}
}

func TestExtentsRoundTrip(t *testing.T) {
	want := []meta.Extent{{}, {Pos: 1<<32 - 1, Len: 1<<32 - 1, Slice: meta.MaxSlice, Home: 255, Size: 1<<32 - 1, Off: 1<<32 - 1}, {Len: 1}}
	b := meta.AppendExtents(nil, want)
	if len(b) != 3*23 {
		t.Errorf("3 extents take %d bytes", len(b))
	}
	got, err := meta.DecodeExtents(b)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := meta.DecodeExtents(b[:len(b)-1]); err == nil {
		t.Error("a list cut short was accepted")
	}
}

func TestEffectsRoundTrip(t *testing.T) {
	for _, want := range sampleEffects() {
		b := encode([]meta.Effect{want})
		got, err := meta.DecodeEffects(b)
		if err != nil {
			t.Fatalf("%c: %v", want.Kind, err)
		}
		if d := cmp.Diff([]meta.Effect{want}, got, sameAttr()); d != "" {
			t.Errorf("%c (-want +got):\n%s", want.Kind, d)
		}
		for n := 1; n < len(b); n++ {
			if _, err := meta.DecodeEffects(b[:n]); err == nil {
				t.Errorf("%c: %d of %d bytes were accepted", want.Kind, n, len(b))
			}
		}
	}
	all := sampleEffects()
	got, err := meta.DecodeEffects(encode(all))
	if d := cmp.Diff(all, got, sameAttr()); err != nil || d != "" {
		t.Errorf("all at once: %v\n%s", err, d)
	}
	if _, err := meta.DecodeEffects([]byte("Z")); err == nil {
		t.Error("an unknown kind was accepted")
	}
}

func TestRecordRoundTripAndChain(t *testing.T) {
	want := sampleRecord()
	want.Effects = sampleEffects()
	raw, chain := meta.AppendRecord(nil, &want, meta.EmptyChain)
	got, err := meta.DecodeRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, sameAttr()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if after, ok := meta.CheckChain(meta.EmptyChain, raw); !ok || after != chain {
		t.Errorf("chain after: %s, %v; want %s", after, ok, chain)
	}
	if _, ok := meta.CheckChain(chain, raw); ok {
		t.Error("the record was taken to follow itself")
	}
	for i := range raw {
		broken := bytes.Clone(raw)
		broken[i] ^= 1
		if _, ok := meta.CheckChain(meta.EmptyChain, broken); ok {
			t.Errorf("byte %d was changed and the chain still held", i)
		}
	}
	for name, b := range map[string][]byte{"empty": nil, "header only": raw[:49], "too long": make([]byte, meta.MaxRecordBytes+1)} {
		if _, err := meta.DecodeRecord(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, ok := meta.CheckChain(meta.EmptyChain, b); ok {
			t.Errorf("%s: chain held", name)
		}
	}
	raw[0] = 2
	if _, err := meta.DecodeRecord(raw); err == nil || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("a record of a later version gave %v", err)
	}
}

// The bytes of a record are a promise to every mirror and dump: they may only
// change together with the version and docs/format.md.
func TestRecordGolden(t *testing.T) {
	const path = "testdata/record.hex"
	r := sampleRecord()
	raw, _ := meta.AppendRecord(nil, &r, meta.EmptyChain)
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(golden)), ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, want) {
		t.Errorf("the record's bytes are now\n%x\nwant\n%x", raw, want)
	}
}

func TestReplyRoundTrip(t *testing.T) {
	r := sampleRecord()
	res, err := meta.DecodeReply(meta.AppendReply(nil, meta.Position{Epoch: 2, Seq: 1 << 40}, 66, &r))
	if err != nil {
		t.Fatal(err)
	}
	want := meta.Result{
		Position: meta.Position{Epoch: 2, Seq: 1 << 40},
		Node:     meta.Node{Ino: 66, Attr: r.Effects[0].Attr},
		Effects:  r.Effects,
	}
	if d := cmp.Diff(want, res, sameAttr()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestReplyLeavesOutWhatDoesNotFit(t *testing.T) {
	r := sampleRecord()
	r.Effects = append(r.Effects, meta.Effect{Kind: meta.EffectTarget, Ino: 66, Value: make([]byte, meta.MaxReplyBytes)})
	b := meta.AppendReply(nil, meta.Position{Epoch: 1, Seq: 2}, 66, &r)
	res, err := meta.DecodeReply(b)
	if err != nil || !res.Partial || len(res.Effects) != 3 || res.Node.Attr.UID != 1 {
		t.Errorf("got %+v, %v", res, err)
	}
	if len(b) > meta.MaxReplyBytes {
		t.Errorf("a reply of %d bytes", len(b))
	}
}

func TestReplyOfReserve(t *testing.T) {
	r := meta.Record{Op: meta.OpReserve}
	res, err := meta.DecodeReply(meta.AppendReply(nil, meta.Position{Epoch: 1, Seq: 2}, 4096, &r))
	if err != nil || res.FirstSlice != 4096 || res.Node.Ino != 0 {
		t.Errorf("got %+v, %v", res, err)
	}
	for _, b := range [][]byte{nil, make([]byte, 67), make([]byte, 68)} {
		if _, err := meta.DecodeReply(b); err == nil {
			t.Errorf("%d zero bytes were accepted", len(b))
		}
	}
}
