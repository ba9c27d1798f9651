package integration_test

import (
	"testing"
	"time"

	"mirrorfs/vfs/vfstest"
)

// TestBytesAtTwoSites writes, punches, clones and maps files at the source and at the
// mirror in turn, and every byte is what it should be after every step.
func TestBytesAtTwoSites(t *testing.T) {
	s := newTwoSites(t, 5*time.Millisecond, fileBucket)
	a := s.Mount("a", s.metaA)
	s.runMirror()
	b := s.Mount("b", s.metaB)
	vfstest.RunBytes(t, vfstest.Target{FS: vfstest.OS(a.Dir), Other: vfstest.OS(b.Dir), Dir: a.Dir, Settle: s.wait, Steps: 120})
}
