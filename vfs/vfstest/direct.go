package vfstest

import (
	"context"
	"io"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// Direct is a vfs.FS without a kernel: the calls of this package translated to
// its own, as an adapter would. Close flushes and releases.
func Direct(fs *vfs.FS) FS { return direct{fs} }

type direct struct{ fs *vfs.FS }

// call bounds every call of the suite.
func call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

// find gives the inode of a path.
func (d direct) find(ctx context.Context, p string) (meta.Node, error) {
	nodes, err := d.fs.Resolve(ctx, d.fs.Root(), strings.Trim(path.Clean("/"+p), "/"))
	if err != nil {
		return meta.Node{}, err
	}
	if len(nodes) == 0 {
		return d.fs.GetAttr(ctx, d.fs.Root())
	}
	return nodes[len(nodes)-1], nil
}

// parent gives the directory of a path and the name in it.
func (d direct) parent(ctx context.Context, p string) (meta.Ino, string, error) {
	dir, name := path.Split(path.Clean("/" + p))
	n, err := d.find(ctx, dir)
	return n.Ino, name, err
}

// do runs f with the parent and name of a path.
func (d direct) do(p string, f func(ctx context.Context, dir meta.Ino, name string) error) error {
	ctx, cancel := call()
	defer cancel()
	dir, name, err := d.parent(ctx, p)
	if err != nil {
		return err
	}
	return f(ctx, dir, name)
}

// on runs f with the node of a path.
func (d direct) on(p string, f func(ctx context.Context, n meta.Node) error) error {
	ctx, cancel := call()
	defer cancel()
	n, err := d.find(ctx, p)
	if err != nil {
		return err
	}
	return f(ctx, n)
}

func (d direct) Open(p string, flags int, mode uint32) (f File, err error) {
	err = d.do(p, func(ctx context.Context, dir meta.Ino, name string) error {
		node, err := d.fs.Lookup(ctx, dir, name)
		var file *vfs.File
		switch {
		case err == nil && flags&syscall.O_CREAT != 0 && flags&syscall.O_EXCL != 0:
			return syscall.EEXIST
		case err == nil && node.Attr.Type() == meta.TypeSymlink:
			return syscall.ELOOP
		case err == nil:
			file, err = d.fs.Open(ctx, node.Ino, uint32(flags))
		case meta.Errno(err) == syscall.ENOENT && flags&syscall.O_CREAT != 0:
			_, file, err = d.fs.Create(ctx, meta.Make{Parent: dir, Name: name, Mode: mode}, uint32(flags))
		}
		f = &directFile{fs: d.fs, f: file}
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d direct) OpenDir(p string) (dir Dir, err error) {
	err = d.on(p, func(ctx context.Context, n meta.Node) error {
		if !n.Attr.IsDir() {
			return syscall.ENOTDIR
		}
		s, err := d.fs.OpenDir(ctx, n.Ino)
		dir = &directDir{d: s}
		return err
	})
	return dir, err
}

func (d direct) make(p string, c meta.Make) error {
	return d.do(p, func(ctx context.Context, dir meta.Ino, name string) error {
		c.Parent, c.Name = dir, name
		_, err := d.fs.Make(ctx, c)
		return err
	})
}

func (d direct) Mkdir(p string, mode uint32) error {
	return d.make(p, meta.Make{Mode: meta.TypeDir | mode})
}

func (d direct) Mknod(p string, mode, dev uint32) error {
	return d.make(p, meta.Make{Mode: mode, Rdev: dev})
}

func (d direct) Symlink(target, p string) error {
	return d.make(p, meta.Make{Mode: meta.TypeSymlink | 0o777, Target: target})
}

func (d direct) Readlink(p string) (target string, err error) {
	err = d.on(p, func(ctx context.Context, n meta.Node) (err error) {
		target, err = d.fs.ReadLink(ctx, n.Ino)
		return err
	})
	return target, err
}

func (d direct) Link(old, p string) error {
	return d.on(old, func(ctx context.Context, n meta.Node) error {
		dir, name, err := d.parent(ctx, p)
		if err == nil {
			_, err = d.fs.Link(ctx, meta.Link{Ino: n.Ino, Parent: dir, Name: name})
		}
		return err
	})
}

func (d direct) Unlink(p string) error {
	return d.do(p, func(ctx context.Context, dir meta.Ino, name string) error {
		return d.fs.Unlink(ctx, meta.Unlink{Parent: dir, Name: name})
	})
}

func (d direct) Rmdir(p string) error {
	return d.do(p, func(ctx context.Context, dir meta.Ino, name string) error {
		return d.fs.Rmdir(ctx, meta.Rmdir{Parent: dir, Name: name})
	})
}

func (d direct) Rename(old, p string, flags uint) error {
	return d.do(old, func(ctx context.Context, dir meta.Ino, name string) error {
		to, toName, err := d.parent(ctx, p)
		if err == nil {
			err = d.fs.Rename(ctx, meta.Rename{OldParent: dir, OldName: name, NewParent: to, NewName: toName, Flags: meta.RenameFlags(flags)})
		}
		return err
	})
}

func (d direct) Lstat(p string) (st Stat, err error) {
	err = d.on(p, func(_ context.Context, n meta.Node) error {
		st = nodeStat(n)
		return nil
	})
	return st, err
}

func (d direct) setattr(p string, c meta.SetAttr) error {
	return d.on(p, func(ctx context.Context, n meta.Node) error {
		c.Ino = n.Ino
		_, err := d.fs.SetAttr(ctx, c)
		return err
	})
}

func (d direct) Chmod(p string, mode uint32) error {
	return d.setattr(p, meta.SetAttr{Set: meta.SetMode, Mode: mode})
}

func (d direct) Chown(p string, uid, gid int) error {
	c := meta.SetAttr{UID: uint32(uid), GID: uint32(gid)}
	if uid >= 0 {
		c.Set |= meta.SetUID
	}
	if gid >= 0 {
		c.Set |= meta.SetGID
	}
	return d.setattr(p, c)
}

func (d direct) Utimes(p string, atime, mtime time.Time) error {
	return d.setattr(p, times(atime, mtime))
}

func times(atime, mtime time.Time) meta.SetAttr {
	return meta.SetAttr{Set: meta.SetAtime | meta.SetMtime, Atime: atime.UnixNano(), Mtime: mtime.UnixNano()}
}

func (d direct) Truncate(p string, size int64) error {
	return d.setattr(p, meta.SetAttr{Set: meta.SetSize, Size: uint64(size)})
}

func (d direct) SetXattr(p, name string, value []byte, flags int) error {
	return d.on(p, func(ctx context.Context, n meta.Node) error {
		return d.fs.SetXattr(ctx, meta.SetXattr{Ino: n.Ino, Name: name, Value: value, Mode: meta.XattrMode(flags)})
	})
}

func (d direct) GetXattr(p, name string) (value []byte, err error) {
	err = d.on(p, func(ctx context.Context, n meta.Node) (err error) {
		value, err = d.fs.GetXattr(ctx, n.Ino, name)
		return err
	})
	return value, err
}

func (d direct) ListXattr(p string) (names []string, err error) {
	err = d.on(p, func(ctx context.Context, n meta.Node) (err error) {
		names, err = d.fs.ListXattr(ctx, n.Ino)
		return err
	})
	return names, err
}

func (d direct) RemoveXattr(p, name string) error {
	return d.on(p, func(ctx context.Context, n meta.Node) error {
		return d.fs.RemoveXattr(ctx, meta.RemoveXattr{Ino: n.Ino, Name: name})
	})
}

func (d direct) StatFS() (Space, error) {
	ctx, cancel := call()
	defer cancel()
	s, err := d.fs.StatFS(ctx, d.fs.Root())
	return Space{
		Total: s.Total.Bytes, Free: s.Avail.Bytes,
		Inodes: s.Total.Inodes, Ifree: s.Total.Inodes - s.Used.Inodes,
	}, err
}

func nodeStat(n meta.Node) Stat {
	a := &n.Attr
	return Stat{
		Ino: uint64(n.Ino), Mode: a.Mode, Nlink: a.Nlink, UID: a.UID, GID: a.GID, Rdev: a.Rdev, Size: int64(a.Size),
		Atime: time.Unix(0, a.Atime), Mtime: time.Unix(0, a.Mtime), Ctime: time.Unix(0, a.Ctime),
	}
}

// directFile is an open vfs.File.
type directFile struct {
	fs *vfs.FS
	f  *vfs.File
}

func (f *directFile) ReadAt(p []byte, off int64) (int, error) {
	ctx, cancel := call()
	defer cancel()
	spans, err := f.f.Read(ctx, off, len(p))
	if err != nil {
		return 0, err
	}
	defer chunk.ReleaseAll(spans)
	done := 0
	for i := range spans {
		n, err := spans[i].ReadAt(p[done:done+spans[i].Len], 0)
		done += n
		if err != nil {
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (f *directFile) WriteAt(p []byte, off int64) (int, error) {
	ctx, cancel := call()
	defer cancel()
	done := 0
	for done < len(p) {
		n, err := 0, error(nil)
		if f.f.Flags()&syscall.O_APPEND != 0 {
			_, n, err = f.f.Append(ctx, p[done:])
		} else {
			n, err = f.f.Write(ctx, p[done:], off+int64(done))
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (f *directFile) set(c meta.SetAttr) error {
	ctx, cancel := call()
	defer cancel()
	c.Ino = f.f.Ino()
	_, err := f.fs.SetAttr(ctx, c)
	return err
}

func (f *directFile) Truncate(size int64) error {
	return f.set(meta.SetAttr{Set: meta.SetSize, Size: uint64(size)})
}

func (f *directFile) Fallocate(mode uint32, off, n int64) error {
	ctx, cancel := call()
	defer cancel()
	switch mode {
	case 0:
		return f.f.Allocate(ctx, off, n)
	case unix.FALLOC_FL_ZERO_RANGE:
		return f.f.ZeroRange(ctx, off, n)
	case unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE:
		return f.f.Punch(ctx, off, n)
	case unix.FALLOC_FL_KEEP_SIZE:
		return nil
	default:
		return syscall.EOPNOTSUPP
	}
}

func (f *directFile) Seek(off int64, whence int) (int64, error) {
	ctx, cancel := call()
	defer cancel()
	if whence == unix.SEEK_DATA {
		return f.f.SeekData(ctx, off)
	}
	return f.f.SeekHole(ctx, off)
}

func (f *directFile) CopyTo(off int64, dst File, dstOff, n int64) (int64, error) {
	to, ok := dst.(*directFile)
	if !ok {
		return 0, syscall.EXDEV
	}
	ctx, cancel := call()
	defer cancel()
	return f.f.CopyRange(ctx, off, to.f, dstOff, n)
}

func (f *directFile) Stat() (Stat, error) {
	ctx, cancel := call()
	defer cancel()
	n, err := f.fs.GetAttr(ctx, f.f.Ino())
	return nodeStat(n), err
}

func (f *directFile) Chmod(mode uint32) error {
	return f.set(meta.SetAttr{Set: meta.SetMode, Mode: mode})
}

func (f *directFile) Utimes(atime, mtime time.Time) error { return f.set(times(atime, mtime)) }

func (f *directFile) Sync() error {
	ctx, cancel := call()
	defer cancel()
	return f.f.Fsync(ctx)
}

func (f *directFile) Close() error {
	ctx, cancel := call()
	defer cancel()
	err := f.f.Flush(ctx)
	f.f.Release()
	return err
}

// directDir reads a vfs.Dir a few entries at a time, as a kernel would.
type directDir struct {
	d    *vfs.Dir
	at   uint64
	left []vfs.DirEntry
}

func (d *directDir) Next() (string, int64, error) {
	if len(d.left) == 0 {
		ctx, cancel := call()
		defer cancel()
		err := d.d.Read(ctx, d.at, func(e vfs.DirEntry) bool {
			if len(d.left) == 40 {
				return false
			}
			d.left = append(d.left, e)
			return true
		})
		if err != nil {
			return "", 0, err
		}
		if len(d.left) == 0 {
			return "", 0, io.EOF
		}
	}
	e := d.left[0]
	d.left, d.at = d.left[1:], e.Next
	return e.Name, int64(e.Next), nil
}

func (d *directDir) SeekTo(cookie int64) error {
	d.left, d.at = nil, uint64(cookie)
	return nil
}

func (d *directDir) Close() error { return nil }
