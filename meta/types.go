package meta

import "time"

// Ino is an inode number, from 1 to MaxIno. Numbers are never used twice.
type Ino uint64

const (
	// RootIno is the inode of the volume's root directory.
	RootIno Ino = 1
	// MaxIno bounds inode numbers: they are stored in 6 bytes, and their
	// decimal form times 16 must stay exact in a float64 (Lua's only number).
	MaxIno Ino = 1<<48 - 1
	// MaxSlice bounds slice numbers, which are stored in 6 bytes.
	MaxSlice = 1<<48 - 1
	// MaxNameBytes is the longest name of a directory entry.
	MaxNameBytes = 255
	// MaxTargetBytes is the longest target of a symbolic link.
	MaxTargetBytes = 4095
	// MaxLinks is the largest number of names one file may have.
	MaxLinks = 65000
	// MaxDepth is in how many directories one may lie when it is made or moved: a path as long as may
	// be names no more. What moves takes along what is in it, however deep that comes to lie.
	MaxDepth = 2048
	// MaxFileBytes is the largest size of a file, in bytes (64 TiB): 2^20 chunks.
	MaxFileBytes = 64 << 40
	// MaxXattrNameBytes is the longest name of an extended attribute, Linux's limit.
	MaxXattrNameBytes = 255
	// MaxXattrListBytes is the most that the names of an inode's extended
	// attributes take, each with a zero byte, Linux's limit.
	MaxXattrListBytes = 64 << 10
	// MaxXattrValueBytes is the longest value of one, Linux's limit.
	MaxXattrValueBytes = 64 << 10
	// ChunkBytes is the range of a file that one extent list describes.
	ChunkBytes = 64 << 20
)

// File types, as in st_mode.
const (
	TypeMask    uint32 = 0o170000
	TypeSocket  uint32 = 0o140000
	TypeSymlink uint32 = 0o120000
	TypeFile    uint32 = 0o100000
	TypeBlock   uint32 = 0o060000
	TypeDir     uint32 = 0o040000
	TypeChar    uint32 = 0o020000
	TypeFifo    uint32 = 0o010000

	ModeSetUID uint32 = 0o4000
	ModeSetGID uint32 = 0o2000
	ModeSticky uint32 = 0o1000
)

// Attr is what the metadata says of an inode. Times are nanoseconds since the
// Unix epoch.
type Attr struct {
	Mode uint32 // type and permission bits, as in st_mode
	// Nlink counts names; for a directory that has one it is 2 plus its
	// subdirectories. An inode with Nlink 0 is an orphan: removed, and kept until
	// it is purged.
	Nlink uint32
	UID   uint32
	GID   uint32
	Rdev  uint32 // of a character or block device
	Atime int64
	Mtime int64
	Ctime int64
	// Size is the length of a file or link target in bytes, and the number of
	// entries of a directory.
	Size uint64
	// Parent is the directory of a directory. A file has a name in it: the latest
	// one, as long as that is there. Of an orphan it is Orphan.Parent. The root's
	// parent is the root.
	Parent Ino
	// Spread says that a file has names in more than one directory.
	Spread bool
	// HasXattrs is false when the inode surely has no extended attributes.
	HasXattrs bool
	// Version changes whenever a regular file's bytes may have changed. Equal
	// version and equal size mean equal content.
	Version uint64
	// Inline is the only extent of a file whose content lies in one slice
	// from position 0 to its end; nil otherwise. Do not modify it.
	Inline *Extent
	// HasChunks says that extent lists exist, to be asked for with Extents. A
	// regular file with neither Inline nor HasChunks holds only zeros.
	HasChunks bool

	dir dirTail
}

// dirTail is what only an engine needs to know of a directory.
type dirTail struct {
	nextPage uint32 // 0: all entries are in one page
}

// Type returns the type bits of the mode.
func (a *Attr) Type() uint32 { return a.Mode & TypeMask }

// IsDir reports whether the inode is a directory.
func (a *Attr) IsDir() bool { return a.Type() == TypeDir }

// IsFile reports whether the inode is a regular file.
func (a *Attr) IsFile() bool { return a.Type() == TypeFile }

// Node is an inode with its attributes.
type Node struct {
	Ino  Ino
	Attr Attr
}

// Entry is a name in a directory and what it names.
type Entry struct {
	Name string
	Node Node
}

// Page is a part of a directory in byte order of the names.
type Page struct {
	Entries []Entry
	// More is false when the directory has no name after the last of Entries.
	More bool
}

// Extent maps Len bytes at Pos of a chunk to the bytes at Off of a slice. Slice
// 0 is a hole: zeros. In a list, a later extent hides what it overlaps of the
// earlier ones.
type Extent struct {
	Pos   uint32 // first byte, from the chunk's start
	Len   uint32 // bytes, at least 1
	Slice uint64
	Home  uint8  // site whose bucket the slice was first written to
	Size  uint32 // bytes of the whole slice, at most ChunkBytes
	Off   uint32 // first byte in the slice
}

