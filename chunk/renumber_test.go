package chunk_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"mirrorfs/chunk"
)

// TestATakenSliceGetsAnotherNumber: the slices 1 to 3 have been given out before, each with
// other blocks. What is written under 1 ends up whole under 4, and can be read all the time.
func TestATakenSliceGetsAnotherNumber(t *testing.T) {
	const block = 64 << 10
	for name, lengths := range map[string][3]int{
		"first block":  {1000, 1000, 1000},
		"all blocks":   {6 * block, 6 * block, 6 * block},
		"some of them": {block, 3*block + 10, 5 * block},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			b := newBlocks(t, s, nil, chunk.Options{BlockBytes: block, Uploads: 3})
			var old [3][]byte
			for i, n := range lengths {
				old[i] = random(uint64(i), n)
				write(t, b, uint64(i)+1, old[i])
			}
			next := uint64(1)
			w := b.NewWriter(1, home, func(context.Context) (uint64, error) {
				next++
				return next, nil
			})
			data := random(9, 6*block-123)
			for done := 0; done < len(data); done += 10_000 {
				if _, err := w.Write(t.Context(), data[done:min(done+10_000, len(data))]); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, min(done+10_000, len(data)))
				if err := w.ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, data[:len(got)]) {
					t.Fatalf("after %d bytes they differ: %v", done, err)
				}
			}
			if err := w.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if w.Slice() != 4 {
				t.Errorf("the slice is %d, want 4", w.Slice())
			}
			if !bytes.Equal(read(t, b, segment(w.Slice(), len(data))), data) {
				t.Error("what is stored differs")
			}
			for i := range old {
				if !bytes.Equal(read(t, b, segment(uint64(i)+1, len(old[i]))), old[i]) {
					t.Errorf("slice %d was changed", i+1)
				}
			}
		})
	}
}

// TestTakenForGood: without another number the writer fails as it says.
func TestTakenForGood(t *testing.T) {
	s := newStore(t)
	b := newBlocks(t, s, nil, chunk.Options{})
	write(t, b, 1, random(1, 1000))
	w := b.NewWriter(1, home, func(context.Context) (uint64, error) { return 0, errBroken })
	if _, err := w.Write(t.Context(), random(2, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); !errors.Is(err, chunk.ErrTaken) {
		t.Errorf("close: %v", err)
	}
}
