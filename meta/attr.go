package meta

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The encoded form of an inode: docs/format.md, "Inode value". At most
// maxInodeBytes, so that 64 of them stay a Redis listpack.
const (
	inodeFixedBytes = 49
	maxInodeBytes   = 64

	flagXattrs = 1 << 0
	flagInline = 1 << 1
	flagChunks = 1 << 2
	flagSpread = 1 << 3
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
	if a.Spread {
		flags |= flagSpread
	}
	nlink := a.Nlink
	if a.IsDir() {
		nlink = min(nlink, 1)
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
		b = append48(b, uint64(max(a.Nlink, 2)-2))
		b = binary.BigEndian.AppendUint32(b, a.dir.nextPage)
	case a.IsFile() && a.Inline != nil:
		e := a.Inline
		b = append48(b, e.Slice)
		b = append(b, e.Home)
		b = binary.BigEndian.AppendUint32(b, e.Size)
		b = binary.BigEndian.AppendUint32(b, e.Off)
	case a.IsFile():
		b = append48(b, a.Version>>1)
	case a.Type() == TypeChar || a.Type() == TypeBlock:
		b = binary.BigEndian.AppendUint32(b, a.Rdev)
	}
	return b
}

// DecodeInode reads the encoded form of an inode. The Attr shares nothing with b.
// Only what AppendInode writes is accepted.
func DecodeInode(b []byte) (Attr, error) {
	if len(b) < inodeFixedBytes || len(b) > maxInodeBytes {
		return Attr{}, fmt.Errorf("inode value of %d bytes: want %d to %d", len(b), inodeFixedBytes, maxInodeBytes)
	}
	flags := b[0]
	a := Attr{
		HasXattrs: flags&flagXattrs != 0,
		HasChunks: flags&flagChunks != 0,
		Spread:    flags&flagSpread != 0,
		Mode:      uint32(binary.BigEndian.Uint16(b[1:])),
		Nlink:     uint32(binary.BigEndian.Uint16(b[3:])),
		UID:       binary.BigEndian.Uint32(b[5:]),
		GID:       binary.BigEndian.Uint32(b[9:]),
		Atime:     int64(binary.BigEndian.Uint64(b[13:])),
		Mtime:     int64(binary.BigEndian.Uint64(b[21:])),
		Ctime:     int64(binary.BigEndian.Uint64(b[29:])),
		Size:      uint48(b[37:]),
		Parent:    Ino(uint48(b[43:])),
	}
	inline := flags&flagInline != 0
	if flags >= flagSpread<<1 || inline && (!a.IsFile() || a.HasChunks) || a.HasChunks && !a.IsFile() || a.Spread && (a.IsDir() || a.Nlink < 2) {
		return Attr{}, fmt.Errorf("inode value of mode %o has flags %x", a.Mode, flags)
	}
	tail := b[inodeFixedBytes:]
	if want := tailBytes(&a, inline); len(tail) != want {
		return Attr{}, fmt.Errorf("inode value of mode %o has a tail of %d bytes: want %d", a.Mode, len(tail), want)
	}
	err := decodeTail(&a, inline, tail)
	return a, err
}

// tailBytes is the length of the part of an inode value that depends on its type.
func tailBytes(a *Attr, inline bool) int {
	switch {
	case a.IsDir():
		return 10
	case inline:
		return 15
	case a.IsFile():
		return 6
	case a.Type() == TypeChar || a.Type() == TypeBlock:
		return 4
	default:
		return 0
	}
}

func decodeTail(a *Attr, inline bool, tail []byte) error {
	switch {
	case a.IsDir():
		subdirs := uint48(tail)
		if a.Nlink > 1 || subdirs > math.MaxUint32-2 || a.Nlink == 0 && subdirs > 0 {
			return fmt.Errorf("inode value of a directory has link count %d and %d subdirectories", a.Nlink, subdirs)
		}
		if a.Nlink == 1 {
			a.Nlink = uint32(subdirs) + 2
		}
		a.dir.nextPage = binary.BigEndian.Uint32(tail[6:])
	case inline:
		if a.Size == 0 || a.Size > ChunkBytes {
			return fmt.Errorf("inode value has an inline extent of %d bytes", a.Size)
		}
		a.Inline = &Extent{
			Len: uint32(a.Size), Slice: uint48(tail), Home: tail[6],
			Size: binary.BigEndian.Uint32(tail[7:]), Off: binary.BigEndian.Uint32(tail[11:]),
		}
		if end := uint64(a.Inline.Off) + a.Size; a.Inline.Slice != 0 && (end > uint64(a.Inline.Size) || a.Inline.Size > ChunkBytes) {
			return fmt.Errorf("inode value has an inline extent to byte %d of a slice of %d", end, a.Inline.Size)
		}
		a.Version = inlineVersion(a.Inline)
	case a.IsFile():
		a.Version = uint48(tail) << 1
	case a.Type() == TypeChar || a.Type() == TypeBlock:
		a.Rdev = binary.BigEndian.Uint32(tail)
	}
	return nil
}

// inlineVersion makes an odd version of where an inline extent points to: a file
// may get other bytes of the same slice. Offsets are below ChunkBytes (2^26), so
// only slices whose numbers are a multiple of 2^37 apart could be confused.
func inlineVersion(e *Extent) uint64 { return e.Slice<<27 | uint64(e.Off)<<1 | 1 }

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
