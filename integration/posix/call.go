package posix

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// User is who makes a call. Root is the zero value.
type User struct {
	UID, GID uint32
	Groups   []uint32 // beside GID
}

// The users of the generated cases.
const (
	ownerID  = 1001 // of user and group
	memberID = 1002 // of a user in the owner's group
	otherID  = 1003 // of a user with nothing in common
)

func root() User   { return User{} }
func owner() User  { return User{UID: ownerID, GID: ownerID} }
func member() User { return User{UID: memberID, GID: memberID, Groups: []uint32{ownerID}} }
func other() User  { return User{UID: otherID, GID: otherID} }

func users() []User { return []User{root(), owner(), member(), other()} }

// String names the user in a transcript.
func (u User) String() string {
	switch u.UID {
	case 0:
		return "root"
	case ownerID:
		return "owner"
	case memberID:
		return "member"
	default:
		return "other"
	}
}

// Op is a system call.
type Op string

// The calls.
const (
	Open     Op = "open" // and close
	Mkdir    Op = "mkdir"
	Mknod    Op = "mknod"
	Symlink  Op = "symlink" // To is what it points to
	Link     Op = "link"    // Path gets the name To
	Unlink   Op = "unlink"
	Rmdir    Op = "rmdir"
	Rename   Op = "rename"
	Readlink Op = "readlink"
	Stat     Op = "stat" // Flags are those of fstatat(2)
	List     Op = "list"
	Access   Op = "access" // Mode is what is asked for
	Chmod    Op = "chmod"
	Chown    Op = "chown" // Flags are those of fchownat(2)
	Truncate Op = "truncate"
	Utimens  Op = "utimens"
	Write    Op = "write"     // opens with Flags and O_WRONLY, writes two bytes
	Ftrunc   Op = "ftruncate" // opens with O_RDWR
	Fchmod   Op = "fchmod"    // opens with O_RDONLY
	Fchown   Op = "fchown"    // opens with O_RDONLY
	GetXattr Op = "getxattr"
	SetXattr Op = "setxattr" // To is the name
)

// Call is a system call by a user. Paths are relative to the box.
type Call struct {
	As    User
	Op    Op
	Path  string
	To    string
	Flags int
	Mode  uint32
	UID   int // of Chown; -1 leaves it
	GID   int
	Size  int64
	// Atime and Mtime of Utimens: seconds, or one of timeNow and timeOmit.
	Atime, Mtime int64
}

const (
	timeNow  = -1
	timeOmit = -2
)

// String is the call as a transcript shows it.
func (c Call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s(%s", c.As, c.Op, shorten(c.Path))
	switch c.Op {
	case Rename, Link, Symlink, SetXattr, GetXattr:
		fmt.Fprintf(&b, ", %s, %#x", shorten(c.To), c.Flags)
	case Chown, Fchown:
		fmt.Fprintf(&b, ", %d, %d, %#x", c.UID, c.GID, c.Flags)
	case Truncate, Ftrunc:
		fmt.Fprintf(&b, ", %d", c.Size)
	case Utimens:
		fmt.Fprintf(&b, ", %d, %d, %#x", c.Atime, c.Mtime, c.Flags)
	default:
		fmt.Fprintf(&b, ", %#x, %#o", c.Flags, c.Mode)
	}
	return b.String() + ")"
}

// shorten keeps long names and paths from filling the screen.
func shorten(path string) string {
	const most = 40
	if len(path) <= most {
		return fmt.Sprintf("%q", path)
	}
	return fmt.Sprintf("%q... of %d bytes", path[:most/2], len(path))
}

// errno is how a transcript shows what a call returned.
func errno(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := err.(unix.Errno); ok { //nolint:errorlint // system calls return it bare
		return unix.ErrnoName(e)
	}
	return err.Error()
}
