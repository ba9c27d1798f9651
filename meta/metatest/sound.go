package metatest

import (
	"testing"

	"mirrorfs/meta"
)

// CheckSound scans all rows of a volume at rest and tells what is wrong with them, one
// line each: the tree, link counts, used space, slices, and what hangs on inodes.
func CheckSound(t testing.TB, s meta.Source) string {
	t.Helper()
	return checkRows(t, s)
}
