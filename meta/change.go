package meta

// Change is one change of the metadata: one of the types of this file. Times
// come from the engine's clock.
type Change interface {
	// Op names the operation in records, logs, errors and metrics.
	Op() Op
}

// Op is an operation's number in a record.
type Op uint8

// The operations. Numbers are part of the format: append only.
const (
	OpFormat Op = iota + 1
	OpCreate
	OpMkdir
	OpMknod
	OpSymlink
	OpLink
	OpUnlink
	OpRmdir
	OpRename
	OpSetAttr
	OpCommit
	OpSetXattr
	OpRemoveXattr
	OpReserve
	OpPurge
	OpSessionStart
	OpSessionEnd
	OpSettings
	OpClone
	OpCompact
	OpReclaim
	OpRestore
	OpQuota
	OpCount
	OpRepair
	OpFailover
	opEnd
)

// String gives the operation's name.
func (o Op) String() string {
	names := [...]string{"?", "format", "create", "mkdir", "mknod", "symlink", "link", "unlink", "rmdir", "rename", "setattr", "commit", "setxattr", "removexattr", "reserve", "purge", "session_start", "session_end", "settings", "clone", "compact", "reclaim", "restore", "quota", "count", "repair", "failover"}
	if int(o) < len(names) {
		return names[o]
	}
	return "?"
}

// Make creates an inode with a name. EEXIST when the name is taken, whatever by. ENAMETOOLONG when
// a new directory would lie in more than MaxDepth others.
// In a directory with the setgid bit, the new inode gets the directory's group,
// and a new directory the bit. In a directory with a default ACL, the new inode gets
// it, limited to what Mode allows, and the umask plays no part.
type Make struct {
	Parent Ino
	Name   string
	Mode   uint32 // type and permission bits
	Umask  uint32 // permission bits to leave out, 0 when Mode does so already
	UID    uint32
	GID    uint32
	Rdev   uint32 // of a device
	Target string // of a symbolic link, 1 to MaxTargetBytes
}

// Op depends on the type in Mode.
func (c Make) Op() Op {
	switch c.Mode & TypeMask {
	case TypeFile:
		return OpCreate
	case TypeDir:
		return OpMkdir
	case TypeSymlink:
		return OpSymlink
	default:
		return OpMknod
	}
}

// Permitted is the mode with the umask applied, which symbolic links have no part in.
func (c *Make) Permitted() uint32 {
	mode := c.Mode & (TypeMask | 0o7777)
	if c.Mode&TypeMask == TypeSymlink {
		return mode
	}
	return mode &^ (c.Umask & 0o777)
}

// AttrMask says which fields SetAttr sets.
type AttrMask uint32

// The fields that SetAttr can set.
const (
	SetMode AttrMask = 1 << iota
	SetUID
	SetGID
	SetSize
	SetAtime
	SetMtime
	SetAtimeNow
	SetMtimeNow
	// ClearSetID clears the setuid bit, and the setgid bit of a
	// group-executable file, as Linux does on chown and truncate by others than
	// root. It comes after SetMode.
	ClearSetID
	// NoTrash says that what is cut off is not to be kept.
	NoTrash
	// SetAccessed, which stands alone, sets the access time to Atime if that is
	// later, and nothing else: a read is no change of the inode, so ctime stays.
	SetAccessed
)

// SetAttr changes attributes. Setting Size of something else than a regular file
// is EINVAL (EISDIR for a directory); growing a file makes a hole, shrinking it
// frees what is cut off and sets mtime. A file that is too large for one call is
// cut from its end: Result.Node has the size that was reached, and the same change
// made again goes on.
//
// On a volume with a trash time (Volume.Trash), setting Size 0 of a file that has a name and
// content keeps that, unless NoTrash says otherwise: an orphan is made of it, a new inode with the attributes and
// extended attributes that the file had, whose Orphan.Parent is the file. Not when
// the file has more extent lists than MaxKeptLists or more in them than MaxKeptBytes,
// or more extended attributes than MaxKeptXattrBytes: then it is freed.
type SetAttr struct {
	Ino   Ino
	Set   AttrMask
	Mode  uint32 // permission bits only
	UID   uint32
	GID   uint32
	Size  uint64
	Atime int64
	Mtime int64
}

