package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The layout of a block object, see docs/format.md, "Objects".
const (
	blockVersion     = 1
	headerFixedBytes = 28
	groupBytes       = 64 << 10 // payload bytes under one checksum

	codecRaw = 0
)

// ErrCorrupt is wrapped by the error of a read that found an object whose
// checksum, form or identity is wrong, twice. The error names the object.
var ErrCorrupt = errors.New("corrupt object")

// header is what stands before the payload of a block object.
type header struct {
	codec   uint8
	id      blockID
	raw     uint32 // bytes of the block
	payload uint32 // bytes of it as stored; equal to raw when codec is codecRaw
	sums    []byte // CRC32C of each group of the payload, 4 bytes each
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func groups(payload uint32) int { return int((uint64(payload) + groupBytes - 1) / groupBytes) }

// headerBytes is the length of the header before a payload of that many bytes.
func headerBytes(payload uint32) int { return headerFixedBytes + 4*groups(payload) + 4 }

// appendHeader appends the encoded header to b.
func appendHeader(b []byte, h *header) []byte {
	start := len(b)
	b = append(b, 'm', 'f', 's', 'b', blockVersion, h.codec, h.id.home, 0)
	b = binary.BigEndian.AppendUint64(b, h.id.slice)
	b = binary.BigEndian.AppendUint32(b, h.id.index)
	b = binary.BigEndian.AppendUint32(b, h.raw)
	b = binary.BigEndian.AppendUint32(b, h.payload)
	b = append(b, h.sums...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli()))
}

// decodeHeader reads a header from the start of b and returns its length. The
// sums share b's memory. It never looks past the header.
func decodeHeader(b []byte) (header, int, error) {
	if len(b) < headerFixedBytes {
		return header{}, 0, fmt.Errorf("%w: %d bytes are no header", ErrCorrupt, len(b))
	}
	if string(b[:4]) != "mfsb" {
		return header{}, 0, fmt.Errorf("%w: it does not start like a block", ErrCorrupt)
	}
	if b[4] != blockVersion {
		return header{}, 0, fmt.Errorf("block of version %d: this program reads version %d; upgrade it", b[4], blockVersion)
	}
	h := header{
		codec:   b[5],
		id:      blockID{home: b[6], slice: binary.BigEndian.Uint64(b[8:]), index: binary.BigEndian.Uint32(b[16:])},
		raw:     binary.BigEndian.Uint32(b[20:]),
		payload: binary.BigEndian.Uint32(b[24:]),
	}
	if h.raw == 0 || h.raw > Bytes || h.payload == 0 || h.payload > Bytes || h.codec == codecRaw && h.raw != h.payload {
		return header{}, 0, fmt.Errorf("%w: impossible sizes in its header", ErrCorrupt)
	}
	n := headerBytes(h.payload)
	if len(b) < n {
		return header{}, 0, fmt.Errorf("%w: cut off in its header", ErrCorrupt)
	}
	if crc32.Checksum(b[:n-4], castagnoli()) != binary.BigEndian.Uint32(b[n-4:]) {
		return header{}, 0, fmt.Errorf("%w: wrong checksum of its header", ErrCorrupt)
	}
	h.sums = b[headerFixedBytes : n-4]
	return h, n, nil
}

// verify checks payload bytes that start at a group's start, from group first on.
// The last group may be short only where the payload ends.
func (h *header) verify(data []byte, first int) error {
	for g := first; len(data) > 0; g++ {
		n := min(len(data), groupBytes)
		if 4*g+4 > len(h.sums) || crc32.Checksum(data[:n], castagnoli()) != binary.BigEndian.Uint32(h.sums[4*g:]) {
			return fmt.Errorf("%w: wrong checksum of bytes %d to %d", ErrCorrupt, g*groupBytes, g*groupBytes+n)
		}
		data = data[n:]
	}
	return nil
}

// check tells whether this is the header of the block that was asked for.
func (h *header) check(id blockID, raw uint32) error {
	if h.id != id || h.raw != raw {
		return fmt.Errorf("%w: it holds %s of %d bytes, not %s of %d bytes", ErrCorrupt, h.id.key(), h.raw, id.key(), raw)
	}
	if h.codec != codecRaw {
		return fmt.Errorf("block with codec %d: this program does not know it; upgrade it", h.codec)
	}
	return nil
}

// appendSums appends the CRC32C of each group of data to b.
func appendSums(b, data []byte) []byte {
	for len(data) > 0 {
		n := min(len(data), groupBytes)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(data[:n], castagnoli()))
		data = data[n:]
	}
	return b
}

// sumOfSums is the one checksum of a block that caches keep: over its sums.
func sumOfSums(sums []byte) uint32 { return crc32.Checksum(sums, castagnoli()) }

// seal writes the header of a raw block right before its payload, which starts
// at b[room], and returns the object's bytes and the payload's sum.
func seal(b []byte, room int, id blockID) ([]byte, uint32) {
	payload := b[room:]
	n := headerBytes(uint32(len(payload)))
	start := room - n
	sums := appendSums(b[start+headerFixedBytes:start+headerFixedBytes], payload)
	h := header{codec: codecRaw, id: id, raw: uint32(len(payload)), payload: uint32(len(payload)), sums: sums}
	appendHeader(b[start:start], &h)
	return b[start:], sumOfSums(sums)
}
