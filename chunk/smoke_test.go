package chunk_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/object/mem"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	b, err := chunk.New(mem.New("t"), nil, chunk.Options{BlockBytes: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	want := make([]byte, 3<<20+77)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(want)
	w := b.NewWriter(7, 1)
	for p := want; len(p) > 0; {
		n := min(len(p), 100_000)
		if _, err := w.Write(t.Context(), p[:n]); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
	got := make([]byte, len(want))
	if err := w.ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatal("ReadAt", err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans, err := b.Read(t.Context(), []chunk.Segment{{Slice: 7, Home: 1, Size: w.Len(), Off: 5, Len: w.Len() - 5}, {Len: 3 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	got = got[:0]
	for _, s := range spans {
		got = append(got, s.Data...)
	}
	chunk.ReleaseAll(spans)
	if !bytes.Equal(got, append(want[5:len(want):len(want)], make([]byte, 3<<20)...)) {
		t.Fatal("read differs")
	}
}
