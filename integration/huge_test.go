package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"mirrorfs/integration/harness"
	"mirrorfs/meta"
	"mirrorfs/meta/redis"
)

// A directory with very many entries is made by several clients at once, in random
// order of names; paged through; listed, searched and removed through a mount. No
// single call holds Redis up, and the client's memory does not
// grow with the directory.
func TestHugeDirectory(t *testing.T) {
	entries := 20_000
	if long() {
		entries = 1_000_000
	}
	w := harness.New(t, program)
	server := w.Server("huge", "--appendfsync", "everysec", "--slowlog-log-slower-than", strconv.Itoa(int(holdUp.Microseconds())), "--slowlog-max-len", "100000")
	w.Run("format", server.Addr(), "vol", "--bucket", w.FileBucket("bucket"), "--trash", "0s")
	w.CLI(server, "slowlog", "reset") // loading the functions took longer
	e, err := redis.Open(t.Context(), server.Addr(), redis.Options{})
	must(t, err)
	defer func() { _ = e.Close() }()
	must(t, e.StartSession(t.Context(), meta.SessionInfo{Host: "test", Kind: "cli", Version: "test"}))
	dir := makeDir(t, e, meta.RootIno, "huge")
	names := makeNames(entries)
	makeFiles(t, e, dir, names)
	slices.Sort(names)
	if got := pageThrough(t, e, dir); !slices.Equal(got, names) {
		t.Errorf("%d entries were made, pages give %d, or others", len(names), len(got))
	}
	slowest := slowestCall(t, e, server, dir, names)
	must(t, e.EndSession(t.Context()))

	m := w.Mount("m", server.Addr(), "--metrics", ":0")
	path := filepath.Join(m.Dir, "huge")
	before := m.Heap()
	if n := lines(t, "ls", "-U", path); n != entries {
		t.Errorf("ls gives %d names of %d", n, entries)
	}
	if n := lines(t, "find", path, "-type", "f", "-size", "0"); n != entries {
		t.Errorf("find gives %d files of %d", n, entries)
	}
	flat(t, "listing and searching", before, m.Heap())
	command(t, "rm", "-rf", path)
	flat(t, "removing", before, m.Heap())
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after rm -rf: %v", err)
	}
	checkHoldUps(t, w, server, slowest)
}

// holdUp is how long one call may hold up a Redis.
const holdUp = 20 * time.Millisecond

// checkHoldUps judges calls by the processor time that Redis took for each, one at a time,
// and for all that it has had on average. It reports the calls of its slow log, which counts
// the time that others took its core away too.
func checkHoldUps(t *testing.T, w *harness.World, server *harness.Server, slowest time.Duration) {
	t.Helper()
	for _, c := range w.SlowCalls(server) {
		t.Logf("%s held Redis up for %v, by the clock", c.Function, c.Took)
	}
	calls := w.Calls(server.Addr(), "fcall") + w.Calls(server.Addr(), "fcall_ro")
	average := server.Processor() / time.Duration(calls)
	t.Logf("of %d calls each took %v of Redis's processor on average; the slowest of those made one at a time, %v", calls, average, slowest)
	if slowest > 3*holdUp || average > holdUp/20 {
		t.Errorf("a call took %v, calls took %v on average: want %v at most", slowest, average, holdUp)
	}
}

// slowestCall makes calls of every kind on a directory, one at a time, and returns the most
// that one took of Redis's processor.
func slowestCall(t *testing.T, e meta.Engine, server *harness.Server, dir meta.Ino, names []string) (slowest time.Duration) {
	t.Helper()
	costs := func(call func() error) {
		t.Helper()
		before := server.Processor()
		must(t, call())
		slowest = max(slowest, server.Processor()-before)
	}
	change := func(c meta.Change) {
		t.Helper()
		costs(func() error {
			_, err := e.Change(t.Context(), c)
			return err
		})
	}
	for after, more := "", true; more; {
		costs(func() error {
			page, err := e.ReadDir(t.Context(), dir, after, meta.MaxPageEntries)
			if more = page.More && len(page.Entries) > 0; more {
				after = page.Entries[len(page.Entries)-1].Name
			}
			return err
		})
	}
	for range 300 {
		old := names[rand.IntN(len(names))]
		added, moved := old+".added", old+".moved"
		costs(func() error {
			_, err := e.Lookup(t.Context(), dir, old)
			return err
		})
		change(meta.Make{Parent: dir, Name: added, Mode: meta.TypeFile | 0o644})
		change(meta.Rename{OldParent: dir, OldName: added, NewParent: dir, NewName: moved})
		change(meta.Unlink{Parent: dir, Name: moved})
	}
	return slowest
}

