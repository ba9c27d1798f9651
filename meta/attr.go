package meta

import (
	"encoding/binary"
	"fmt"
)

// The encoded form of an inode: docs/format.md, "Inode value". At most
// maxInodeBytes, so that 64 of them stay a Redis listpack.
const (
	inodeFixedBytes = 49
	maxInodeBytes   = 64

	flagXattrs = 1 << 0
	flagInline = 1 << 1
	flagChunks = 1 << 2
)

// AppendInode appends the encoded form of a to b.
func AppendInode(b []byte, a *Attr) []byte {
	var flags byte
	if a.HasXattrs {
		flags |= flagXattrs
	}
	if a.Inline != nil {
		flags |= flagInline
	}
	if a.HasChunks {
		flags |= flagChunks
	}
	nlink := a.Nlink
	if a.IsDir() {
		nlink = 0
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(a.Mode))
	b = binary.BigEndian.AppendUint16(b, uint16(nlink))
	b = binary.BigEndian.AppendUint32(b, a.UID)
	b = binary.BigEndian.AppendUint32(b, a.GID)
	b = binary.BigEndian.AppendUint64(b, uint64(a.Atime))
	b = binary.BigEndian.AppendUint64(b, uint64(a.Mtime))
	b = binary.BigEndian.AppendUint64(b, uint64(a.Ctime))
	b = append48(b, a.Size)
	b = append48(b, uint64(a.Parent))
	switch {
	case a.IsDir():
		b = append48(b, uint64(a.Nlink)-2)
		b = binary.BigEndian.AppendUint32(b, a.dir.nextPage)
	case a.IsFile() && a.Inline != nil:
		e := a.Inline
		b = append48(b, e.Slice)
		b = append(b, e.Home)
		b = binary.BigEndian.AppendUint32(b, e.Size)
		b = binary.BigEndian.AppendUint32(b, e.Off)
	case a.IsFile():
		b = append48(b, a.Version&MaxSlice)
	case a.Type() == TypeChar || a.Type() == TypeBlock:
		b = binary.BigEndian.AppendUint32(b, a.Rdev)
	}
	return b
}

// DecodeInode reads the encoded form of an inode. The Attr shares nothing with b.
func DecodeInode(b []byte) (Attr, error) {
	var a Attr
	if len(b) < inodeFixedBytes || len(b) > maxInodeBytes {
		return a, fmt.Errorf("inode value of %d bytes: want %d to %d", len(b), inodeFixedBytes, maxInodeBytes)
	}
	flags := b[0]
	a.HasXattrs = flags&flagXattrs != 0
	a.HasChunks = flags&flagChunks != 0
	a.Mode = uint32(binary.BigEndian.Uint16(b[1:]))
	a.Nlink = uint32(binary.BigEndian.Uint16(b[3:]))
	a.UID = binary.BigEndian.Uint32(b[5:])
	a.GID = binary.BigEndian.Uint32(b[9:])
	a.Atime = int64(binary.BigEndian.Uint64(b[13:]))
	a.Mtime = int64(binary.BigEndian.Uint64(b[21:]))
	a.Ctime = int64(binary.BigEndian.Uint64(b[29:]))
	a.Size = uint48(b[37:])
	a.Parent = Ino(uint48(b[43:]))
	tail := b[inodeFixedBytes:]
	want := 0
	switch {
	case a.IsDir():
		if want = 10; len(tail) == want {
			a.Nlink = uint32(uint48(tail)) + 2
			a.dir.nextPage = binary.BigEndian.Uint32(tail[6:])
		}
	case a.IsFile() && flags&flagInline != 0:
		if want = 15; len(tail) == want {
			a.Inline = &Extent{Slice: uint48(tail), Home: tail[6], Size: binary.BigEndian.Uint32(tail[7:]), Off: binary.BigEndian.Uint32(tail[11:]), Len: uint32(a.Size)}
			a.Version = a.Inline.Slice<<1 | 1
		}
	case a.IsFile():
		if want = 6; len(tail) == want {
			a.Version = uint48(tail) << 1
		}
	case a.Type() == TypeChar || a.Type() == TypeBlock:
		if want = 4; len(tail) == want {
			a.Rdev = binary.BigEndian.Uint32(tail)
		}
	}
	if len(tail) != want {
		return Attr{}, fmt.Errorf("inode value of mode %o has a tail of %d bytes: want %d", a.Mode, len(tail), want)
	}
	return a, nil
}

// extentBytes is the length of one encoded extent.
const extentBytes = 23

// AppendExtents appends the encoded form of extents to b.
func AppendExtents(b []byte, extents []Extent) []byte {
	for _, e := range extents {
		b = binary.BigEndian.AppendUint32(b, e.Pos)
		b = binary.BigEndian.AppendUint32(b, e.Len)
		b = append48(b, e.Slice)
		b = append(b, e.Home)
		b = binary.BigEndian.AppendUint32(b, e.Size)
		b = binary.BigEndian.AppendUint32(b, e.Off)
	}
	return b
}

// DecodeExtents reads the encoded form of an extent list.
func DecodeExtents(b []byte) ([]Extent, error) {
	if len(b)%extentBytes != 0 {
		return nil, fmt.Errorf("extent list of %d bytes: want a multiple of %d", len(b), extentBytes)
	}
	extents := make([]Extent, 0, len(b)/extentBytes)
	for ; len(b) > 0; b = b[extentBytes:] {
		extents = append(extents, Extent{
			Pos: binary.BigEndian.Uint32(b), Len: binary.BigEndian.Uint32(b[4:]),
			Slice: uint48(b[8:]), Home: b[14],
			Size: binary.BigEndian.Uint32(b[15:]), Off: binary.BigEndian.Uint32(b[19:]),
		})
	}
	return extents, nil
}

func append48(b []byte, v uint64) []byte {
	return append(b, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func uint48(b []byte) uint64 {
	_ = b[5]
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}