// ChunkExtents is the extent list of one chunk of a file.
type ChunkExtents struct {
	Index   uint32 // chunk number: the chunk starts at Index * ChunkBytes
	Extents []Extent
}

// Slice names data in object storage.
type Slice struct {
	ID   uint64 `json:"slice"`
	Home uint8  `json:"home_site_id"`
	Size uint32 `json:"bytes"`
}

// Usage is what a volume holds.
type Usage struct {
	// Bytes sums the sizes of all regular files, each rounded up to 4 KiB.
	Bytes uint64 `json:"bytes"`
	// Inodes counts inodes with a name, the root included.
	Inodes uint64 `json:"inodes"`
}

// Volume is what format decided. Only Trash, the limits of the log, the sites and who of
// them is the source change later.
type Volume struct {
	Name       string        `json:"name"`
	ID         string        `json:"id"` // random, to tell two volumes of one name apart
	BlockBytes int           `json:"block_bytes"`
	Compress   string        `json:"compress"` // "none", "s2" or "zstd"
	Trash      time.Duration `json:"trash"`
	// Grace is how long freed data is kept beyond the trash time, for those who are
	// reading it; 0 is 10 minutes.
	Grace time.Duration `json:"grace,omitempty"`
	// LogKeep is how long the records of the log are kept in segments in the source's bucket,
	// and so how long a mirror may be away and how far back restore reaches; 0 keeps none.
	LogKeep time.Duration `json:"log_keep,omitempty"`
	// LogBytes is how much of the metadata server's memory the log may take before records
	// that are in segments leave it although a mirror lacks them; 0 is no limit.
	LogBytes int64     `json:"log_bytes,omitempty"`
	Created  time.Time `json:"created"`
	// First is the number of the site where the volume was formatted or restored; 0 is 1.
	First uint8          `json:"first_site,omitempty"`
	Sites map[uint8]Site `json:"sites"`
	// Source is the number of the source's site; 0 is the first. See SourceSite.
	Source uint8 `json:"source_site_id,omitempty"`
	// Promotions tells of every change of the source, in the order of their epochs.
	Promotions []Promotion `json:"promotions,omitempty"`
	// Origins are the sites with a bucket of the volume that this one was restored from. Their
	// numbers are none of this volume's own. Slices whose home is one of them are read there;
	// nothing of this volume is written or deleted there.
	Origins map[uint8]Site `json:"origins,omitempty"`
	// Holds keep data that this volume has freed for others than its mirrors, by name: volumes that
	// were restored from it.
	Holds map[string]Hold   `json:"holds,omitempty"`
	Extra map[string]string `json:"extra,omitempty"`
}

// Hold keeps from being deleted what was referred to at a position and was freed later.
type Hold struct {
	Position Position  `json:"position"`
	Time     time.Time `json:"time"` // when it was made
	Reason   string    `json:"reason"`
}

// FirstSite is the number of the site where the volume was formatted or restored.
func (v *Volume) FirstSite() uint8 {
	if v.First == 0 {
		return 1
	}
	return v.First
}

// Site is a place where the volume lives. Site 1 is where it was formatted, unless it was restored.
type Site struct {
	ID     uint8  `json:"id"`
	Name   string `json:"name"`
	Bucket string `json:"bucket,omitempty"` // data address; empty when the site has none
	// Shares says that the site uses the source's metadata and is no mirror.
	Shares bool `json:"shares,omitempty"`
	// Address is where other sites find the metadata of this one, without a password;
	// empty when they were never told.
	Address string `json:"address,omitempty"`
	// Detached says that the site's metadata does not take part any more: it was the
	// source, another site was promoted, and it has not rejoined. Only its bucket counts.
	Detached bool `json:"detached,omitempty"`
	// Feed is the mirror whose log this one follows, so that records cross the way from the
	// source once for both; 0 when that is the source's own.
	Feed uint8 `json:"feed,omitempty"`
}

// Role is what a site's metadata may do.
type Role byte

// The roles.
const (
	RoleSource        Role = 'S' // orders changes
	RoleMirror        Role = 'M' // written by Apply only
	RoleBootstrapping Role = 'B' // a mirror whose first copy is not complete: not to be read
	RoleFenced        Role = 'F' // was a source: refuses every change
)

// State is where an engine's metadata stands.
type State struct {
	Position Position
	// Chain is a checksum over all records up to Position, 16 hex digits.
	Chain string
	Role  Role
	Counters
}

// Counters are the numbers of a volume that changes move.
type Counters struct {
	NextIno   Ino    // the next inode number to be given out
	NextSlice uint64 // the next slice number to be given out
	Usage     Usage
}
