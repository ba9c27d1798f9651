package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pattern is what the i-th file of the crash test holds: it says so at every
// place, so that a piece of another file or a hole shows.
func pattern(i, n int) []byte {
	line := fmt.Appendf(nil, "file %d says so. ", i)
	return bytes.Repeat(line, n/len(line)+1)[:n]
}

// TestKilledWhileWriting: every file whose close had returned is whole after
// kill -9; the rest is absent or a prefix; and the volume mounts at once.
func TestKilledWhileWriting(t *testing.T) {
	dir := mountPoint(t)
	c := childConfig{Dirs: []string{dir}, Meta: newVolume(t, "test"), Bucket: t.TempDir(), Cache: t.TempDir()}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's sizes
	for round := range 3 {
		p := mount(t, c)
		const files = 200
		var mu sync.Mutex
		closed := map[string][]byte{}
		var all sync.WaitGroup
		enough := make(chan struct{})
		for w := range 4 {
			sizes := make([]int, files)
			for i := range sizes {
				sizes[i] = random.IntN(3 << 20)
			}
			all.Go(func() {
				for i, size := range sizes {
					name := fmt.Sprintf("r%d-w%d-%d", round, w, i)
					data := pattern(w*files+i, size)
					if os.WriteFile(filepath.Join(dir, name), data, 0o600) != nil {
						return // killed
					}
					mu.Lock()
					closed[name] = data
					if len(closed) == 20 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		p.kill()
		all.Wait()
		p = mount(t, c)
		checkCrashed(t, dir, round, closed, files)
		if err := p.terminate(); err != nil {
			t.Error(err)
		}
	}
}

// checkCrashed compares what is there with what was acknowledged.
func checkCrashed(t *testing.T, dir string, round int, closed map[string][]byte, files int) {
	t.Helper()
	for name, want := range closed {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s was closed and holds %d bytes of %d, %v", name, len(got), len(want), err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var r, w, i int
		if _, err := fmt.Sscanf(e.Name(), "r%d-w%d-%d", &r, &w, &i); err != nil {
			t.Fatal(err)
		}
		if closed[e.Name()] != nil || r != round {
			continue
		}
		got, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || !bytes.Equal(got, pattern(w*files+i, len(got))) {
			t.Errorf("%s was not closed and is no prefix: %d bytes, %v", e.Name(), len(got), err)
		}
	}
	t.Logf("round %d: %d files closed", round, len(closed))
}

// TestTerminateWritesOut: what is buffered when the server is told to end is
// not lost, though the program never closed the file.
func TestTerminateWritesOut(t *testing.T) {
	dir := mountPoint(t)
	c := childConfig{Dirs: []string{dir}, Meta: newVolume(t, "test"), Bucket: t.TempDir(), Grace: 50 * time.Millisecond}
	p := mount(t, c)
	f, err := os.Create(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString("buffered"); err != nil {
		t.Fatal(err)
	}
	if err := p.terminate(); err != nil {
		t.Fatal(err)
	}
	mount(t, c)
	if got := read(t, filepath.Join(dir, "open")); got != "buffered" {
		t.Errorf("the file holds %q", got)
	}
}

// TestKillWaitingProgram: a program that waits for metadata that does not answer
// can be killed.
func TestKillWaitingProgram(t *testing.T) {
	c := childConfig{Meta: newVolume(t, "test"), Timeout: -1}
	p := mount(t, c)
	name := filepath.Join(p.Dirs[0], "f")
	write(t, name, "x")
	out, err := exec.CommandContext(limited(t), "redis-cli", "-s", strings.TrimPrefix(c.Meta, "unix://"), "INFO", "server").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(out), "process_id:")
	server, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(server, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Kill(server, unix.SIGCONT) }()
	stat := exec.Command("stat", name)
	if err := stat.Start(); err != nil {
		t.Fatal(err)
	}
	waiting := func() bool { // in the kernel, for our answer
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", stat.Process.Pid))
		return err == nil && strings.Contains(string(b), "fuse") || strings.Contains(string(b), "request_wait_answer")
	}
	for !waiting() {
		time.Sleep(time.Millisecond) // between two looks
	}
	if err := stat.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stat.Wait() }()
	select {
	case <-ended:
	case <-time.After(15 * time.Second): // half of what vfs waits for metadata
		t.Error("the program could not be killed while metadata did not answer")
	}
	if err := unix.Kill(server, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := read(t, name); got != "x" {
		t.Errorf("read %q", got)
	}
}

// TestLostConnection: an aborted connection leaves a mount that can be
// taken away, and a process that ends.
func TestLostConnection(t *testing.T) {
	p := mount(t, childConfig{})
	var st unix.Stat_t
	if err := unix.Stat(p.Dirs[0], &st); err != nil {
		t.Fatal(err)
	}
	control := t.TempDir()
	if err := unix.Mount("none", control, "fusectl", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { forceUnmount(control) })
	abort := filepath.Join(control, strconv.Itoa(int(unix.Minor(st.Dev))), "abort")
	if err := os.WriteFile(abort, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadDir(p.Dirs[0]); !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) {
		t.Errorf("use after the connection was lost: %v", err)
	}
	if err := p.ends(); err != nil {
		t.Errorf("the child ended with %v", err)
	}
}
