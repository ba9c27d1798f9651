package harness

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Shell runs a line of a shell, in which mirrorfs is the program, to its end.
func (w *World) Shell(line string) Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := w.command(ctx, []string{"-c", "PATH=" + filepath.Dir(w.program) + ":$PATH; " + line})
	shell, err := exec.LookPath("bash")
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Path, cmd.Args[0] = shell, "bash"
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%s: %v", line, err)
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
}

// MountPoint makes a directory on which a shell may mount: what is mounted there ends with the test.
func (w *World) MountPoint(name string) string {
	w.t.Helper()
	dir := w.Dir(filepath.Join("mnt", name))
	w.t.Cleanup(func() {
		_ = w.Try("umount", dir)
		if mounts := w.Shell("grep -c ' " + dir + " ' /proc/self/mountinfo").Stdout; strings.TrimSpace(mounts) != "0" {
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	return dir
}
