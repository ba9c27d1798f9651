package integration_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mirrorfs/integration/harness"
	"mirrorfs/meta"
)

// status is what the tests read of `mirror status --json`.
type status struct {
	State      string `json:"state"`
	Reason     string `json:"reason"`
	Position   string `json:"position"`
	Applied    string `json:"applied"`
	LagRecords int64  `json:"lag_records"`
}

func (s *twoSites) status(t *testing.T) status {
	t.Helper()
	var st status
	must(t, json.Unmarshal([]byte(s.Run("mirror", "status", s.metaB, "--json")), &st))
	return st
}

// The runner is killed and the link is cut while a tree is copied in at the
// source. Reads of what is at the mirror go on. After both are back the trees are
// equal, without a new copy, and no record was applied twice.
func TestRunnerKilledAndLinkCut(t *testing.T) {
	const cut = 30 * time.Second
	s := newTwoSites(t, 10*time.Millisecond, fileBucket)
	a := s.Mount("a", s.metaA)
	must(t, os.WriteFile(filepath.Join(a.Dir, "before"), []byte("before"), 0o644))
	runner := s.runMirror()
	b := s.Mount("b", s.metaB)
	s.wait()

	copied := make(chan error, 1)
	go func() {
		out, err := exec.Command("cp", "-r", goSource(t), filepath.Join(a.Dir, "src")).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("cp: %w\n%s", err, out)
		}
		copied <- err
	}()
	harness.Eventually(t, "part of the tree at the mirror", 3*time.Minute, func() bool {
		_, err := os.Stat(filepath.Join(b.Dir, "src", "archive", "zip"))
		return err == nil
	})
	runner.Kill()
	reached := s.position(t, s.metaB)
	s.link.Cut()
	mend := time.After(cut)
	second := s.Start("mirror", "run", s.metaB, "--metrics", ":0")
	for range 5 {
		if got, err := os.ReadFile(filepath.Join(b.Dir, "before")); err != nil || string(got) != "before" {
			t.Errorf("reading what the mirror has while the link is cut: %q, %v", got, err)
		}
	}
	<-mend
	s.link.Mend()
	if err := <-copied; err != nil {
		t.Fatal(err)
	}
	s.wait()
	compare(t, filepath.Join(a.Dir, "src"), filepath.Join(b.Dir, "src"))
	if st := s.status(t); st.State != "following" {
		t.Errorf("state %q (%s), want following", st.State, st.Reason)
	}
	// Each record after the crash was applied once, and nothing else was.
	harness.Eventually(t, "applied records as many as the position moved", 3*time.Minute, func() bool {
		moved := s.position(t, s.metaB).Seq - reached.Seq
		return second.Metric("mirrorfs_mirror_applied_records_total") == float64(moved)
	})
	if n := second.Metric("mirrorfs_mirror_copied_bytes_total"); n != 0 {
		t.Errorf("the second runner made a new copy of %v bytes", n)
	}
}

// position is where a site stands.
func (s *twoSites) position(t *testing.T, site string) meta.Position {
	t.Helper()
	var st struct {
		Position meta.Position `json:"position"`
	}
	must(t, json.Unmarshal([]byte(s.Run("status", site, "--json")), &st))
	return st.Position
}

// content is what a file of a number holds, to its last byte.
func content(number int) []byte {
	seed := [32]byte{}
	binary.LittleEndian.PutUint64(seed[:], uint64(number))
	random := rand.NewChaCha8(seed)
	size := 1 + random.Uint64()%(64<<10)
	if number%20 == 19 {
		size += 9 << 20 // several blocks
	}
	b := make([]byte, size)
	_, _ = random.Read(b)
	return b
}

// writers write files into a directory until one of them fails, and remember
// which files' close has returned.
type writers struct {
	dir string

	mu      sync.Mutex
	next    int
	closed  map[int]bool
	running sync.WaitGroup
}

func (w *writers) start(count int) {
	w.closed = map[int]bool{}
	for range count {
		w.running.Go(w.run)
	}
}

func (w *writers) run() {
	for {
		w.mu.Lock()
		number := w.next
		w.next++
		w.mu.Unlock()
		if os.WriteFile(filepath.Join(w.dir, fmt.Sprint(number)), content(number), 0o644) != nil {
			return // the mount is gone
		}
		w.mu.Lock()
		w.closed[number] = true
		w.mu.Unlock()
	}
}

func (w *writers) countClosed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.closed)
}

// A mount is killed while programs write through it. The volume mounts again at
// once; files whose close had returned are whole, all others absent or a prefix.
func TestWriterKilled(t *testing.T) {
	w := harness.New(t, program)
	meta := w.Redis()
	w.Run("format", meta, "vol", "--bucket", w.FileBucket("bucket"))
	for round := range 3 {
		m := w.Mount(fmt.Sprintf("round%d", round), meta)
		dir := filepath.Join(m.Dir, fmt.Sprint(round))
		must(t, os.Mkdir(dir, 0o755))
		ws := &writers{dir: dir}
		ws.start(4)
		harness.Eventually(t, "files closed", 3*time.Minute, func() bool { return ws.countClosed() >= 100 })
		m.Crash()
		ws.running.Wait()

		again := w.Mount(fmt.Sprintf("after%d", round), meta)
		checkWritten(t, filepath.Join(again.Dir, fmt.Sprint(round)), ws)
		// Nothing of the dead session is in the way of new changes.
		must(t, os.WriteFile(filepath.Join(again.Dir, fmt.Sprint(round), "0"), []byte("again"), 0o644))
		must(t, os.Rename(filepath.Join(again.Dir, fmt.Sprint(round)), filepath.Join(again.Dir, fmt.Sprintf("done%d", round))))
		if code := again.Stop(); code != 0 {
			t.Errorf("mount ended with code %d", code)
		}
	}
}

func checkWritten(t *testing.T, dir string, ws *writers) {
	t.Helper()
	whole, part, absent := 0, 0, 0
	for number := range ws.next {
		want := content(number)
		got, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(number)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			absent++
		case err != nil:
			t.Errorf("file %d: %v", number, err)
			continue
		case bytes.Equal(got, want):
			whole++
			continue
		case !bytes.HasPrefix(want, got):
			t.Errorf("file %d: %d bytes that are no prefix of the %d written", number, len(got), len(want))
		default:
			part++
		}
		if ws.closed[number] {
			t.Errorf("file %d: its close had returned, and %d of %d bytes are left (%v)", number, len(got), len(want), err)
		}
	}
	t.Logf("%d files closed before the crash; after it %d whole, %d a prefix, %d absent", len(ws.closed), whole, part, absent)
}
