package chunk

import "fmt"

// StoredObject is an object of a slice: its name and its length in bytes.
type StoredObject struct {
	Key   string
	Bytes int64
}

// Objects lists what a slice is stored as.
func Objects(s SliceRef, blockBytes int) []StoredObject {
	list := make([]StoredObject, BlockCount(s.Size, blockBytes))
	for n := range list {
		list[n] = StoredObject{Key: Key(s.Home, s.Slice, n), Bytes: StoredBytes(s.Size, n, blockBytes)}
	}
	return list
}

// CheckObject tells whether data is what an object of that name should hold: the whole of
// that block, with right checksums. The error wraps ErrCorrupt when it is not.
func CheckObject(key string, data []byte) error {
	home, slice, block, ok := ParseKey(key)
	if !ok {
		return fmt.Errorf("%s is no name of a block", key)
	}
	h, n, err := decodeHeader(data)
	if err != nil {
		return err
	}
	id := blockID{slice: slice, index: uint32(block), home: home}
	if err := h.check(id, h.raw); err != nil {
		return err
	}
	if len(data)-n != int(h.payload) {
		return fmt.Errorf("%w: %d bytes of payload instead of %d", ErrCorrupt, len(data)-n, h.payload)
	}
	return h.verify(data[n:], 0)
}
