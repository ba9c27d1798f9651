package fuse

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// Mounted is a mount of this machine, as one asks for it by a path.
type Mounted struct {
	Dir    string // the mount point
	Source string // Options.Source of who mounted it
}

// MountOf finds the mirrorfs mount that a path is on: ErrNotMounted when it is on none.
func MountOf(path string) (Mounted, error) {
	real, err := resolveDir(path)
	if err != nil {
		return Mounted{}, err
	}
	for dir := real; ; dir = filepath.Dir(dir) {
		e, found, err := mountAt(dir)
		if err != nil {
			return Mounted{}, &Error{Dir: path, Err: err}
		}
		if found && e.fsType == fsType {
			buf := make([]byte, 64<<10)
			n, err := unix.Getxattr(dir, sourceXattr, buf)
			if err != nil {
				return Mounted{}, &Error{Dir: dir, Err: fmt.Errorf("ask the mount: %w", err)}
			}
			return Mounted{Dir: dir, Source: string(buf[:n])}, nil
		}
		if found || dir == "/" || dir == "." {
			return Mounted{}, &Error{Dir: path, Err: ErrNotMounted, Hint: "findmnt -t " + fsType + " lists mirrorfs mounts"}
		}
	}
}

// CachedRange tells how much of the n bytes (at most vfs.MaxWarmBytes) at off of a file on
// a mount is in the mount's cache.
func CachedRange(path string, off, n uint64) (chunk.Warmth, error) {
	return askWarmth(path, cachedXattr, off, n)
}

// WarmRange brings a range into the mount's cache, waits for that, and tells how much is
// there. The mount does the work: no bytes come here.
func WarmRange(path string, off, n uint64) (chunk.Warmth, error) {
	return askWarmth(path, warmXattr, off, n)
}

// PositionOf tells the position of the mount that a file or directory is on.
func PositionOf(path string) (meta.Position, error) {
	buf := make([]byte, maxPositionBytes)
	for {
		k, err := unix.Getxattr(path, positionXattr, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return meta.Position{}, &Error{Dir: path, Err: fmt.Errorf("ask the mount for its position: %w", err)}
		}
		return meta.ParsePosition(string(buf[:k]))
	}
}

func askWarmth(path, what string, off, n uint64) (chunk.Warmth, error) {
	var w chunk.Warmth
	buf := make([]byte, maxWarmthBytes)
	for {
		k, err := unix.Lgetxattr(path, fmt.Sprintf("%s%d:%d", what, off, n), buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODATA):
			return w, &Error{Dir: path, Err: ErrNotMounted, Hint: "findmnt -t " + fsType + " lists mirrorfs mounts"}
		case err != nil:
			return w, fmt.Errorf("%s: %w", path, err)
		}
		if _, err := fmt.Sscanf(strings.TrimSpace(string(buf[:k])), warmthFormat, &w.Total, &w.Cached, &w.Fetched); err != nil {
			return w, fmt.Errorf("%s: answer of the mount: %w", path, err)
		}
		return w, nil
	}
}
