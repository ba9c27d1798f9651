package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorfs/cmd/mirrorfs/wan"
	"mirrorfs/meta/redis/redistest"
)

// commandTimeout bounds a command that is expected to end by itself.
const commandTimeout = 10 * time.Minute

// World is what one test has running. It belongs to the test's goroutine.
type World struct {
	t       testing.TB
	program string
	env     []string
	dir     string
}

// New makes an empty world. program is the path of the mirrorfs program, as Build
// returns it.
func New(t testing.TB, program string) *World {
	t.Helper()
	// Not t.TempDir: a mount that could not be ended must not make the test
	// remove what is in it.
	dir, err := os.MkdirTemp("", "mfsworld") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if isEmptyOfMounts(dir) {
			_ = os.RemoveAll(dir)
		} else {
			t.Errorf("mounts are left below %s", dir)
		}
	})
	return &World{t: t, program: program, dir: dir}
}

// Build builds the mirrorfs program into a directory and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "mirrorfs")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "mirrorfs/cmd/mirrorfs")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build mirrorfs: %w\n%s", err, out)
	}
	return program, nil
}

// Setenv gives a variable to every process that starts from now on.
func (w *World) Setenv(name, value string) { w.env = append(w.env, name+"="+value) }

// Dir makes a directory of the world.
func (w *World) Dir(name string) string {
	w.t.Helper()
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// Redis starts a server and returns the address of its database 0, on TCP.
func (w *World) Redis() string {
	w.t.Helper()
	return redistest.Start(w.t, redistest.TCP(), redistest.AOF())
}

// FileBucket makes a bucket in a directory and returns its address.
func (w *World) FileBucket(name string) string {
	w.t.Helper()
	return "file://" + w.Dir(name)
}

// Link puts a wide-area link in front of a metadata address and returns the
// address beyond the link.
func (w *World) Link(meta string, rtt time.Duration) (*wan.Link, string) {
	w.t.Helper()
	rest, ok := strings.CutPrefix(meta, "redis://")
	if !ok {
		w.t.Fatalf("link to %s: want redis://", meta)
	}
	host, path, _ := strings.Cut(rest, "/")
	l, err := wan.Listen(context.Background(), "tcp", host, rtt)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = l.Close() })
	return l, "redis://" + l.Addr() + "/" + path
}

// Result is what a command that ended left.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Try runs mirrorfs to its end, whatever that is.
func (w *World) Try(args ...string) Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := w.command(ctx, args)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("mirrorfs %s: %v", strings.Join(args, " "), err)
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
}

// Run runs mirrorfs to its end, which must be success, and returns its stdout.
func (w *World) Run(args ...string) string {
	w.t.Helper()
	r := w.Try(args...)
	if r.Code != 0 {
		w.t.Fatalf("mirrorfs %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

func (w *World) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.program, args...)
	cmd.Env = append(os.Environ(), w.env...)
	cmd.Dir = w.dir
	return cmd
}

// isEmptyOfMounts reports whether nothing is mounted below a directory.
func isEmptyOfMounts(dir string) bool {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && !bytes.Contains(mounts, []byte(" "+dir+"/"))
}
