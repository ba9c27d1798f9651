package chunk_test

import (
	"errors"
	"testing"

	"mirrorfs/chunk"
)

// The objects that a slice is said to be stored as are those that a writer made, and
// nothing but their bytes passes for them.
func TestCheckObject(t *testing.T) {
	store := newStore(t)
	for _, s := range written(t, store) {
		for _, o := range chunk.Objects(s, auditBlock) {
			data := store.object(t, o.Key)
			if int64(len(data)) != o.Bytes {
				t.Errorf("%s has %d bytes, not %d", o.Key, len(data), o.Bytes)
			}
			if err := chunk.CheckObject(o.Key, data); err != nil {
				t.Error(err)
			}
			if err := chunk.CheckObject(o.Key, data[:len(data)-1]); !errors.Is(err, chunk.ErrCorrupt) {
				t.Errorf("cut: %v", err)
			}
			if err := chunk.CheckObject(chunk.Key(s.Home, s.Slice+256, 0), data); !errors.Is(err, chunk.ErrCorrupt) {
				t.Errorf("under another name: %v", err)
			}
			data[len(data)-1]++
			if err := chunk.CheckObject(o.Key, data); !errors.Is(err, chunk.ErrCorrupt) {
				t.Errorf("wrong byte: %v", err)
			}
		}
	}
	if err := chunk.CheckObject("volume.json", nil); err == nil {
		t.Error("no name of a block passes")
	}
	if err := chunk.CheckObject(chunk.Key(1, 7, 0), []byte("short")); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("no block: %v", err)
	}
}
