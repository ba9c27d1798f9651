package posix

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// worker makes calls on a thread of its own, which alone becomes another user.
type worker struct {
	requests chan func()
	ended    chan struct{}
	user     User
}

// newWorker takes a thread. stop gives it back as it was: a thread must not end,
// for processes that were started from it may be told to end with it.
func newWorker() (*worker, error) {
	groups, err := os.Getgroups()
	if err != nil {
		return nil, err
	}
	before := User{Groups: make([]uint32, len(groups))}
	for i, g := range groups {
		before.Groups[i] = uint32(g)
	}
	w := &worker{requests: make(chan func()), ended: make(chan struct{}), user: before}
	go func() {
		defer close(w.ended)
		runtime.LockOSThread()
		for f := range w.requests {
			f()
		}
		if w.become(before) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return w, nil
}

func (w *worker) stop() {
	close(w.requests)
	<-w.ended
}

// do runs f on the thread.
func (w *worker) do(f func()) {
	done := make(chan struct{})
	w.requests <- func() { f(); close(done) }
	<-done
}

// become makes the thread act for a user. Go's own functions would change every
// thread of the process.
func (w *worker) become(u User) error {
	if w.user.UID == u.UID && w.user.GID == u.GID && slices.Equal(w.user.Groups, u.Groups) {
		return nil
	}
	const keep = ^uintptr(0) // -1
	groups := u.Groups
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0]) //nolint:gosec // the array that setgroups(2) reads
	}
	for _, call := range [][4]uintptr{
		{unix.SYS_SETRESUID, keep, 0, keep}, // the rights to become someone else
		{unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0},
		{unix.SYS_SETRESGID, keep, uintptr(u.GID), keep},
		{unix.SYS_SETRESUID, keep, uintptr(u.UID), keep},
	} {
		if _, _, e := unix.RawSyscall(call[0], call[1], call[2], call[3]); e != 0 {
			return fmt.Errorf("become %v: %w", u, e)
		}
	}
	runtime.KeepAlive(groups)
	w.user = u
	return nil
}

// again repeats a call that one of Go's own signals interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// make makes a call in the box that the descriptor and the path are of, and tells
// what came of it.
func (w *worker) make(fd int, box string, c *Call) string {
	if err := w.become(c.As); err != nil {
		return err.Error()
	}
	text := ""
	err := again(func() (err error) {
		text, err = w.once(fd, box, c)
		return err
	})
	if err != nil || text == "" {
		return errno(err)
	}
	return text
}

func (w *worker) once(fd int, box string, c *Call) (string, error) {
	switch c.Op {
	case Mkdir:
		return "", unix.Mkdirat(fd, c.Path, c.Mode)
	case Mknod:
		const null = 1<<8 | 3
		return "", unix.Mknodat(fd, c.Path, c.Mode, null)
	case Symlink:
		return "", unix.Symlinkat(c.To, fd, c.Path)
	case Link:
		return "", unix.Linkat(fd, c.Path, fd, c.To, c.Flags)
	case Unlink:
		return "", unix.Unlinkat(fd, c.Path, 0)
	case Rmdir:
		return "", unix.Unlinkat(fd, c.Path, unix.AT_REMOVEDIR)
	case Rename:
		return "", unix.Renameat2(fd, c.Path, fd, c.To, uint(c.Flags))
	case Chmod:
		return "", unix.Fchmodat(fd, c.Path, c.Mode, 0)
	case Chown:
		return "", unix.Fchownat(fd, c.Path, c.UID, c.GID, c.Flags)
	case Utimens:
		times := []unix.Timespec{timespec(c.Atime), timespec(c.Mtime)}
		return "", unix.UtimesNanoAt(fd, c.Path, times, c.Flags)
	case Access:
		return "", unix.Faccessat(fd, c.Path, c.Mode, unix.AT_EACCESS)
	case Truncate:
		return "", unix.Truncate(under(box, c.Path), c.Size)
	default:
		return w.look(fd, box, c)
	}
}

// look makes the calls that return something or work on an open file.
func (w *worker) look(fd int, box string, c *Call) (string, error) {
	switch c.Op {
	case Readlink:
		buf := make([]byte, 8192)
		n, err := unix.Readlinkat(fd, c.Path, buf)
		return fmt.Sprintf("%q", buf[:max(n, 0)]), err
	case Stat:
		var st unix.Stat_t
		err := unix.Fstatat(fd, c.Path, &st, c.Flags)
		return describe(&st), err
	case SetXattr:
		return "", unix.Setxattr(under(box, c.Path), c.To, []byte("value"), c.Flags)
	case GetXattr:
		buf := make([]byte, 100)
		n, err := unix.Getxattr(under(box, c.Path), c.To, buf)
		return fmt.Sprintf("%q", buf[:max(n, 0)]), err
	default:
		return w.open(fd, c)
	}
}

// open makes the calls that need an open file.
func (w *worker) open(fd int, c *Call) (text string, err error) {
	flags := c.Flags
	switch c.Op {
	case Write:
		flags |= unix.O_WRONLY
	case Ftrunc:
		flags |= unix.O_RDWR
	case List:
		flags |= unix.O_DIRECTORY
	default:
	}
	file, err := unix.Openat(fd, c.Path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, c.Mode)
	if err != nil {
		return "", err
	}
	defer func() {
		if e := unix.Close(file); err == nil {
			err = e
		}
	}()
	switch c.Op {
	case Write:
		_, err = unix.Write(file, []byte("xx"))
	case Ftrunc:
		err = unix.Ftruncate(file, c.Size)
	case Fchmod:
		err = unix.Fchmod(file, c.Mode)
	case Fchown:
		err = unix.Fchown(file, c.UID, c.GID)
	case List:
		return list(file)
	default:
	}
	return "", err
}

// list gives the names in an open directory, sorted.
func list(fd int) (string, error) {
	var names []string
	buf := make([]byte, 8192)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n == 0 {
			slices.Sort(names)
			return strings.Join(names, " "), err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// under is a path below a box, as it is written: filepath.Join would tidy it up.
func under(box, path string) string { return box + "/" + path }

func timespec(seconds int64) unix.Timespec {
	switch seconds {
	case timeNow:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	case timeOmit:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	default:
		return unix.Timespec{Sec: seconds, Nsec: 123456789}
	}
}

// describe is what stat(2) says, as far as file systems must agree: not the sizes of
// directories, nor numbers of inodes and devices.
func describe(st *unix.Stat_t) string {
	kinds := map[uint32]string{
		unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "link", unix.S_IFIFO: "fifo",
		unix.S_IFSOCK: "sock", unix.S_IFCHR: "char", unix.S_IFBLK: "block",
	}
	size := strconv.FormatInt(st.Size, 10)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = "-"
	}
	return fmt.Sprintf("%s %04o links %d owner %d:%d size %s dev %d", kinds[st.Mode&unix.S_IFMT], st.Mode&0o7777, st.Nlink, st.Uid, st.Gid, size, st.Rdev)
}

// isRoot tells whether this process may become others.
func isRoot() bool { return os.Geteuid() == 0 }
