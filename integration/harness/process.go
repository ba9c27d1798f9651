package harness

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopTimeout bounds how long a process may take to end when asked to.
const stopTimeout = 3 * time.Minute

// pollInterval is how often a condition is asked again.
const pollInterval = 10 * time.Millisecond

// Process is a mirrorfs that runs until it is ended.
type Process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  string
	end  chan struct{} // closed when it has ended
}

// Start starts mirrorfs in the background. It ends with the test.
func (w *World) Start(args ...string) *Process {
	w.t.Helper()
	log, err := os.CreateTemp(w.Dir("log"), "*")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	p := &Process{t: w.t, name: "mirrorfs " + strings.Join(args, " "), log: log.Name(), end: make(chan struct{})}
	p.cmd = w.command(context.Background(), args)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Nothing of a test that is killed stays behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatalf("%s: %v", p.name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.end)
	}()
	w.t.Cleanup(func() {
		p.Stop()
		if w.t.Failed() {
			w.t.Logf("log of %s:\n%s", p.name, p.Log())
		}
	})
	return p
}

// Log returns what the process has written, at most its last 64 KiB.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-64<<10):])
}

// Metric returns the value of a metric, as it is written with its labels, of a process
// that was started with --metrics :0.
func (p *Process) Metric(name string) float64 {
	p.t.Helper()
	v, ok := p.TryMetric(name)
	if !ok {
		p.t.Fatalf("%s has no metric %s", p.name, name)
	}
	return v
}

// TryMetric is Metric; false when the process has no such metric yet.
func (p *Process) TryMetric(name string) (float64, bool) {
	p.t.Helper()
	for line := range strings.Lines(p.get(p.metricsURL())) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				p.t.Fatalf("metric %s: %v", line, err)
			}
			return v, true
		}
	}
	return 0, false
}

// metricsURL waits for the process to tell where its metrics are.
func (p *Process) metricsURL() (url string) {
	p.t.Helper()
	Eventually(p.t, "address of the metrics of "+p.name, 3*time.Minute, func() bool {
		_, rest, ok := strings.Cut(p.Log(), "url=")
		url, _, _ = strings.Cut(rest, "\n")
		return ok
	})
	return url
}

func (p *Process) get(url string) string {
	p.t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// Heap collects the garbage of a process that was started with --metrics :0, and
// returns the bytes that its heap still has in use.
func (p *Process) Heap() int64 {
	p.t.Helper()
	for range 3 { // what lies in a pool outlives one collection
		p.get(strings.TrimSuffix(p.metricsURL(), "/metrics") + "/debug/pprof/heap?gc=1")
	}
	return int64(p.Metric("go_memstats_heap_alloc_bytes"))
}

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.end:
		return false
	default:
		return true
	}
}

// Stop asks the process to end, waits, and returns its exit code. Called again
// it only returns the code.
func (p *Process) Stop() int {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.end:
	case <-timer.C:
		p.t.Errorf("%s did not end within %v of SIGTERM", p.name, stopTimeout)
		p.Kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// Kill ends the process as a crash does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.end
}

// Pause stops the process from doing anything, until Resume.
func (p *Process) Pause() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (p *Process) Resume() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// Mount is a mounted file system and the process that serves it.
type Mount struct {
	*Process
	// Dir is where it is mounted.
	Dir string
}

// Mount mounts a volume on a new directory and waits until it is there.
func (w *World) Mount(name, meta string, flags ...string) *Mount {
	w.t.Helper()
	m := &Mount{Dir: w.Dir(filepath.Join("mnt", name))}
	before := device(m.Dir)
	// Runs after the process was asked to end: takes away what it left.
	w.t.Cleanup(m.detach)
	m.Process = w.Start(append([]string{"mount", meta, m.Dir, "--cache-dir", w.Dir("cache-" + name)}, flags...)...)
	Eventually(w.t, "mount of "+meta, 3*time.Minute, func() bool {
		if !m.Running() {
			w.t.Fatalf("%s ended with code %d:\n%s", m.name, m.cmd.ProcessState.ExitCode(), m.Log())
		}
		return device(m.Dir) != before
	})
	return m
}

// Crash kills the mount's process and takes the dead mount point away.
func (m *Mount) Crash() {
	m.Kill()
	m.detach()
}

func (m *Mount) detach() {
	if !isEmptyOfMounts(filepath.Dir(m.Dir)) {
		_ = syscall.Unmount(m.Dir, syscall.MNT_DETACH)
	}
}

// device tells file systems apart; 0 when the directory does not answer.
func device(dir string) uint64 {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return 0
	}
	return st.Dev
}

// Eventually waits for a condition, and fails the test when it does not come
// true within a time that is far longer than it should take.
func Eventually(t testing.TB, what string, within time.Duration, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	deadline := time.Now().Add(within)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, within)
		}
		<-tick.C
	}
}
