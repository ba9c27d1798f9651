package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"mirrorfs/meta"
)

// emptyETag is the ETag of a directory: of no bytes, and so the one that is an MD5.
const emptyETag = "d41d8cd98f00b204e9800998ecf8427e"

// etagOf gives the ETag of what an inode holds, without quotes: 16 bytes of a hash over its number, the
// version of its content and its size, which together change whenever bytes may have changed. No bytes
// are read for it, so it is no MD5; the "-1" tells clients, as after an upload in parts.
func etagOf(n *meta.Node) string {
	if n.Attr.IsDir() {
		return emptyETag
	}
	var b [24]byte
	binary.BigEndian.PutUint64(b[:8], uint64(n.Ino))
	binary.BigEndian.PutUint64(b[8:16], n.Attr.Version)
	binary.BigEndian.PutUint64(b[16:], n.Attr.Size)
	sum := sha256.Sum256(b[:])
	return hex.EncodeToString(sum[:16]) + "-1"
}
