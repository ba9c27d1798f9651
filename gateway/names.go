package gateway

import (
	"strings"

	"mirrorfs/meta"
)

// hidden is the directory of the volume, or of what the gateway shows of it, where objects are before
// they appear. No key and no bucket leads there, and no listing shows it.
const hidden = ".mirrorfs-gateway"

// path is where an object is in its bucket.
type path struct {
	dirs []string // the directories above, outermost first
	name string   // of the file, or of the directory that is the object
	dir  bool     // the key ends with a slash
}

// String gives the path as vfs takes it.
func (p *path) String() string {
	if len(p.dirs) == 0 {
		return p.name
	}
	return strings.Join(p.dirs, "/") + "/" + p.name
}

// parsePath gives the path of a key. A key that no object can have is InvalidKey or KeyTooLong.
// top says that the bucket is all that the gateway shows, where hidden is.
func parsePath(key string, top bool) (path, error) {
	if len(key) > maxObjectName {
		return path{}, refusef(KeyTooLong, "a key has at most %d bytes", maxObjectName)
	}
	trimmed, dir := strings.CutSuffix(key, "/")
	parts := strings.Split(trimmed, "/")
	for i, c := range parts {
		if err := checkComponent(c); err != nil {
			return path{}, err
		}
		if i == 0 && top && c == hidden {
			return path{}, refusef(InvalidKey, "the name %s is the gateway's own", hidden)
		}
	}
	last := len(parts) - 1
	return path{dirs: parts[:last], name: parts[last], dir: dir}, nil
}

// checkComponent says why no file can have a name.
func checkComponent(c string) error {
	switch {
	case c == "":
		return refusef(InvalidKey, "keys are paths here: no empty components (\"a//b\", \"/a\")")
	case c == "." || c == "..":
		return refusef(InvalidKey, "keys are paths here: no \".\" and \"..\"")
	case len(c) > meta.MaxNameBytes:
		return refusef(KeyTooLong, "keys are paths here: a component has at most %d bytes", meta.MaxNameBytes)
	case strings.IndexByte(c, 0) >= 0:
		return refusef(InvalidKey, "keys are paths here: no zero bytes")
	}
	return nil
}

// isBucketName reports whether S3 allows a bucket of that name: 3 to 63 small letters, digits, dots and
// hyphens, the first and the last a letter or digit, and no IPv4 address.
func isBucketName(s string) bool {
	if len(s) < 3 || len(s) > 63 || strings.Contains(s, "..") {
		return false
	}
	letters := false
	for i := range len(s) {
		c := s[i]
		small := c >= 'a' && c <= 'z'
		letters = letters || small || c == '-'
		if !small && (c < '0' || c > '9') && (c != '.' && c != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return letters || strings.Count(s, ".") != 3
}
