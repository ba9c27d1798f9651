package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mirrorfs/cmd/mirrorfs/wan"
	"mirrorfs/integration/harness"
)

// lostSite is two sites with a bucket each. The second one, below a live mount, is to be promoted when the first one
// cannot be reached.
type lostSite struct {
	*harness.World
	metaA, metaB string
	links        []*wan.Link // to the first site: its metadata and its bucket
	bucketB      *wan.Link
	runner       *harness.Process
	a, b         *harness.Mount
}

func newLostSite(t *testing.T, mode string) *lostSite {
	t.Helper()
	s := &lostSite{World: harness.New(t, program)}
	s.metaA, s.metaB = s.Redis(), s.Redis()
	buckets := s.FarBuckets(0, "bucket-a", "bucket-b")
	link, aFromB := s.Link(s.metaA, 0)
	s.links, s.bucketB = []*wan.Link{link, buckets[0].Link}, buckets[1].Link
	s.Run("format", s.metaA, "vol", "--bucket", buckets[0].Addr)
	s.Run("mirror", "add", aFromB, s.metaB, "--site", "b", "--data", mode, "--bucket", buckets[1].Addr)
	s.runner = s.Start("mirror", "run", s.metaB)
	s.a = s.Mount("a", s.metaA)
	s.b = s.Mount("b", s.metaB, "--source-timeout", "2s", "--bucket-timeout", "2s", "--read-ahead", "4KiB")
	return s
}

// Promises 8 and 11 together: a site is lost with data that is nowhere else. The promotion tells which; reads of it give EIO
// and a line in the log that names the block and the sites, never zeros and never a short file; everything else is
// read and written below the same mount. When the site is back, all is complete, and is so without its bucket.
func TestPromise08And11DataOfALostSite(t *testing.T) {
	for _, mode := range []string{"full", "keep"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			testLostSite(t, mode)
		})
	}
}

func testLostSite(t *testing.T, mode string) {
	s := newLostSite(t, mode)
	here, there := bytes.Repeat([]byte("here "), 20_000), bytes.Repeat([]byte("there"), 20_000)
	write := func(at *harness.Mount, name string, data []byte) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(at.Dir, name), data, 0o644))
	}
	reads := func(at *harness.Mount, name string, want []byte) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(at.Dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
	write(s.a, "here", here)
	s.Run("mirror", "wait", s.metaB, "--timeout", "5m")
	s.bringsHere(t, mode, here)
	s.bucketB.Cut() // so that the other file is not copied there
	write(s.a, "there", there)
	s.Run("mirror", "wait", s.metaB, "--timeout", "5m")
	s.runner.Stop()
	s.bucketB.Mend()

	for _, l := range s.links {
		l.Cut()
	}
	s.a.Crash()
	var promoted struct {
		Data struct {
			Objects int      `json:"objects"`
			Sites   []string `json:"at_sites"`
			Files   []struct {
				Path string `json:"path"`
			} `json:"files"`
		} `json:"data"`
	}
	result(t, s.Run("mirror", "promote", s.metaB, "--force", "--source-timeout", "1s", "--json"), &promoted)
	if d := promoted.Data; d.Objects != 1 || len(d.Files) != 1 || d.Files[0].Path != "/there" || len(d.Sites) != 1 {
		t.Errorf("the promotion tells of data elsewhere: %+v", d)
	}
	harness.Eventually(t, "a change at the promoted mirror, with data", 3*time.Minute, func() bool {
		return os.WriteFile(filepath.Join(s.b.Dir, "after"), here, 0o644) == nil
	})
	if got, err := os.ReadFile(filepath.Join(s.b.Dir, "there")); !errors.Is(err, syscall.EIO) || len(got) != 0 {
		t.Errorf("what is in the lost site's bucket: %d bytes, %v", len(got), err)
	}
	if log := s.b.Log(); !strings.Contains(log, "a block is at no site that could be asked") || !strings.Contains(log, "data/1/") || !strings.Contains(log, "site 1") {
		t.Errorf("the mount logs:\n%s", log)
	}
	reads(s.b, "here", here)
	again := s.Mount("again", s.metaB, "--bucket-timeout", "2s")
	for _, name := range []string{"here", "after"} {
		reads(again, name, here)
	}

	for _, l := range s.links {
		l.Mend()
	}
	harness.Eventually(t, "what was elsewhere", 3*time.Minute, func() bool {
		got, err := os.ReadFile(filepath.Join(s.b.Dir, "there"))
		return err == nil && bytes.Equal(got, there)
	})
	s.Run("mirror", "rejoin", s.metaA, s.metaB)
	s.Start("mirror", "run", s.metaB) // waits while its site is the source
	s.Start("mirror", "run", s.metaA)
	s.Run("mirror", "wait", s.metaA, "--timeout", "5m")
	a := s.Mount("a-again", s.metaA)
	for name, want := range map[string][]byte{"here": here, "after": here, "there": there} {
		reads(a, name, want)
	}
	s.Run("mirror", "verify", s.metaA, "--deep")
	if mode == "full" {
		s.completeWithout(t, there)
	}
}

// bringsHere waits until the mirror's bucket has the file here.
func (s *lostSite) bringsHere(t *testing.T, mode string, want []byte) {
	t.Helper()
	if mode == "keep" { // what was read
		if got, err := os.ReadFile(filepath.Join(s.b.Dir, "here")); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("a read at the mirror: %d bytes, %v", len(got), err)
		}
		harness.Eventually(t, "what was read to be kept", 3*time.Minute, func() bool { return s.holds(t, "b") })
		return
	}
	harness.Eventually(t, "what was written to be copied", 3*time.Minute, func() bool {
		var st dataStatus
		must(t, json.Unmarshal([]byte(s.Run("mirror", "status", s.metaB, "--json")), &st))
		return st.Data.CompleteTo == st.Position && st.Data.Pending == 0
	})
}

// holds reports whether the mirror's bucket has the file here.
func (s *lostSite) holds(t *testing.T, site string) bool {
	t.Helper()
	var info struct {
		Blocks []struct {
			Sites []string `json:"sites"`
		} `json:"blocks"`
	}
	result(t, s.Run("info", filepath.Join(s.b.Dir, "here"), "--json"), &info)
	return len(info.Blocks) > 0 && slices.Contains(info.Blocks[0].Sites, site)
}

// completeWithout waits until the bucket of the site that was lost has nothing of its own any more, and reads without it.
func (s *lostSite) completeWithout(t *testing.T, there []byte) {
	t.Helper()
	harness.Eventually(t, "all data in both buckets", 5*time.Minute, func() bool {
		var st dataStatus
		must(t, json.Unmarshal([]byte(s.Run("mirror", "status", s.metaA, "--json")), &st))
		return st.Data.CompleteTo == st.Position && st.Data.BackTo == st.Position && st.Data.Pending == 0
	})
	s.links[1].Cut()
	fresh := s.Mount("fresh", s.metaB, "--bucket-timeout", "2s")
	if got, err := os.ReadFile(filepath.Join(fresh.Dir, "there")); err != nil || !bytes.Equal(got, there) {
		t.Errorf("what was copied, without the bucket that had it: %d bytes, %v", len(got), err)
	}
}
