package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorfs/integration/harness"
)

// The machine of the source's Redis, which writes its log to disk every second, crashes, and the end
// of the log is gone that the mirror has. The mirror stalls, says why and what to do, and is read as
// before. Programs at the source go on, with inodes and data whose numbers are none of those that are
// lost. After the repair both sites are equal, and none of the mounts, which all live on, takes
// a new file for one of those.
func TestPromise04SourceThatLostItsTail(t *testing.T) {
	w := harness.New(t, program)
	serverA, serverB := w.Server("a", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"), w.Server("b")
	metaA, metaB := serverA.Addr(), serverB.Addr()
	w.Run("format", metaA, "vol", "--bucket", w.FileBucket("bucket"))
	w.Run("mirror", "add", metaA, metaB, "--site", "b")
	a := w.Mount("a", metaA)
	w.Start("mirror", "run", metaB)
	b := w.Mount("b", metaB)
	wait := func() { w.Run("mirror", "wait", metaB, "--timeout", "5m") }

	const files = 20
	kept := writeSome(t, a.Dir, "kept", files, 0)
	wait()
	intact := serverA.Logged()
	lost := writeSome(t, a.Dir, "lost", files, files)
	must(t, os.Rename(filepath.Join(a.Dir, "kept-0"), filepath.Join(a.Dir, "lost-name")))
	wait()
	readSome(t, b.Dir, lost)
	readSome(t, a.Dir, lost)

	serverA.Kill()
	serverA.LoseTail(intact)
	serverA.Start()
	var st status
	harness.Eventually(t, "the mirror stalls", 5*time.Minute, func() bool {
		result(t, w.Run("mirror", "status", metaB, "--json"), &st)
		return st.State == "stalled"
	})
	if !strings.Contains(st.Reason, "mirror repair") {
		t.Errorf("the reason does not say what to do: %s", st.Reason)
	}
	readSome(t, b.Dir, lost) // what it has is read as before

	fresh := writeSome(t, a.Dir, "fresh", files, 2*files)
	readSome(t, a.Dir, fresh)
	readSome(t, a.Dir, kept)

	w.Run("mirror", "repair", metaB)
	wait()
	for _, m := range []*harness.Mount{a, b} {
		readSome(t, m.Dir, kept)
		readSome(t, m.Dir, fresh)
		for name := range lost {
			if _, err := os.Stat(filepath.Join(m.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, which is lost, at %s: %v", name, m.Dir, err)
			}
		}
	}
	compare(t, a.Dir, b.Dir)
	w.Run("mirror", "verify", metaB, "--deep")
	for _, site := range []string{metaA, metaB} {
		w.Run("fsck", site, "--deep")
	}
}

// A program has a file open that the source's Redis lost in a crash of its machine, and another client makes files
// since. What the program writes goes into none of those, and it is told.
func TestPromise02OpenFileOfALostTail(t *testing.T) {
	w := harness.New(t, program)
	server := w.Server("a", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
	w.Run("format", server.Addr(), "vol", "--bucket", w.FileBucket("bucket"))
	a, other := w.Mount("a", server.Addr()), w.Mount("other", server.Addr())
	kept := writeSome(t, a.Dir, "kept", 3, 0)
	readSome(t, other.Dir, kept)

	intact := server.Logged()
	f, err := os.Create(filepath.Join(a.Dir, "lost"))
	must(t, err)
	defer func() { _ = f.Close() }()
	_, err = f.WriteString("lost")
	must(t, err)
	must(t, f.Sync())
	server.Kill()
	server.LoseTail(intact)
	server.Start()

	fresh := writeSome(t, other.Dir, "fresh", 10, 10)
	if _, err := f.WriteAt([]byte("written since"), 0); err == nil {
		if err = f.Sync(); err == nil {
			t.Error("what is written to a lost file seems to be kept")
		}
	}
	fresh["later"] = []byte("later")
	must(t, os.WriteFile(filepath.Join(a.Dir, "later"), fresh["later"], 0o644)) // the mount goes on
	for _, m := range []*harness.Mount{a, other} {
		readSome(t, m.Dir, kept)
		readSome(t, m.Dir, fresh)
	}
	w.Run("fsck", server.Addr(), "--deep")
}

// writeSome writes files, each with a content of its own, and returns what they hold.
func writeSome(t *testing.T, dir, name string, count, first int) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for i := range count {
		file := fmt.Sprintf("%s-%d", name, i)
		files[file] = small(first + i)
		must(t, os.WriteFile(filepath.Join(dir, file), files[file], 0o644))
	}
	return files
}

func readSome(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for file, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s in %s: %d bytes, which are not the %d that were written, %v", file, dir, len(got), len(want), err)
		}
	}
}
