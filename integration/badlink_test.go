package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mirrorfs/integration/harness"
)

// A third of all requests to the bucket fail, break off or give wrong bytes, while
// programs write through one mount and read through another that has nothing in its
// cache. What they get is right or EIO, and when the link is well again everything
// whose close had returned is there.
func TestBadLinkToTheBucket(t *testing.T) {
	seed := seedOf(t)
	w := harness.New(t, program)
	meta := w.Redis()
	bucket, faults := w.FaultyS3Bucket("bucket", seed)
	w.Run("format", meta, "vol", "--bucket", bucket)
	a, b := w.Mount("a", meta), w.Mount("b", meta)
	files := 40
	if long() {
		files = 1000
	}
	faults.Set(1.0 / 3)
	closed, failed := map[string][]byte{}, 0
	for i := range files {
		name, data := fmt.Sprint(i), content(i)
		if err := writeSynced(filepath.Join(a.Dir, name), data); err != nil {
			clearError(t, "writing "+name, err)
			failed++
			continue
		}
		closed[name] = data
		switch got, err := os.ReadFile(filepath.Join(b.Dir, name)); {
		case err != nil:
			clearError(t, "reading "+name, err)
			failed++
		case !bytes.Equal(got, data):
			t.Errorf("%s: %d bytes, which are not the %d that were written", name, len(got), len(data))
		}
	}
	faults.Set(0)
	c := w.Mount("c", meta) // with an empty cache
	for name, data := range closed {
		if got, err := os.ReadFile(filepath.Join(c.Dir, name)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("in the end %s has %d bytes of %d, %v", name, len(got), len(data), err)
		}
	}
	t.Logf("%d requests were spoiled, %d of %d files closed, %d calls failed", faults.Count(), len(closed), files, failed)
	if faults.Count() < files/4 || len(closed) < files/2 {
		t.Error("too little was tried, or got through")
	}
}

func writeSynced(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// clearError checks that a failure is one that a program can understand.
func clearError(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("%s: %v, want EIO if anything", what, err)
	}
}