// Op is OpSetAttr.
func (SetAttr) Op() Op { return OpSetAttr }

// Link gives a file another name. EPERM for a directory, EMLINK past MaxLinks,
// ENOENT for an orphan.
type Link struct {
	Ino    Ino
	Parent Ino
	Name   string
}

// Op is OpLink.
func (Link) Op() Op { return OpLink }

// What of a file's metadata is kept when it is cut to nothing, at most.
const (
	MaxKeptLists      = 2048      // chunks that have extents
	MaxKeptBytes      = 256 << 10 // of encoded extents
	MaxKeptXattrBytes = 64 << 10  // names and values
)

// Unlink removes a name of anything but a directory (EISDIR). The inode that
// loses its last name becomes an orphan until Purge or Restore.
type Unlink struct {
	Parent Ino
	Name   string
}

// Op is OpUnlink.
func (Unlink) Op() Op { return OpUnlink }

// Rmdir removes an empty directory (ENOTEMPTY, ENOTDIR). It becomes an orphan. In
// the changes and questions about names, an orphan directory is ENOENT.
type Rmdir struct {
	Parent Ino
	Name   string
}

// Op is OpRmdir.
func (Rmdir) Op() Op { return OpRmdir }

// RenameFlags are those of renameat2.
type RenameFlags uint32

// The flags of Rename; both together are EINVAL.
const (
	RenameNoReplace RenameFlags = 1 << iota // EEXIST when the new name is taken
	RenameExchange                          // swap two existing names
)

// Rename moves a name. An existing target is replaced as rename(2) says: a file
// by a non-directory (it loses a name as by Unlink), an empty directory by a
// directory. Moving a directory below itself is EINVAL, and to where it would lie in more than
// MaxDepth others ENAMETOOLONG. Two names of one inode
// are left as they are, and that is no change: Result.Position is then zero.
type Rename struct {
	OldParent Ino
	OldName   string
	NewParent Ino
	NewName   string
	Flags     RenameFlags
}

// Op is OpRename.
func (Rename) Op() Op { return OpRename }

// Commit appends extents to the extent lists of a regular file, whose blocks
// are in object storage already. The file's size becomes the largest of what
// it was, the end of the last extent that is no hole, and Size. It sets mtime and
// ctime. Works on orphans. A slice that it names and that was freed is taken off
// what was freed. ErrTooMuch (E2BIG) says that the lists of these chunks
// together are too long for one call, or that of one chunk would be longer than
// MaxChunkExtents: commit fewer chunks, or Compact the one.
type Commit struct {
	Ino Ino
	// Chunks is sorted by Index; each has at least one extent. Together at most
	// MaxCommitExtents extents. Holes take away what is under them. There may be
	// none when Size is given.
	Chunks []ChunkExtents
	// Size, if not zero, is how long the file is to be at least: holes alone do not
	// make it longer.
	Size uint64
	// Mtime, if not zero, is the modification time to set; zero means now.
	Mtime int64
	// Atime, if not zero, is the access time to set; zero leaves it. A client
	// that holds written data carries a utimensat in its Commit.
	Atime int64
	// ClearSetID clears setuid and setgid bits as a write by others than root does.
	ClearSetID bool
	// Append puts the extents at the end of the file, wherever that is when the
	// commit is made: positions in Chunks count from there, and extents that then
	// pass the end of a chunk are cut in two. EFBIG past MaxFileBytes. Where they
	// were put is the new size less what they span. A commit whose first slice is
	// referred to already was made before: it changes nothing, so that a client
	// that does not know what became of one can send it again. Holes count like
	// other extents, and Size is not given. At most MaxAppendExtents extents.
	Append bool
}

// Limits of one call, so that none keeps the metadata server for long: 20 ms.
const (
	// MaxCommitExtents bounds one Commit, and so its record.
	MaxCommitExtents = 2 << 10
	// MaxChunkExtents bounds the extent list of one chunk.
	MaxChunkExtents = 3 << 10
	// MaxCloneBytes bounds the range of one Clone: 1,024 chunks.
	MaxCloneBytes = 1024 * ChunkBytes
)

