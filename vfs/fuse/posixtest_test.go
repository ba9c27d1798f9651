package fuse_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"
)

// The tests that the FUSE library has for file systems of all kinds.
func TestLibrarysPosixTests(t *testing.T) {
	p := mount(t, childConfig{})
	tests := maps.Clone(posixtest.All)
	delete(tests, "FcntlFlockLocksFile") // wants a process's own locks to conflict: ext4 does not pass it either
	delete(tests, "Tmpfile")             // skips itself: we refuse O_TMPFILE
	if _, err := unix.Open(p.Dirs[0], unix.O_TMPFILE|unix.O_RDWR, 0o600); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("O_TMPFILE: %v, want a clear refusal", err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(p.Dirs[0], name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			test(t, dir)
		})
	}
}
