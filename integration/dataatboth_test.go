package integration_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"mirrorfs/integration/harness"
)

// dataStatus is what the test reads of mirror status.
type dataStatus struct {
	Position string `json:"position"`
	Reason   string `json:"reason"`
	Data     struct {
		CompleteTo string `json:"complete_to"`
		BackTo     string `json:"copied_back_to"`
		Pending    int    `json:"pending_objects"`
	} `json:"data"`
}

// waitData waits until all data is in both buckets, while nobody writes.
func (s *twoSites) waitData(t *testing.T) {
	t.Helper()
	s.wait()
	harness.Eventually(t, "all data in both buckets", 5*time.Minute, func() bool {
		var st dataStatus
		must(t, json.Unmarshal([]byte(s.Run("mirror", "status", s.metaB, "--json")), &st))
		return st.Data.CompleteTo == st.Position && st.Data.BackTo == st.Position && st.Data.Pending == 0
	})
}

// A bucket at both sites, each an S3 server with keys of its own. The runner is killed in
// the middle of copying, and its successor copies the rest. With the source's bucket cut
// off, the mirror reads everything. What is written at the mirror is read at the source
// before it was copied there, and after, with the mirror's bucket cut off.
func TestPromise08DataAtBothSites(t *testing.T) {
	const files = 60
	s := &twoSites{World: harness.New(t, program)}
	s.metaA, s.metaB = s.Redis(), s.Redis()
	buckets := s.FarBuckets(4*time.Millisecond, "bucket-a", "bucket-b")
	bucketA, bucketB := buckets[0], buckets[1]
	var metaAFromB string
	s.link, metaAFromB = s.Link(s.metaA, 4*time.Millisecond)
	s.Run("format", s.metaA, "vol", "--bucket", bucketA.Addr)
	s.Run("mirror", "add", metaAFromB, s.metaB, "--site", "b", "--data", "full", "--bucket", bucketB.Addr)

	a := s.Mount("a", s.metaA)
	sums := map[string]string{}
	for i := range files {
		name := fmt.Sprintf("f%02d", i)
		sums[name] = writeRandom(t, filepath.Join(a.Dir, name), int64(64<<10+i))
	}
	const copied = `mirrorfs_replicated_objects_total{copying="data.2.in"}`
	slow := s.Start("mirror", "run", s.metaB, "--bandwidth", "1MiB", "--metrics", ":0")
	s.wait()
	harness.Eventually(t, "some blocks are copied", time.Minute, func() bool {
		n, _ := slow.TryMetric(copied)
		return n >= 5
	})
	first := slow.Metric(copied)
	slow.Kill()
	runner := s.Start("mirror", "run", s.metaB, "--metrics", ":0")
	s.waitData(t)
	if n := runner.Metric(copied); n > files-first {
		t.Errorf("%v blocks were copied after %v of %d had been", n, first, files)
	}

	bucketA.Cut()
	b := s.Mount("b", s.metaB)
	for name, want := range sums {
		if got := sumOf(t, filepath.Join(b.Dir, name)); got != want {
			t.Errorf("%s at the mirror, with the source's bucket cut off: sha256 %s, want %s", name, got, want)
		}
	}
	bucketA.Mend()

	runner.Stop()
	early := writeRandom(t, filepath.Join(b.Dir, "early"), 300<<10)
	late := writeRandom(t, filepath.Join(b.Dir, "late"), 301<<10)
	if got := sumOf(t, filepath.Join(a.Dir, "early")); got != early {
		t.Errorf("at the source, before it was copied: sha256 %s, want %s", got, early)
	}
	s.runMirror()
	s.waitData(t)
	bucketB.Cut()
	if got := sumOf(t, filepath.Join(a.Dir, "late")); got != late {
		t.Errorf("at the source, with the mirror's bucket cut off: sha256 %s, want %s", got, late)
	}
	bucketB.Mend()

	// Nothing of it all is garbage to gc, nor are the copies.
	var found struct {
		Leaked struct {
			Leaked, Foreign struct{ Objects int }
			Listed          struct{ Objects int }
		} `json:"leaked"`
	}
	must(t, json.Unmarshal([]byte(s.Run("gc", s.metaA, "--min-age", "0s", "--json")), &found))
	if found.Leaked.Leaked.Objects != 0 || found.Leaked.Foreign.Objects != 0 || found.Leaked.Listed.Objects < 2*(files+2) {
		t.Errorf("gc finds %+v", found)
	}
}