// MaxAppendExtents bounds a Commit with Append.
const MaxAppendExtents = MaxCommitExtents

// Op is OpCommit.
func (Commit) Op() Op { return OpCommit }

// XattrMode says what must be true of an attribute before it is set.
type XattrMode uint8

// The modes of SetXattr, as in setxattr(2).
const (
	XattrAny     XattrMode = iota
	XattrCreate            // EEXIST when it exists
	XattrReplace           // ENODATA when it does not
)

// Clone makes a range of a regular file hold what a range of another one, or
// another range of the same, holds: the extents of the target refer to the slices
// of the source, holes are holes, and what was there before is gone. The target
// grows when the range ends behind its end. It sets the target's mtime and ctime;
// Result.Node is the target. EINVAL when the source ends before its range does or
// the ranges overlap in one file, ErrTooMuch (E2BIG) when their lists are too long
// for one call: clone less at a time. Works on orphans.
type Clone struct {
	Src, Dst       Ino
	SrcOff, DstOff uint64 // bytes
	Len            uint64 // bytes, 1 to MaxCloneBytes
	// ClearSetID is as in Commit.
	ClearSetID bool
}

// Op is OpClone.
func (Clone) Op() Op { return OpClone }

// Compact replaces the extents that the list of a chunk begins with by fewer that
// say the same bytes. What was appended since stays over them. Programs cannot
// tell: neither times nor size change, and the version only when the file becomes
// one with an inline extent. EAGAIN when the list does not begin so any more.
type Compact struct {
	Ino   Ino
	Index uint32 // of the chunk
	// Old is what the list begins with, as Extents gave it, 1 to MaxChunkExtents.
	Old []Extent
	// New is no longer than Old; its extents do not go beyond those of Old.
	New []Extent
}

// Op is OpCompact.
func (Compact) Op() Op { return OpCompact }

// SetXattr sets an extended attribute. XattrACL and XattrDefaultACL take ACLs only
// (EINVAL), of anything but a symbolic link (EOPNOTSUPP), the latter of directories
// only (EACCES). ENOSPC when listxattr could not give all names any more.
type SetXattr struct {
	Ino   Ino
	Name  string
	Value []byte
	Mode  XattrMode
	// ClearSetGID clears the setgid bit, as setting an ACL does when the caller is
	// not in the file's group.
	ClearSetGID bool
}

// Op is OpSetXattr.
func (SetXattr) Op() Op { return OpSetXattr }

// RemoveXattr removes an extended attribute, ENODATA when there is none.
type RemoveXattr struct {
	Ino  Ino
	Name string
}

// Op is OpRemoveXattr.
func (RemoveXattr) Op() Op { return OpRemoveXattr }

// Reserve takes slice numbers, Count of them from Result.FirstSlice on.
type Reserve struct{ Count uint32 }

// Op is OpReserve.
func (Reserve) Op() Op { return OpReserve }

// EndOtherSession ends a session whose heartbeat ran out (EBUSY while it
// lives, unless Force).
type EndOtherSession struct {
	ID    SessionID
	Force bool
}

// Op is OpSessionEnd.
func (EndOtherSession) Op() Op { return OpSessionEnd }

// Settings replaces the volume's settings: a site that was added, say.
type Settings struct{ Volume Volume }

// Op is OpSettings.
func (Settings) Op() Op { return OpSettings }

// Result tells what a change did. The zero Position means that there was nothing
// to change.
type Result struct {
	Position Position
	// Node is the inode that the change was about, as it is now: the new one of
	// Make and Link, the one that lost a name of Unlink, the one moved of Rename.
	Node Node
	// FirstSlice is the answer to Reserve.
	FirstSlice uint64
	// Effects is what the record of the change holds. When the record is large,
	// it holds the effects up to a limit and Partial is true.
	Effects []Effect
	Partial bool
}

// Lookup finds the state of an inode that the change touched: its new
// attributes, and whether the effects tell of it.
func (r *Result) Lookup(ino Ino) (Attr, bool) {
	for i := len(r.Effects) - 1; i >= 0; i-- {
		if e := &r.Effects[i]; e.Ino == ino && e.Kind == EffectInode {
			return e.Attr, true
		}
	}
	return Attr{}, false
}
