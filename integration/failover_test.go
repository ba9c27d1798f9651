package integration_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"mirrorfs/integration/harness"
)

// drillThreads make the files of a drill, and drillDirs hold them.
const drillThreads, drillDirs = 8, 20

// A source's site is lost while its mirror is behind. The mirror is promoted below its mount, which
// goes on. What was acknowledged and is not there is what the old source writes down when it rejoins,
// no more and no less. Then it is the source again, without a loss.
func TestPromise11DrillThroughMounts(t *testing.T) {
	files := 1000
	if long() {
		files = 100_000
	}
	w := harness.New(t, program)
	serverA, serverB := w.Server("a"), w.Server("b")
	link, aFromB := w.Link(serverA.Addr(), 0)
	w.Run("format", serverA.Addr(), "vol", "--bucket", w.FileBucket("bucket"))
	w.Run("mirror", "add", aFromB, serverB.Addr(), "--site", "b")
	w.Start("mirror", "run", serverB.Addr())
	a, b := w.Mount("a", serverA.Addr()), w.Mount("b", serverB.Addr())
	writeMany(t, a.Dir, files)
	must(t, os.WriteFile(filepath.Join(b.Dir, "of-b"), []byte("b"), 0o644))
	w.Run("mirror", "wait", serverB.Addr(), "--timeout", "5m")

	link.Cut()
	journal := map[string]bool{}
	for i := range 25 {
		name := fmt.Sprintf("/lost-%d", i)
		must(t, os.WriteFile(filepath.Join(a.Dir, name), []byte(name), 0o644))
		journal[name] = true
	}
	a.Crash()
	serverA.Kill()

	start := time.Now()
	var promoted struct {
		Source string `json:"source"`
		Loss   struct {
			Possible bool `json:"possible"`
		} `json:"loss"`
	}
	result(t, w.Run("mirror", "promote", serverB.Addr(), "--force", "--source-timeout", "1s", "--json"), &promoted)
	if promoted.Source != "unreachable" || !promoted.Loss.Possible {
		t.Errorf("the promotion tells %+v", promoted)
	}
	harness.Eventually(t, "a change at the promoted mirror", 3*time.Minute, func() bool {
		return os.WriteFile(filepath.Join(b.Dir, "after"), []byte("after"), 0o644) == nil
	})
	t.Logf("%d files: writable %.1f s after the command", files, time.Since(start).Seconds())
	for name := range journal {
		if _, err := os.Stat(filepath.Join(b.Dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s, which the mirror never had: %v", name, err)
		}
	}

	serverA.Start()
	link.Mend()
	report := filepath.Join(w.Dir("reports"), "lost.jsonl")
	var rejoined struct {
		Lost int `json:"lost"`
	}
	result(t, w.Run("mirror", "rejoin", serverA.Addr(), serverB.Addr(), "--report", report, "--json"), &rejoined)
	if lost, changes := readReport(t, report); !maps.Equal(lost, journal) || changes != rejoined.Lost {
		t.Errorf("the report of %d changes, of %d, names %v: want %v", changes, rejoined.Lost,
			slices.Sorted(maps.Keys(lost)), slices.Sorted(maps.Keys(journal)))
	}
	w.Start("mirror", "run", serverA.Addr())
	w.Run("mirror", "wait", serverA.Addr(), "--timeout", "5m")
	a = w.Mount("a-again", serverA.Addr())
	compare(t, b.Dir, a.Dir)

	w.Run("mirror", "switch", serverA.Addr())
	harness.Eventually(t, "a change at the source of old", 3*time.Minute, func() bool {
		return os.WriteFile(filepath.Join(a.Dir, "again"), []byte("again"), 0o644) == nil
	})
	harness.Eventually(t, "a change through a mount that has been at a mirror, a source and a mirror", 3*time.Minute, func() bool {
		return os.WriteFile(filepath.Join(b.Dir, "of-b-again"), []byte("b"), 0o644) == nil
	})
	w.Run("mirror", "wait", serverB.Addr(), "--timeout", "5m")
	compare(t, a.Dir, b.Dir)
	for _, meta := range []string{serverA.Addr(), serverB.Addr()} {
		w.Run("fsck", meta, "--deep")
	}
}

// writeMany makes empty files by several threads, and some that are not empty.
func writeMany(t *testing.T, root string, files int) {
	t.Helper()
	for d := range drillDirs {
		must(t, os.Mkdir(filepath.Join(root, fmt.Sprint(d)), 0o755))
	}
	var wg sync.WaitGroup
	for thread := range drillThreads {
		wg.Go(func() {
			for i := thread; i < files; i += drillThreads {
				var data []byte
				if i%100 == 0 {
					data = fmt.Append(nil, i)
				}
				if err := os.WriteFile(filepath.Join(root, fmt.Sprint(i%drillDirs), fmt.Sprint(i)), data, 0o644); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func result(t *testing.T, out string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// readReport gives the paths in a report of lost changes, and how many changes it has.
func readReport(t *testing.T, name string) (paths map[string]bool, changes int) {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	defer func() { _ = f.Close() }()
	paths = map[string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); changes++ {
		var change struct {
			Paths []string `json:"paths"`
		}
		result(t, lines.Text(), &change)
		for _, p := range change.Paths {
			paths[p] = true
		}
	}
	return paths, changes
}