func makeDir(t *testing.T, e meta.Engine, parent meta.Ino, name string) meta.Ino {
	t.Helper()
	res, err := e.Change(t.Context(), meta.Make{Parent: parent, Name: name, Mode: meta.TypeDir | 0o755})
	must(t, err)
	return res.Node.Ino
}

// makeNames gives names in random order.
func makeNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("entry-%07d.data", i)
	}
	rand.Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

// makeFiles makes empty files, many at a time.
func makeFiles(t *testing.T, e meta.Engine, dir meta.Ino, names []string) {
	t.Helper()
	next := make(chan string, len(names))
	for _, name := range names {
		next <- name
	}
	close(next)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for name := range next {
				if _, err := e.Change(context.WithoutCancel(t.Context()), meta.Make{Parent: dir, Name: name, Mode: meta.TypeFile | 0o644}); err != nil {
					t.Errorf("make %s: %v", name, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// pageThrough reads a whole directory.
func pageThrough(t *testing.T, e meta.Engine, dir meta.Ino) []string {
	t.Helper()
	var names []string
	for after := ""; ; after = names[len(names)-1] {
		page, err := e.ReadDir(t.Context(), dir, after, meta.MaxPageEntries)
		must(t, err)
		for i := range page.Entries {
			names = append(names, page.Entries[i].Name)
		}
		if !page.More || len(page.Entries) == 0 {
			return names
		}
	}
}

// lines counts what a program prints.
func lines(t *testing.T, name string, args ...string) int {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	n := 0
	for scan := bufio.NewScanner(out); scan.Scan(); {
		n++
	}
	must(t, cmd.Wait())
	return n
}

// flat fails when a client holds much more memory than before.
func flat(t *testing.T, what string, before, after int64) {
	t.Helper()
	const most = 12 << 20
	t.Logf("%s: %d KiB in use before, %d KiB after", what, before>>10, after>>10)
	if after > before+most {
		t.Errorf("%s takes %d MiB of a client's memory", what, (after-before)>>20)
	}
}

// The memory of a client stays flat over a walk of a tree, and over the writing and
// reading of much more than its buffers.
func TestFlatMemory(t *testing.T) {
	dirs, files, size := 40, 500, int64(384<<20)
	if long() {
		dirs, files, size = 400, 500, 10<<30
	}
	w := harness.New(t, program)
	metaAddr := w.Redis()
	w.Run("format", metaAddr, "vol", "--bucket", w.FileBucket("bucket"))
	e, err := redis.Open(t.Context(), metaAddr, redis.Options{})
	must(t, err)
	defer func() { _ = e.Close() }()
	must(t, e.StartSession(t.Context(), meta.SessionInfo{Host: "test", Kind: "cli", Version: "test"}))
	for i := range dirs {
		makeFiles(t, e, makeDir(t, e, meta.RootIno, fmt.Sprint(i)), makeNames(files))
	}
	must(t, e.EndSession(t.Context()))
	m := w.Mount("m", metaAddr, "--metrics", ":0", "--buffer-size", "32MiB", "--cache-size", "256MiB")
	lines(t, "find", filepath.Join(m.Dir, "0"), "-size", "+1")
	before := m.Heap()
	for range 2 {
		lines(t, "find", m.Dir, "-size", "+1")
		flat(t, fmt.Sprintf("a walk of %d files", dirs*files), before, m.Heap())
	}
	before = m.Heap()
	written := writeRandom(t, filepath.Join(m.Dir, "large"), size)
	flat(t, fmt.Sprintf("writing %d MiB", size>>20), before, m.Heap())
	if read := sumOf(t, filepath.Join(m.Dir, "large")); read != written {
		t.Errorf("read %s, wrote %s", read, written)
	}
	flat(t, fmt.Sprintf("reading %d MiB", size>>20), before, m.Heap())
}
