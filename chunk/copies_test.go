package chunk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/chunk"
	"mirrorfs/object"
)

// twoPlaces is a store that reads at the first of two places and writes to the
// second.
type twoPlaces struct {
	object.Store // the second
	near         *store
}

func (s *twoPlaces) place(nth int) object.Store { return []object.Store{s.near, s.Store}[nth] }

func (s *twoPlaces) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	return s.near.Get(ctx, key, off, n)
}

func (s *twoPlaces) Copies(string) int { return 2 }

func (s *twoPlaces) GetCopy(ctx context.Context, key string, nth int, off, n int64) (io.ReadCloser, error) {
	return s.place(nth).Get(ctx, key, off, n)
}

func (s *twoPlaces) PutCopy(ctx context.Context, key string, nth int, data []byte) error {
	return s.place(nth).Put(ctx, key, data)
}

// A copy with wrong bytes is read elsewhere, and replaced by what was read there:
// also when only a part of the block was asked for.
func TestAWrongCopyIsReadElsewhereAndReplaced(t *testing.T) {
	data := random(1, mib)
	for name, seg := range map[string]chunk.Segment{
		"whole": segment(1, mib),
		"part":  part(1, mib, 700_000, 5000),
	} {
		t.Run(name, func(t *testing.T) {
			s := &twoPlaces{Store: newStore(t), near: newStore(t)}
			reg := prometheus.NewRegistry()
			b := newBlocks(t, s, nil, chunk.Options{Metrics: reg})
			write(t, b, 1, data)
			key := chunk.Key(home, 1, 0)
			good := s.Store.(*store).object(t, key)
			bad := bytes.Clone(good)
			bad[len(bad)-mib+701_000] ^= 1
			if err := s.near.Put(t.Context(), key, bad); err != nil {
				t.Fatal(err)
			}
			mended := make(chan struct{}) // which happens behind
			s.near.onReplace(func() { close(mended) })
			if !bytes.Equal(read(t, b, seg), data[seg.Off:seg.Off+seg.Len]) {
				t.Error("read differs")
			}
			<-mended
			if !bytes.Equal(s.near.object(t, key), good) {
				t.Error("the copy was not replaced by the right bytes")
			}
			if value(t, reg, "mirrorfs_chunk_corrupt_blocks_total") < 1 {
				t.Error("nobody counted the wrong bytes")
			}
		})
	}
}

// When no copy is right, the error says that the bytes are wrong, not that
// there is no object.
func TestNoCopyIsRight(t *testing.T) {
	s := &twoPlaces{Store: newStore(t), near: newStore(t)}
	b := newBlocks(t, s, nil, chunk.Options{})
	write(t, b, 1, random(1, mib))
	key := chunk.Key(home, 1, 0)
	if err := s.near.Put(t.Context(), key, []byte("no block")); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	_, err := b.Read(t.Context(), []chunk.Segment{segment(1, mib)})
	if !errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, object.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
}
