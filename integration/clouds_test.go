package integration_test

import (
	"path/filepath"
	"testing"
	"time"

	"mirrorfs/integration/harness"
)

// A volume in each cloud: what is written at the source
// is the same at the mirror, and the other way.
func TestClouds(t *testing.T) {
	for name, bucket := range map[string]func(w *harness.World) string{
		"oss": func(w *harness.World) string { return w.OSSBucket("models") },
		"cos": func(w *harness.World) string { return w.COSBucket("models") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTwoSites(t, time.Millisecond, bucket)
			a := s.Mount("a", s.metaA)
			s.runMirror()
			b := s.Mount("b", s.metaB)

			command(t, "cp", "-r", filepath.Join(goSource(t), "encoding"), filepath.Join(a.Dir, "src"))
			s.wait()
			compare(t, filepath.Join(a.Dir, "src"), filepath.Join(b.Dir, "src"))

			const size = 20 << 20
			written := writeRandom(t, filepath.Join(b.Dir, "large"), size)
			if read := sumOf(t, filepath.Join(a.Dir, "large")); read != written {
				t.Errorf("a file of %d bytes has sha256 %s where it was written, at the mirror, and %s at the source", size, written, read)
			}
		})
	}
}
