package vfstest

import (
	"time"
)

// Target is a file system under test.
type Target struct {
	// FS is what the suite works on: an empty writable directory. The suite acts
	// as root.
	FS FS
	// Other, if not nil, is the same directory through another client.
	Other FS
	// Dir is where the kernel shows FS; empty when it does not. Tests that need a
	// kernel (mmap, execution) are left out then.
	Dir string
	// Foreign says that FS is not ours: tests of our own limits are left out.
	Foreign bool
	// Settle, if not nil, waits until what one client closed can be seen by the other,
	// in the test of random bytes.
	Settle func()
	// Flags are for every open of the test of random bytes: O_DIRECT, say, with which
	// nothing is mapped.
	Flags int
	// Entries is the size of the largest directory to make; default 3,000.
	Entries int
	// Steps is the length of each random run; default 400.
	Steps int
}

// FS is a file system by paths, relative and slash-separated, without following
// a symbolic link at the end. Errors carry an errno.
type FS interface {
	Open(path string, flags int, mode uint32) (File, error)
	OpenDir(path string) (Dir, error)
	Mkdir(path string, mode uint32) error
	Mknod(path string, mode uint32, dev uint32) error
	Symlink(target, path string) error
	Readlink(path string) (string, error)
	Link(old, path string) error
	Unlink(path string) error
	Rmdir(path string) error
	// Rename takes the flags of renameat2(2).
	Rename(old, path string, flags uint) error
	Lstat(path string) (Stat, error)
	Chmod(path string, mode uint32) error
	// Chown leaves what is -1.
	Chown(path string, uid, gid int) error
	Utimes(path string, atime, mtime time.Time) error
	Truncate(path string, size int64) error
	// SetXattr takes the flags of setxattr(2).
	SetXattr(path, name string, value []byte, flags int) error
	GetXattr(path, name string) ([]byte, error)
	ListXattr(path string) ([]string, error)
	RemoveXattr(path, name string) error
	StatFS() (Space, error)
}

// File is an open file.
type File interface {
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes at off, or at the end when opened with O_APPEND.
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	// Fallocate takes the modes of fallocate(2).
	Fallocate(mode uint32, off, n int64) error
	// Seek takes SEEK_DATA or SEEK_HOLE.
	Seek(off int64, whence int) (int64, error)
	// CopyTo copies a range to another file of the same FS as copy_file_range(2) does.
	CopyTo(off int64, dst File, dstOff, n int64) (int64, error)
	Stat() (Stat, error)
	Chmod(mode uint32) error
	Utimes(atime, mtime time.Time) error
	Sync() error
	Close() error
}

// Dir is an open directory stream.
type Dir interface {
	// Next gives the next name, dots included, and the cookie after it; io.EOF
	// at the end.
	Next() (name string, cookie int64, err error)
	// SeekTo goes to a cookie; 0 starts over.
	SeekTo(cookie int64) error
	Close() error
}

// Stat is what stat(2) tells.
type Stat struct {
	Ino   uint64
	Mode  uint32 // type included
	Nlink uint32
	UID   uint32
	GID   uint32
	Rdev  uint32
	Size  int64
	Atime time.Time
	Mtime time.Time
	Ctime time.Time
}

// Space is what statfs(2) tells, in bytes and inodes.
type Space struct {
	Total, Free   uint64
	Inodes, Ifree uint64
}

// Flags of FS.Rename.
const (
	NoReplace = 1
	Exchange  = 2
)

// Flags of FS.SetXattr.
const (
	XattrCreate  = 1
	XattrReplace = 2
)
