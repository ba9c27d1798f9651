package fuse

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fsType is what the kernel calls our mounts, and sourcePrefix + volume is
// their source.
const (
	subtype      = "mirrorfs"
	fsType       = "fuse." + subtype
	sourcePrefix = "mirrorfs:"
)

// mountEntry is a line of /proc/self/mountinfo, of which we need little.
type mountEntry struct {
	dev    string // major:minor
	dir    string
	fsType string
	source string
}

// mountAt returns the topmost mount whose mount point is dir, an absolute path
// without symbolic links.
func mountAt(dir string) (mountEntry, bool, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mountEntry{}, false, fmt.Errorf("list mounts: %w", err)
	}
	var found mountEntry
	ok := false
	for line := range strings.Lines(string(b)) {
		if e, valid := parseMountinfo(line); valid && e.dir == dir {
			found, ok = e, true // later lines lie on top
		}
	}
	return found, ok, nil
}

// parseMountinfo reads one line: see proc_pid_mountinfo(5).
func parseMountinfo(line string) (mountEntry, bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 5 || len(right) < 2 {
		return mountEntry{}, false
	}
	return mountEntry{
		dev:    left[2],
		dir:    unescapeOctal(left[4]),
		fsType: right[0],
		source: unescapeOctal(right[1]),
	}, true
}

// unescapeOctal undoes the kernel's escapes of space, tab, newline and backslash
// (\040 and so on).
func unescapeOctal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// resolveDir makes dir absolute and free of symbolic links without asking the
// file system that may be mounted there: when that is dead, it answers nothing
// but ENOTCONN.
func resolveDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", dir, err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if err == nil {
		return real, nil
	}
	if !errors.Is(err, unix.ENOTCONN) {
		return "", fmt.Errorf("resolve %s: %w", dir, err)
	}
	if target, linkErr := os.Readlink(abs); linkErr == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(abs), target)
		}
		return resolveDir(target)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", dir, err)
	}
	return filepath.Join(parent, filepath.Base(abs)), nil
}
