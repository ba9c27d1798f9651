package chunk_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	"mirrorfs/chunk"
)

// TestObjectBytes holds the layout of docs/format.md, "Objects", byte by byte. If it
// fails, volumes that exist can no longer be read.
func TestObjectBytes(t *testing.T) {
	s := newStore(t)
	b := newBlocks(t, s, nil, chunk.Options{})
	write(t, b, 0x0102030405, []byte("hello"))
	const want = "6d667362" + "01" + "00" + "03" + "00" + // magic, version, codec, home, 0
		"0000000102030405" + "00000000" + "00000005" + "00000005" + // slice, block, bytes, bytes as stored
		"9a71bb4c" + // CRC32C of "hello"
		"53aa84af" + // CRC32C of the header
		"68656c6c6f"
	if got := hex.EncodeToString(s.object(t, chunk.Key(home, 0x0102030405, 0))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	s := newStore(t)
	b := newBlocks(t, s, nil, chunk.Options{})
	data := random(1, 3<<16+5)
	write(t, b, 9, data)
	good := s.object(t, chunk.Key(home, 9, 0))
	if got, err := chunk.DecodeBlock(good); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("the object as written: %v", err)
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range 1000 {
		bit := rng.IntN(8 * len(good))
		if i < 8*48 {
			bit = i // every one of the header
		}
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := chunk.DecodeBlock(bad); err == nil {
			t.Fatalf("seed %d: bit %d of the object is wrong and nobody sees it", seed, bit)
		}
	}
	for _, n := range []int{0, 1, 27, 28, 47, len(good) - 65536 - 5} {
		if _, err := chunk.DecodeBlock(good[:n]); n < 48 && !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func FuzzDecodeBlock(f *testing.F) {
	good, err := hex.DecodeString("6d66736201000300000000010203040500000000000000050000000" + "59a71bb4c53aa84af68656c6c6f")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		if data, err := chunk.DecodeBlock(b); err == nil && len(data) > len(b) {
			t.Error("more bytes than there are")
		}
	})
}

func FuzzDecodeIndexRecord(f *testing.F) {
	f.Add(make([]byte, 32))
	f.Fuzz(func(t *testing.T, b []byte) {
		if again, ok := chunk.DecodeIndexRecord(b); ok && !bytes.Equal(append(again[:2:2], again[4:28]...), append(b[:2:2], b[4:28]...)) {
			t.Errorf("%x encodes to %x", b[:32], again)
		}
	})
}
