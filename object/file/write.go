package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mirrorfs/object"
)

const (
	writePieceBytes = 1 << 20       // between two looks at ctx
	leftoverAge     = 1 * time.Hour // a temporary file this old has no writer any more
	keptDirs        = 1 << 16       // most directories remembered as durable
	placeTries      = 100           // of microseconds, against others who remove empty directories
)

// write makes path hold data, durably: temporary file, fsync, place (rename or
// link), fsync of the directories. These come last: as soon as the file is there,
// nobody else can take its directories for empty and remove them.
func (s *Store) write(ctx context.Context, path string, data []byte, place func(from, to string) error) error {
	temp, err := s.writeTemp(ctx, data)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	for range placeTries {
		if err = s.makeDir(dir); err == nil {
			err = place(temp, path)
		}
		if err == nil {
			return s.syncPath(dir)
		}
		// A directory that this Store had seen is gone, or one without keys is in the way.
		if !errors.Is(err, fs.ErrNotExist) && !removeEmpty(path) {
			break
		}
		s.forgetDirs()
	}
	_ = os.Remove(temp) // place did not use it; if this fails it is swept later
	if err = conflict(path, err); errors.Is(err, object.ErrExist) {
		err = errors.Join(s.syncPath(dir), err) // its writer may not have come to this yet
	}
	return err
}

// writeTemp gives a new durable file with data; the caller places or removes it.
func (s *Store) writeTemp(ctx context.Context, data []byte) (name string, err error) {
	f, err := os.CreateTemp(s.root+"/"+tempDir, "")
	if errors.Is(err, fs.ErrNotExist) {
		// Mkdir, not MkdirAll: a missing root is a missing bucket.
		if err = os.Mkdir(s.root+"/"+tempDir, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			f, err = os.CreateTemp(s.root+"/"+tempDir, "")
		}
	}
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(f.Name()) // a leftover is swept later
		}
	}()
	for rest := data; len(rest) > 0; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Write(rest[:min(len(rest), writePieceBytes)])
		if err != nil {
			return "", err
		}
		rest = rest[n:]
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// makeDir makes dir and its parents below the root; syncPath makes them durable.
func (s *Store) makeDir(dir string) error {
	if _, ok := s.durable.Load(dir); ok || dir == s.root {
		return nil
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.makeDir(filepath.Dir(dir)); err == nil {
			err = os.Mkdir(dir, 0o700)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// syncPath makes durable what was placed in dir, and dir itself. A directory that
// exists may not be on disk yet if another process made it just now, so each is
// fsynced once by each Store, through its parent.
func (s *Store) syncPath(dir string) error {
	if err := syncDir(dir); err != nil {
		return err
	}
	return s.syncName(dir)
}

// syncName makes the name of dir durable, and those of its parents.
func (s *Store) syncName(dir string) error {
	if _, ok := s.durable.Load(dir); ok || dir == s.root {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := errors.Join(syncDir(parent), s.syncName(parent)); err != nil {
		return err
	}
	s.remember(dir)
	return nil
}

func (s *Store) remember(dir string) {
	s.durable.Store(dir, struct{}{})
	if s.durableDirs.Add(1) > keptDirs {
		s.forgetDirs()
	}
}

// forgetDirs costs some fsyncs again, no more.
func (s *Store) forgetDirs() {
	s.durable.Clear()
	s.durableDirs.Store(0)
}

// conflict turns the errors of a file where a directory is needed, or the other
// way round, into ErrInvalid.
func conflict(path string, err error) error {
	if st, statErr := os.Lstat(path); statErr == nil && st.IsDir() {
		return object.Invalidf("other keys start with this one and a '/'")
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return object.Invalidf("a part of the key before a '/' is an object")
	}
	return err
}

// removeEmpty removes a tree of directories without files; false if it is
// something else.
func removeEmpty(path string) bool {
	entries, err := os.ReadDir(path)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !e.IsDir() || !removeEmpty(path+"/"+e.Name()) {
			return false
		}
	}
	return syscall.Rmdir(path) == nil
}

// linkNew is the atomic "place if absent".
func linkNew(from, to string) error {
	err := os.Link(from, to)
	switch {
	case err == nil:
		_ = os.Remove(from) // the second name; swept later if it stays
		return nil
	case errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported):
		// A file system without hard links.
		err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	}
	if errors.Is(err, fs.ErrExist) {
		return object.ErrExist
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeBucket is MkdirAll with an fsync of each parent.
func makeBucket(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeBucket(filepath.Dir(dir)); err == nil {
			err = os.Mkdir(dir, 0o700)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		if st, statErr := os.Stat(dir); statErr == nil && st.IsDir() {
			return nil
		}
		return object.Invalidf("%s is not a directory", dir)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// sweep removes old temporary files, as far as it can: they are never read.
func (s *Store) sweep() {
	left, _ := os.ReadDir(s.root + "/" + tempDir)
	for _, e := range left {
		if st, err := e.Info(); err == nil && time.Since(st.ModTime()) > leftoverAge {
			_ = os.Remove(s.root + "/" + tempDir + "/" + e.Name())
		}
	}
}
