package vfstest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// OS is the file system below a directory as the kernel shows it.
func OS(dir string) FS { return osFS{dir} }

type osFS struct{ dir string }

func (o osFS) at(path string) string { return filepath.Join(o.dir, path) }

// again repeats a call that a signal interrupted: Go's scheduler sends them.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func (o osFS) Open(path string, flags int, mode uint32) (File, error) {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Open(o.at(path), flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &osFile{fd: fd, append: flags&unix.O_APPEND != 0}, nil
}

func (o osFS) OpenDir(path string) (Dir, error) {
	fd, err := unix.Open(o.at(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &osDir{fd: fd}, nil
}

func (o osFS) Mkdir(path string, mode uint32) error {
	return again(func() error { return unix.Mkdir(o.at(path), mode) })
}

func (o osFS) Mknod(path string, mode, dev uint32) error {
	return again(func() error { return unix.Mknod(o.at(path), mode, int(dev)) })
}

func (o osFS) Symlink(target, path string) error {
	return again(func() error { return unix.Symlink(target, o.at(path)) })
}

func (o osFS) Readlink(path string) (string, error) { return os.Readlink(o.at(path)) }

func (o osFS) Link(old, path string) error {
	return again(func() error { return unix.Link(o.at(old), o.at(path)) })
}

func (o osFS) Unlink(path string) error {
	return again(func() error { return unix.Unlink(o.at(path)) })
}

func (o osFS) Rmdir(path string) error {
	return again(func() error { return unix.Rmdir(o.at(path)) })
}

func (o osFS) Rename(old, path string, flags uint) error {
	return again(func() error {
		return unix.Renameat2(unix.AT_FDCWD, o.at(old), unix.AT_FDCWD, o.at(path), flags)
	})
}

func (o osFS) Lstat(path string) (Stat, error) {
	var st unix.Stat_t
	err := again(func() error { return unix.Lstat(o.at(path), &st) })
	return toStat(&st), err
}

func (o osFS) Chmod(path string, mode uint32) error {
	return again(func() error { return unix.Chmod(o.at(path), mode) })
}

func (o osFS) Chown(path string, uid, gid int) error {
	return again(func() error { return unix.Lchown(o.at(path), uid, gid) })
}

func (o osFS) Utimes(path string, atime, mtime time.Time) error {
	return again(func() error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, o.at(path), timespecs(atime, mtime), unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (o osFS) Truncate(path string, size int64) error {
	return again(func() error { return unix.Truncate(o.at(path), size) })
}

func (o osFS) SetXattr(path, name string, value []byte, flags int) error {
	return again(func() error { return unix.Lsetxattr(o.at(path), name, value, flags) })
}

func (o osFS) GetXattr(path, name string) ([]byte, error) {
	buf := make([]byte, 64<<10)
	var n int
	err := again(func() (err error) { n, err = unix.Lgetxattr(o.at(path), name, buf); return err })
	return buf[:max(n, 0)], err
}

func (o osFS) ListXattr(path string) ([]string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(o.at(path), buf)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range bytes.Split(buf[:n], []byte{0}) {
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names, nil
}

func (o osFS) RemoveXattr(path, name string) error {
	return again(func() error { return unix.Lremovexattr(o.at(path), name) })
}

func (o osFS) StatFS() (Space, error) {
	var st unix.Statfs_t
	err := again(func() error { return unix.Statfs(o.dir, &st) })
	block := uint64(st.Bsize)
	return Space{Total: st.Blocks * block, Free: st.Bavail * block, Inodes: st.Files, Ifree: st.Ffree}, err
}

// osFile is a file descriptor.
type osFile struct {
	fd     int
	append bool
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pread(f.fd, p[done:], off+int64(done))
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		var n int
		err := again(func() (err error) {
			if f.append {
				n, err = unix.Write(f.fd, p[done:])
			} else {
				n, err = unix.Pwrite(f.fd, p[done:], off+int64(done))
			}
			return err
		})
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (f *osFile) Truncate(size int64) error {
	return again(func() error { return unix.Ftruncate(f.fd, size) })
}

func (f *osFile) Fallocate(mode uint32, off, n int64) error {
	return again(func() error { return unix.Fallocate(f.fd, mode, off, n) })
}

func (f *osFile) Seek(off int64, whence int) (at int64, err error) {
	err = again(func() (err error) { at, err = unix.Seek(f.fd, off, whence); return err })
	return at, err
}

func (f *osFile) CopyTo(off int64, dst File, dstOff, n int64) (int64, error) {
	to, ok := dst.(*osFile)
	if !ok {
		return 0, syscall.EXDEV
	}
	var done int
	err := again(func() (err error) {
		done, err = unix.CopyFileRange(f.fd, &off, to.fd, &dstOff, int(n), 0)
		return err
	})
	return int64(done), err
}

func (f *osFile) Stat() (Stat, error) {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstat(f.fd, &st) })
	return toStat(&st), err
}

func (f *osFile) Chmod(mode uint32) error {
	return again(func() error { return unix.Fchmod(f.fd, mode) })
}

func (f *osFile) Utimes(atime, mtime time.Time) error {
	path := fmt.Sprintf("/proc/self/fd/%d", f.fd)
	return again(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, path, timespecs(atime, mtime), 0) })
}

func (f *osFile) Sync() error { return again(func() error { return unix.Fsync(f.fd) }) }

func (f *osFile) Close() error { return unix.Close(f.fd) }

// osDir reads directory entries with a small buffer, so that streams go through
// many calls.
type osDir struct {
	fd   int
	buf  [2048]byte
	left []byte
}

func (d *osDir) Next() (string, int64, error) {
	if len(d.left) == 0 {
		var n int
		err := again(func() (err error) { n, err = unix.Getdents(d.fd, d.buf[:]); return err })
		if err != nil {
			return "", 0, err
		}
		if n == 0 {
			return "", 0, io.EOF
		}
		d.left = d.buf[:n]
	}
	// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
	e := d.left
	cookie := int64(binary.NativeEndian.Uint64(e[8:]))
	size := binary.NativeEndian.Uint16(e[16:])
	name, _, _ := bytes.Cut(e[19:size], []byte{0})
	d.left = e[size:]
	return string(name), cookie, nil
}

func (d *osDir) SeekTo(cookie int64) error {
	d.left = nil
	_, err := unix.Seek(d.fd, cookie, io.SeekStart)
	return err
}

func (d *osDir) Close() error { return unix.Close(d.fd) }

func toStat(st *unix.Stat_t) Stat {
	return Stat{
		Ino: st.Ino, Mode: st.Mode, Nlink: uint32(st.Nlink), UID: st.Uid, GID: st.Gid, Rdev: uint32(st.Rdev), Size: st.Size,
		Atime: time.Unix(st.Atim.Unix()), Mtime: time.Unix(st.Mtim.Unix()), Ctime: time.Unix(st.Ctim.Unix()),
	}
}

func timespecs(atime, mtime time.Time) []unix.Timespec {
	return []unix.Timespec{unix.NsecToTimespec(atime.UnixNano()), unix.NsecToTimespec(mtime.UnixNano())}
}
