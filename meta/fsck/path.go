package fsck

import (
	"slices"
	"strings"

	"mirrorfs/meta"
)

// maxPathNames bounds how deep a path is told.
const maxPathNames = 4096

// path gives a path of an inode, as it was when it was checked; empty when none leads there.
func (c *checker) path(ino meta.Ino) string {
	if ino == meta.RootIno {
		return "/"
	}
	var names []string
	for ino != meta.RootIno {
		n := c.names[ino]
		if n == nil || n.names == 0 || len(names) == maxPathNames {
			return ""
		}
		names = append(names, n.by.name)
		ino = n.by.parent
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/")
}
