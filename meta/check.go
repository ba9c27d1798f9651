package meta

import (
	"strings"
	"syscall"
)

// CheckName says what is wrong with a name to be made or removed, 0 when nothing
// is: ENAMETOOLONG past MaxNameBytes; EINVAL when it is empty, "." or "..", or
// holds a slash or a zero byte. Any other bytes are fine.
func CheckName(name string) syscall.Errno {
	switch {
	case len(name) > MaxNameBytes:
		return syscall.ENAMETOOLONG
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return syscall.EINVAL
	}
	return 0
}

// CheckXattrName says what is wrong with the name of an extended attribute.
func CheckXattrName(name string) syscall.Errno {
	switch {
	case name == "" || len(name) > MaxXattrNameBytes:
		return syscall.ERANGE
	case strings.Contains(name, "\x00"):
		return syscall.EINVAL
	}
	return 0
}

// Check says what is wrong with a change whatever the volume holds, 0 when
// nothing is. Engines ask it first, so that they refuse alike. What depends on
// the volume comes after; docs/decisions/0020-which-error-wins.md has the order.
func Check(c Change) syscall.Errno {
	switch c := c.(type) {
	case Make:
		return checkMake(&c)
	case SetAttr:
		if c.Set&SetSize != 0 && c.Size > MaxFileBytes {
			return syscall.EFBIG
		}
		if c.Set >= SetAccessed<<1 || c.Set&SetAccessed != 0 && c.Set != SetAccessed {
			return syscall.EINVAL
		}
	case Link:
		return CheckName(c.Name)
	case Unlink:
		return CheckName(c.Name)
	case Rmdir:
		return CheckName(c.Name)
	case Rename:
		if c.Flags > RenameExchange {
			return syscall.EINVAL
		}
		if errno := CheckName(c.OldName); errno != 0 {
			return errno
		}
		return CheckName(c.NewName)
	case Commit:
		return checkCommit(&c)
	case Clone:
		return checkClone(&c)
	case Compact:
		return checkCompact(&c)
	case SetXattr:
		return checkSetXattr(&c)
	case RemoveXattr:
		return CheckXattrName(c.Name)
	case Reserve:
		if c.Count == 0 {
			return syscall.EINVAL
		}
	case SetQuota:
		if c.Limit.Bytes > MaxQuotaBytes || c.Limit.Inodes > uint64(MaxIno) {
			return syscall.EINVAL
		}
	case Restore:
		return CheckName(c.Name)
	case Reclaim:
		if len(c.Rows) == 0 || len(c.Rows) > MaxReclaimRows {
			return syscall.EINVAL
		}
	case Repair:
		return checkRepair(&c)
	case Purge, EndOtherSession, Settings, Count:
	default:
		return syscall.ENOSYS
	}
	return 0
}

func checkSetXattr(c *SetXattr) syscall.Errno {
	if len(c.Value) > MaxXattrValueBytes {
		return syscall.E2BIG
	}
	if c.Mode > XattrReplace {
		return syscall.EINVAL
	}
	if errno := CheckXattrName(c.Name); errno != 0 {
		return errno
	}
	if c.Name == XattrACL || c.Name == XattrDefaultACL {
		if _, err := ParseACL(c.Value); err != nil {
			return syscall.EINVAL
		}
	}
	return 0
}

func checkMake(c *Make) syscall.Errno {
	if errno := CheckName(c.Name); errno != 0 {
		return errno
	}
	switch c.Mode & TypeMask {
	case TypeFile, TypeDir, TypeFifo, TypeSocket, TypeChar, TypeBlock:
	case TypeSymlink:
		switch {
		case c.Target == "":
			return syscall.ENOENT
		case len(c.Target) > MaxTargetBytes:
			return syscall.ENAMETOOLONG
		}
	default:
		return syscall.EINVAL
	}
	return 0
}

func checkCommit(c *Commit) syscall.Errno {
	extents := 0
	for i, chunk := range c.Chunks {
		extents += len(chunk.Extents)
		switch {
		case chunk.Index >= MaxFileBytes/ChunkBytes:
			return syscall.EFBIG
		case i > 0 && chunk.Index <= c.Chunks[i-1].Index, len(chunk.Extents) == 0:
			return syscall.EINVAL
		}
		for j := range chunk.Extents {
			if !chunk.Extents[j].valid() {
				return syscall.EINVAL
			}
		}
	}
	switch {
	case c.Size > MaxFileBytes:
		return syscall.EFBIG
	case extents == 0 && c.Size == 0, extents > MaxCommitExtents:
		return syscall.EINVAL
	case c.Append && c.Size > 0:
		return syscall.EINVAL
	}
	return 0
}

func checkClone(c *Clone) syscall.Errno {
	switch {
	case c.Len == 0 || c.Len > MaxCloneBytes || c.SrcOff > MaxFileBytes:
		return syscall.EINVAL
	case c.DstOff > MaxFileBytes-c.Len:
		return syscall.EFBIG
	case c.Src == c.Dst && c.SrcOff < c.DstOff+c.Len && c.DstOff < c.SrcOff+c.Len:
		return syscall.EINVAL
	}
	return 0
}

func checkCompact(c *Compact) syscall.Errno {
	if len(c.Old) == 0 || len(c.Old) > MaxChunkExtents || len(c.New) > len(c.Old) || c.Index >= MaxFileBytes/ChunkBytes {
		return syscall.EINVAL
	}
	for i := range c.New {
		if e := &c.New[i]; !e.valid() || i > 0 && e.Pos < c.New[i-1].Pos+c.New[i-1].Len {
			return syscall.EINVAL
		}
	}
	return 0
}

// valid reports whether an extent stays in its chunk and in its slice. A hole has
// no slice to stay in.
func (e *Extent) valid() bool {
	if e.Len == 0 || uint64(e.Pos)+uint64(e.Len) > ChunkBytes {
		return false
	}
	if e.Slice == 0 {
		return e.Home == 0 && e.Size == 0 && e.Off == 0
	}
	return e.Slice <= MaxSlice && e.Size <= ChunkBytes && uint64(e.Off)+uint64(e.Len) <= uint64(e.Size)
}
