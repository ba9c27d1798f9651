package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"mirrorfs/object"
)

// Store is a directory of objects. It may be used concurrently, also by other
// processes.
type Store struct {
	root string

	durable     sync.Map     // directories that this Store has made sure are on disk
	durableDirs atomic.Int64 // about how many they are
}

// New uses the directory root, an absolute path, as a bucket. It need not exist:
// every method then fails with object.ErrNoBucket until Create. New removes what
// crashed writers left behind more than an hour ago.
func New(root string) (*Store, error) {
	if !filepath.IsAbs(root) {
		return nil, object.Invalidf("directory %q is not an absolute path", root)
	}
	s := &Store{root: filepath.Clean(root)}
	s.sweep()
	return s, nil
}

// String returns "file:///dir".
func (s *Store) String() string {
	return (&url.URL{Scheme: "file", Path: s.root}).String()
}

// Create makes the directory and its parents, durably.
func (s *Store) Create(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		err = s.writeCause(makeBucket(s.root))
	}
	return object.Fail("create", s.root, err)
}

// Put replaces the object by rename.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	path, err := s.path(key)
	if err == nil {
		err = s.write(ctx, path, data, os.Rename)
	}
	return object.Fail("put", key, s.writeCause(err))
}

// PutIfAbsent places the object by a hard link, which fails if there is one.
func (s *Store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	path, err := s.path(key)
	if err != nil {
		return object.Fail("put-if-absent", key, err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		// Its writer may not have come to this yet, and might lose it in a crash.
		if err = s.syncPath(filepath.Dir(path)); err == nil {
			err = object.ErrExist
		}
		return object.Fail("put-if-absent", key, s.writeCause(err))
	}
	return object.Fail("put-if-absent", key, s.writeCause(s.write(ctx, path, data, linkNew)))
}

// Get opens the object's file. The reader has WriteTo, by which io.Copy into a
// socket becomes sendfile.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := s.open(ctx, key, off, n)
	if err != nil {
		return nil, object.Fail("get", key, s.cause(err))
	}
	return r, nil
}

// Head describes an object; its ETag is made of modification time and inode.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	path, err := s.path(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return object.Info{}, object.Fail("head", key, err)
	}
	st, err := os.Lstat(path)
	if err == nil && !st.Mode().IsRegular() {
		err = object.ErrNotExist
	}
	if err != nil {
		return object.Info{}, object.Fail("head", key, s.cause(err))
	}
	return infoOf(key, st), nil
}

// Delete removes the object's file; directories stay.
func (s *Store) Delete(ctx context.Context, key string) error {
	path, err := s.path(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return object.Fail("delete", key, err)
	}
	// Unlink, not os.Remove, which would also remove an empty directory.
	err = syscall.Unlink(path)
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if errors.Is(err, syscall.EISDIR) {
		return nil // a directory of other keys: no object
	}
	if err = s.cause(err); errors.Is(err, object.ErrNotExist) {
		return nil
	}
	return object.Fail("delete", key, err)
}

// Close does nothing.
func (s *Store) Close() error { return nil }

// cause gives an error of the file system its object.Err. It shows no errno: that
// of a bucket's file is not that of a volume's file, and what stands above must
// not take a missing block for a missing name.
func (s *Store) cause(err error) error {
	errno := syscall.Errno(0)
	if !errors.As(err, &errno) {
		return err
	}
	var kind error
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR:
		kind = object.ErrNotExist
		if _, statErr := os.Stat(s.root); errors.Is(statErr, fs.ErrNotExist) {
			kind = object.ErrNoBucket
		}
	case syscall.EACCES, syscall.EPERM, syscall.EROFS:
		kind = object.ErrDenied
	case syscall.ENOSPC, syscall.EDQUOT:
		kind = object.ErrNoSpace
	case syscall.ENAMETOOLONG:
		kind = object.ErrInvalid
	default:
		return errors.New(err.Error())
	}
	return fmt.Errorf("%w: %v", kind, err) //nolint:errorlint // without its errno
}

// writeCause is cause for writes, for which a missing directory is no missing
// object: someone removed it just then, and another attempt will make it.
func (s *Store) writeCause(err error) error {
	c := s.cause(err)
	if errors.Is(c, object.ErrNotExist) {
		return errors.New(err.Error())
	}
	return c
}

func infoOf(key string, st fs.FileInfo) object.Info {
	return object.Info{Key: key, Size: st.Size(), ModTime: st.ModTime(), ETag: etagOf(st)}
}

func etagOf(st fs.FileInfo) string {
	etag := strconv.FormatInt(st.ModTime().UnixNano(), 16)
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		etag += "-" + strconv.FormatUint(sys.Ino, 16)
	}
	return etag
}
